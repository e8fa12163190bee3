"""``python -m rose_ros``."""

from __future__ import annotations

import sys

from rose_ros.cli import main

if __name__ == "__main__":
    sys.exit(main())

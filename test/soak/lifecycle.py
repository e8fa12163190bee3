"""Up and down many times: the node's memory must come back to where it was.

    python test/soak/lifecycle.py --rounds 200

The node runs in this process, so that nothing but the rounds is measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import runpy
import threading
from pathlib import Path
from typing import Any

import numpy as np
import rclpy

from rose_ros.node.perception_node import PerceptionNode

FAKE = Path(__file__).resolve().parents[1] / "node" / "fake_perception.py"
#: MB: how much more may be held at the end than after the first quarter of the rounds.
MAX_GROWTH = 8.0


def memory_mb() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def rounds(count: int, model: str) -> list[float]:
    """Configure, activate, deactivate and clean up ``count`` times; MB after each round."""
    rclpy.init()
    arguments = ["--ros-args", "-p", "autostart:=false", "-p", f"model:={model}"]
    create = runpy.run_path(str(FAKE))["create_node"] if model == "fake" else PerceptionNode
    node = create(cli_args=arguments)
    measured = []
    try:
        for number in range(count):
            for trigger in (
                node.trigger_configure,
                node.trigger_activate,
                node.trigger_deactivate,
                node.trigger_cleanup,
            ):
                result = trigger()
                if result.name != "SUCCESS":
                    raise RuntimeError(f"round {number + 1}: {trigger.__name__} gave {result.name}")
            gc.collect()
            measured.append(memory_mb())
    finally:
        node.stop(5.0)
        node.destroy_node()
        rclpy.try_shutdown()
    return measured


def judge(measured: list[float]) -> dict[str, Any]:
    """Compare the last quarter with the second: what allocators keep is kept by then."""
    quarter = max(1, len(measured) // 4)
    early, late = np.median(measured[quarter : 2 * quarter]), np.median(measured[-quarter:])
    growth = float(late - early)
    return {
        "passed": growth < MAX_GROWTH,
        "rounds": len(measured),
        "memory_mb": {"first": measured[0], "early": float(early), "late": float(late)},
        "growth_mb": growth,
        "allowed_mb": MAX_GROWTH,
        "threads": threading.active_count(),
    }


def main() -> int:
    """Run the rounds; exit code 0 only if memory came back."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--model", default="rose-tiny", help='"fake": a scripted model')
    options = parser.parse_args()
    # Nobody else takes part. Domains up to 101 are safe on Linux.
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    result = judge(rounds(options.rounds, options.model))
    print(json.dumps(result, indent=2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())

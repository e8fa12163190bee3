"""Write docs/parameters.md from the table of the node's parameters.

Run as ``python -m rose_ros.node.parameter_reference``. Prints the page; ``--out FILE`` writes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rose_ros.node.parameters import CAMERA_SPECS, SPECS, Change, Spec

_TYPES = {bool: "bool", int: "int", float: "float", str: "string", list: "list of strings"}
_CHANGES = {
    Change.NEVER: "at start",
    Change.UNCONFIGURED: "while unconfigured",
    Change.ALWAYS: "at any time",
}

_INTRODUCTION = """\
# Parameters of the perception node

Written by `python -m rose_ros.node.parameter_reference --out docs/parameters.md` from the table in
`rose_ros/node/parameters.py`; a test compares the two. `config/perception.yaml` holds every
parameter with its default, to copy from.

When a parameter may change:

- *at start*: it is read once, when the process starts.
- *while unconfigured*: until the node is configured, and again after a cleanup
  (`ros2 lifecycle set /rose/perception cleanup`).
- *at any time*: `ros2 param set /rose/perception max_rate 5.0`; it holds from the next frame on.

A value of another type, outside its range or not among its choices is refused with the reason, and
so is a change at the wrong time. `set_parameters_atomically` changes several at once, all or none,
between two frames.
"""

_CAMERA_INTRODUCTION = """\
## For one camera

What differs for one camera is called `camera.<name>.<key>`, for example `camera.front.max_rate`. A
name that is not among `cameras`, or a key that is not in this table, is refused with the reason.
"""

_HEAD = "| Parameter | Type | Default | Allowed | Changes | What it is |\n" + "|---" * 6 + "|"


def reference(specs: Sequence[Spec] = SPECS) -> str:
    """Return the reference as Markdown, one row for each parameter in the table's order."""
    return f"{_INTRODUCTION}\n{_table(specs)}"


def camera_reference(specs: Sequence[Spec] = CAMERA_SPECS) -> str:
    """Return the section on what may be set for one camera."""
    return f"{_CAMERA_INTRODUCTION}\n{_table(specs)}"


def page() -> str:
    """Return the whole page."""
    return f"{reference()}\n{camera_reference()}"


def _table(specs: Sequence[Spec]) -> str:
    rows = "\n".join(_row(spec) for spec in specs)
    return f"{_HEAD}\n{rows}\n"


def _row(spec: Spec) -> str:
    cells = (
        f"`{spec.name}`",
        _TYPES[type(spec.default)],
        f"`{_value(spec.default)}`",
        _allowed(spec),
        _CHANGES[spec.change],
        spec.description.replace("<", "&lt;"),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(spec: Spec) -> str:
    """Say which values are allowed beyond the type."""
    if spec.choices:
        return ", ".join(f"`{_value(choice)}`" for choice in spec.choices)
    if spec.minimum is None or spec.maximum is None:
        return "any"
    return f"{spec.minimum:g} to {spec.maximum:g}"


def _value(value: bool | int | float | str | list[str]) -> str:
    """Write a value the way YAML takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    if isinstance(value, str):
        return value or '""'
    return str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the reference."""
    parser = argparse.ArgumentParser(description="Write the reference of the node's parameters.")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it here, not to stdout")
    args = parser.parse_args(argv)
    if args.out is None:
        sys.stdout.write(page())
    else:
        args.out.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

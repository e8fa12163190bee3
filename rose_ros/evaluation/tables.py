"""Write measured numbers into the pages, so that none is typed by hand.

    python -m rose_ros.evaluation.tables --segment FILE --novel FILE --find FILE --refine FILE \
        --own FILE --self FILE --calibration FILE --gallery docs/images/gallery.json

Each FILE is what ``rose_ros evaluate --json FILE`` wrote. What stands between the markers
``<!-- table: NAME -->`` and ``<!-- end of table: NAME -->`` of a page is replaced; a table is
left as it is when its file is not given.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rose_ros.errors import DataError, RoseError
from rose_ros.perception.selection import PerceiverOptions

Result = Mapping[str, Any]

#: The pages that may hold tables, from the root of the checkout.
PAGES = ("README.md", "docs/model.md", "docs/training.md")
#: Option -> (task, split) that its file must hold.
FILES = {
    "segment": ("segment", "test"),
    "novel": ("segment", "novel"),
    "find": ("find", "test"),
    "refine": ("refine", "test"),
    "own": ("own", "test"),
    "self": ("self", "test"),
    "calibration": ("calibration", "test"),
}
PLOT = "docs/images/reliability.png"
_BLOCK = r"<!-- table: ([a-z]+) -->\n.*?<!-- end of table: \1 -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the tables of the pages; returns the exit code."""
    args = _arguments(argv)
    try:
        results = {
            name: read_result(getattr(args, name), name)
            for name in FILES
            if getattr(args, name) is not None
        }
        gallery = None if args.gallery is None else _read(args.gallery)
        changed = write_pages(args.root, results, gallery)
    except (RoseError, OSError) as error:
        print(f"tables: {error}", file=sys.stderr)
        return 1
    for page, names in changed.items():
        print(f"{page}: {', '.join(names)}")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m rose_ros.evaluation.tables",
        description="Write measured numbers into the pages.",
    )
    for name, (task, split) in FILES.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            metavar="FILE",
            help=f"what evaluate --task {task} --split {split} --json FILE wrote",
        )
    parser.add_argument(
        "--gallery", type=Path, metavar="FILE", help="the index of rose_ros gallery"
    )
    parser.add_argument("--root", type=Path, default=Path("."), help="the checkout")
    return parser.parse_args(argv)


def read_result(path: Path, name: str) -> Result:
    """Read one result; raises ``DataError`` when it is of another task or split."""
    result = _read(path)
    run = result.get("run")
    if not isinstance(run, dict):
        raise DataError(f"{path} does not say what was run; write it with: evaluate --json FILE")
    task, split = FILES[name]
    if (run.get("task"), run.get("split")) != (task, split):
        raise DataError(
            f"{path} holds {run.get('task')} on {run.get('split')}; "
            f"--{name} takes {task} on {split}"
        )
    return result


def write_pages(
    root: Path, results: Mapping[str, Result], gallery: Result | None
) -> dict[str, list[str]]:
    """Rewrite the tables in the pages below ``root``; return the tables written, by page."""
    changed: dict[str, list[str]] = {}
    for page in PAGES:
        path = root / page
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        written: list[str] = []

        def fill(match: re.Match[str], page: str = page, written: list[str] = written) -> str:
            name = match[1]
            made = make_table(name, results, gallery, root, page)
            if made is None:
                return match[0]
            written.append(name)
            return f"<!-- table: {name} -->\n{made}\n<!-- end of table: {name} -->"

        filled = re.sub(_BLOCK, fill, text, flags=re.DOTALL)
        if written:
            path.write_text(filled, encoding="utf-8")
            changed[page] = written
    return changed


def make_table(
    name: str, results: Mapping[str, Result], gallery: Result | None, root: Path, page: str
) -> str | None:
    """Return what goes between the markers of a table, None when its file was not given.

    Raises ``DataError`` for a table that nobody knows.
    """
    if name == "overview":
        return overview(results) if "segment" in results else None
    if name in ("refine", "own"):
        return refine(results[name]) if name in results else None
    if name == "calibration":
        return calibration(results["calibration"], root, page) if name in results else None
    if name == "gallery":
        return None if gallery is None else pictures(gallery, page)
    raise DataError(f"{page} has a table {name!r}, which nothing fills")


def overview(results: Mapping[str, Result]) -> str:
    """Return the table of the main numbers, with the command of each."""
    rows = []
    segment = results["segment"]
    command = _command(segment)
    scores = " / ".join(_number(segment[key]) for key in ("pq", "sq", "rq"))
    rows.append(("class-agnostic PQ / SQ / RQ", scores, command))
    rows.append(("recall at IoU 0.5", _number(segment["recall_50"]), command))
    large = "the same, objects over 200 px of a 240x240 image"
    rows.append((large, _number(segment["recall_large"]), command))
    rows.append(("exact names on matched segments", _number(segment["name_accuracy"]), command))
    if novel := results.get("novel"):
        what = "exact names on colour-noun pairs that training never had"
        rows.append((what, _number(novel["name_accuracy"]), _command(novel)))
    if found := results.get("find"):
        numbers = f"{_number(found['giou'])} / {_number(found['n_acc'])}"
        what = "find by description: gIoU / right about nothing being there (N-acc)"
        rows.append((what, numbers, _command(found)))
    if rounds := results.get("self"):
        numbers = f"{_number(rounds['pq'], 3)} / {_number(rounds['pq_refined'], 3)}"
        what = "PQ without / with one round in which the model corrects itself"
        rows.append((what, numbers, _command(rounds)))
    if errors := results.get("calibration"):
        numbers = " / ".join(_number(errors[key]["ece"], 3) for key in ("objectness", "name"))
        what = "calibration error of segment scores / name scores"
        rows.append((what, numbers, _command(errors)))
    frame = f"{_number(segment['seconds_per_frame'])} s"
    rows.append(("one 320x240 frame, with names", frame, command))
    return _table(("", f"`{segment['run']['model']}`", "command"), rows) + f"\n\n{_where(segment)}"


def refine(result: Result) -> str:
    """Return the table of what corrections do, by kind."""
    columns = ("iou_before", "iou_after", "harm_rate", "preservation_iou")
    rows = []
    for kind, numbers in result.items():
        if kind == "run":
            continue
        before, after = numbers["iou_before"], numbers["iou_after"]
        gain = None if before is None or after is None else after - before
        cells = [_number(numbers[column]) for column in columns]
        signed = "-" if gain is None else f"{gain:+.2f}"
        rows.append((f"`{kind}`", *cells[:2], signed, *cells[2:], str(numbers["n"])))
    head = ("type", "IoU before", "IoU after", "gain", "harm rate", "others untouched", "n")
    return f"{_table(head, rows)}\n\n{_command(result)}. {_where(result)}"


def calibration(result: Result, root: Path, page: str) -> str:
    """Return the table of calibration errors, and the diagrams where they are drawn."""
    rows = []
    for name, title in (("objectness", "score of a segment"), ("name", "score of a name")):
        numbers = result[name]
        cells = [_number(numbers[key], 3) for key in ("ece_uncalibrated", "ece", "brier")]
        share = [_number(numbers[key], 3) for key in ("mean_score", "rate")]
        rows.append((title, *cells, *share, str(numbers["n"])))
    head = ("", "ECE of the model's own", "ECE", "Brier", "mean score", "share right", "n")
    text = f"{_table(head, rows)}\n\n{_command(result)}."
    if (root / PLOT).is_file():
        text += f"\n\n![Reliability diagrams]({_link(PLOT, page)})"
    return text


def pictures(gallery: Result, page: str) -> str:
    """Return the sheets of the gallery with their captions."""
    parts = []
    for name in ("scenes", "failures", "corrections", "photos"):
        if sheet := gallery.get(name):
            link = _link(f"docs/images/{sheet['file']}", page)
            parts.append(f"{sheet['caption']}.\n\n![{name}]({link})")
    return "\n\n".join(parts)


def _command(result: Result) -> str:
    """Write the command that made a result; what is the default is left out."""
    run = result["run"]
    parts = ["evaluate"]
    if run["task"] != "segment":
        parts.append(f"--task {run['task']}")
    if run["split"] != "test":
        parts.append(f"--split {run['split']}")
    if run["points"]:
        parts.append("--points")
    if run["close_ups"] != PerceiverOptions().close_ups:
        parts.append(f"--close-ups {run['close_ups']}")
    parts.append(f"--scenes {run['scenes']}")
    if run["seed"]:
        parts.append(f"--seed {run['seed']}")
    return f"`{' '.join(parts)}`"


def _where(result: Result) -> str:
    run = result["run"]
    cores = f"{run['cores']} core{'s' * (run['cores'] != 1)}"
    return (
        f"Measured with the {run['runtime']} runtime on {run['device']}, {cores} of {run['cpu']}."
    )


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _link(target: str, page: str) -> str:
    return os.path.relpath(target, os.path.dirname(page) or ".").replace(os.sep, "/")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object")
    return value


if __name__ == "__main__":
    sys.exit(main())

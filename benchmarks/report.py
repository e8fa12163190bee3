"""From rows to a table, a file, a page, and a comparison with the last committed run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.measures import BenchmarkError

FORMAT = 1
RESULTS = Path(__file__).resolve().parent / "results"
LATEST = RESULTS / "latest.json"
PLOT = RESULTS / "latest.svg"
_ROOT = Path(__file__).resolve().parents[1]
PAGE = _ROOT / "docs" / "performance.md"
PAGE_PLOT = _ROOT / "docs" / "images" / "frame_steps.svg"
BEGIN = "<!-- written by: python -m benchmarks --write-docs -->"
END = "<!-- end of what is written -->"
#: Ratios of two runs that differ by less, as a share, are the same.
NOISE = 0.15


def save(result: dict[str, Any], plot: str, name: str | None) -> list[Path]:
    """Write a result and its plot as the latest and, when named, beside the others."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    LATEST.write_text(text, encoding="utf-8")
    PLOT.write_text(plot, encoding="utf-8")
    if name is None:
        return [LATEST, PLOT]
    kept = RESULTS / f"{name}.json"
    kept.write_text(text, encoding="utf-8")
    return [LATEST, PLOT, kept]


def load_result(file: Path) -> dict[str, Any]:
    """Read a result; raises ``BenchmarkError``."""
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"cannot read {file.name}: {error}; run: make bench") from error
    if result.get("format") != FORMAT:
        raise BenchmarkError(f"{file.name} has format {result.get('format')}, not {FORMAT}")
    return result


def last_committed(folder: Path = RESULTS) -> dict[str, Any] | None:
    """Return the newest kept result that is whole, None where there is none."""
    kept = [load_result(file) for file in folder.glob("*.json") if file.name != LATEST.name]
    whole = [result for result in kept if not result["quick"]]
    return max(whole, key=lambda result: str(result["when"]), default=None)


def compare(result: dict[str, Any], before: dict[str, Any] | None) -> dict[tuple[str, str], str]:
    """Say of each ratio that both runs have what it was; by question and what was measured."""
    if before is None:
        return {}
    old = {(row["question"], row["what"]): row for row in before["rows"]}
    found = {}
    for row in result["rows"]:
        key = (row["question"], row["what"])
        if key in old and row["unit"] in ("x", "%") and old[key]["unit"] == row["unit"]:
            found[key] = _change(row, old[key]["value"])
    return found


def _change(row: dict[str, Any], before: float) -> str:
    """Write what a value was, and whether it is better or worse by more than noise."""
    text = f"{before:.3g} {row['unit']}"
    difference = row["value"] - before
    # Small percentages jump by much of themselves for nothing.
    least = max(NOISE * abs(before), 1.0 if row["unit"] == "%" else 0.0)
    if abs(difference) <= least:
        return text
    better = (difference > 0) == (row["better"] == "higher")
    return f"{text}, {'better' if better else 'worse'} now"


def table(result: dict[str, Any], before: dict[str, Any] | None) -> Table:
    """Make the table for the terminal."""
    compared = compare(result, before)
    made = Table(title=title(result), title_justify="left")
    for column in ("", "measured", "target", "", "last run", "from"):
        right = column == "measured"
        made.add_column(column, justify="right" if right else "left", no_wrap=right)
    question = ""
    for row in result["rows"]:
        if row["question"] != question:
            question = row["question"]
            made.add_section()
            made.add_row(f"[bold]{question}")
        made.add_row(
            f"  {row['what']}",
            value_of(row),
            row["target"],
            {True: "[green]yes", False: "[red]NO", None: ""}[row["ok"]],
            compared.get((question, row["what"]), ""),
            row["detail"],
        )
    return made


def title(result: dict[str, Any]) -> str:
    """Say on what kind of machine a result was measured, and how quiet it was."""
    machine = result["machine"]
    busy = f"; load {result['load']:.1f} before the start"
    return (
        f"{result['model']} on {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}{busy}"
    )


def value_of(row: dict[str, Any]) -> str:
    """Write a value with its unit."""
    return f"{row['value']:.3g} {row['unit']}".strip()


def markdown(result: dict[str, Any]) -> str:
    """Write a result for a page: the table of targets, the other numbers, the steps."""
    lines = [
        f"Measured on {result['when'][:10]} with `make bench`: {title(result)}, "
        + ", ".join(f"{name} {number}" for name, number in result["machine"]["packages"].items())
        + ".",
        "",
        "| | measured | target | met | from |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(result["rows"], key=lambda row: row["ok"] is None):
        met = {True: "yes", False: "**no**", None: ""}[row["ok"]]
        detail = row["detail"].splitlines()[0] if row["detail"] else ""
        cells = (row["what"], value_of(row), row["target"], met, detail)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    lines += [f"\n{note}" for note in result["notes"]]
    if result["steps"]:
        lines += ["", *_steps(result["steps"]), "", "![Where a frame's time goes]"]
        lines[-1] += f"(images/{PAGE_PLOT.name})"
    return "\n".join(lines)


def _steps(steps: dict[str, dict[str, float]]) -> list[str]:
    """Write the milliseconds of each step by image size."""
    names = list(dict.fromkeys(name for size in steps.values() for name in size))
    lines = ["| ms, median | " + " | ".join(steps) + " |", "|---" * (len(steps) + 1) + "|"]
    for name in names:
        cells = (f"{size[name]:.2f}" if name in size else "" for size in steps.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def write_page(result: dict[str, Any], page: Path = PAGE, plot: Path = PAGE_PLOT) -> None:
    """Put a result between the marks of the page; raises ``BenchmarkError``."""
    if result["quick"]:
        raise BenchmarkError("the latest run was a quick one; run make bench without --quick")
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise BenchmarkError(f"{page.name} needs the marks {BEGIN} and {END}, once each")
    written = f"{BEGIN}\n{markdown(result)}\n{END}"
    page.write_text(pattern.sub(lambda _: written, text), encoding="utf-8")
    if result["steps"]:
        shutil.copyfile(PLOT, plot)

"""``python -m benchmarks``: measure, print a table, write JSON and a plot."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.measures import Bench, BenchmarkError, Findings, load, machine
from benchmarks.plot import draw
from rose_ros.errors import RoseError

#: One module of this package each; the dearest for the machine's temper come first.
QUESTIONS = ("node", "steps", "runtimes", "naming", "scaling")
#: More processes than this that want to run make a machine busy.
_QUIET_LOAD = 1.0

#: Characters of a line where there is no terminal.
_FILE_WIDTH = 180

Report = Callable[[str, int, int], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; 0 when all could be measured, whether or not targets are met."""
    args = parse(argv)
    try:
        if args.write_docs:
            report.write_page(report.load_result(report.LATEST))
            print(f"wrote {report.PAGE.name}")
            return 0
        if args.quick and args.save:
            raise BenchmarkError("a quick run is not worth keeping; leave out --quick or --save")
        return measure(args)
    except (BenchmarkError, RoseError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--model", default="rose-tiny", help="checkpoint folder or name of a shipped model"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=QUESTIONS,
        metavar="NAME",
        help=f"only this question, may be given several times: {', '.join(QUESTIONS)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer frames, to try things out")
    parser.add_argument(
        "--save", metavar="NAME", help="keep the result as benchmarks/results/NAME.json, too"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="put the latest result into docs/performance.md"
    )
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> int:
    """Answer the questions asked, print and write what came out."""
    from benchmarks.graphs import with_graphs

    wanted = args.only or list(QUESTIONS)
    before, start = load(), time.monotonic()
    if before > _QUIET_LOAD:
        print(
            f"benchmarks: the machine is busy (load {before:.1f}): what is measured now is not "
            "what it can do",
            file=sys.stderr,
        )
    findings: dict[str, Findings] = {}
    failed = {}
    with progress(len(wanted)) as (show, done):
        bench = Bench(with_graphs(args.model, show), args.quick, show)
        for name in wanted:
            try:
                findings[name] = importlib.import_module(f"benchmarks.{name}").run(bench)
            except (BenchmarkError, RoseError) as error:
                failed[name] = str(error)
            done(name)
    result = collect(findings, bench, before, time.monotonic() - start)
    # A table that goes into a file needs no line breaks for a narrow terminal.
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
    console.print(report.table(result, report.last_committed()))
    for note in result["notes"]:
        print(note)
    for name, reason in failed.items():
        print(f"benchmarks: {name} could not be measured: {reason}", file=sys.stderr)
    for path in report.save(result, draw(result["steps"]), None if failed else args.save):
        print(f"wrote benchmarks/results/{path.name}")
    met = [row["ok"] for row in result["rows"] if row["ok"] is not None]
    print(f"{sum(met)} of {len(met)} targets met, {result['seconds']:.0f} s")
    return 1 if failed else 0


def collect(
    findings: dict[str, Findings], bench: Bench, before: float, seconds: float
) -> dict[str, Any]:
    """Put everything together that is written to a file."""
    return {
        "format": report.FORMAT,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "model": bench.model.name,
        "quick": bench.quick,
        "load": round(before, 2),
        "seconds": round(seconds, 1),
        "rows": [row.to_json() for found in findings.values() for row in found.rows],
        "notes": [note for found in findings.values() for note in found.notes],
        "steps": {
            size: {step: round(value, 3) for step, value in steps.items()}
            for found in findings.values()
            for size, steps in found.steps.items()
        },
    }


@contextmanager
def progress(questions: int) -> Iterator[tuple[Report, Callable[[str], None]]]:
    """Show what is done now; yields a function for the steps of a question, and for its end.

    On a terminal it is a bar; elsewhere a line when a question is answered.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"))
    hidden = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=hidden) as bar:
        whole = bar.add_task("benchmarks", total=questions, now="")

        def show(what: str, done: int, total: int) -> None:
            bar.update(whole, now=f"{what} {done}/{total}")

        def finish(name: str) -> None:
            bar.advance(whole)
            if hidden:
                console.print(f"benchmarks: {name} done")

        yield show, finish


if __name__ == "__main__":
    sys.exit(main())

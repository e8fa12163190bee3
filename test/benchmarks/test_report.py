"""The table, the files, the page and the comparison with the run before."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import report
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target
from benchmarks.plot import COLOURS, draw
from rose_ros.errors import ModelError

FASTER = Row(
    "runtimes", "onnx against torch", 2.1, "x", "higher", Target(at_least=1.8), "12 frames"
)
OLDER = Row("node", "age | p95", 120.0, "%", "lower", Target(at_most=100.0))
MEMORY = Row("node", "memory", 412.0, "MB", "lower")
STEPS = {"640x480": {"decode": 1.0, "encode": 30.0, "other": 0.5}, "1280x720": {"encode": 31.0}}


def result_of(tmp_path: Path, *rows: Row, quick: bool = False) -> dict[str, Any]:
    bench = Bench(tmp_path / "rose-tiny", quick, lambda *_: None)
    findings = {"node": Findings(list(rows), STEPS, ["int8 was not measured: why"])}
    return command.collect(findings, bench, 0.1, 12.0)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results"
    monkeypatch.setattr(report, "RESULTS", folder)
    monkeypatch.setattr(report, "LATEST", folder / "latest.json")
    monkeypatch.setattr(report, "PLOT", folder / "latest.svg")
    return folder


def test_a_result_is_written_and_read_again(tmp_path: Path, results: Path) -> None:
    result = result_of(tmp_path, FASTER, OLDER)
    written = report.save(result, "<svg/>", "quiet")
    assert [path.name for path in written] == ["latest.json", "latest.svg", "quiet.json"]
    assert report.load_result(results / "quiet.json") == result
    assert str(tmp_path) not in (results / "latest.json").read_text()
    (results / "latest.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="format None"):
        report.load_result(results / "latest.json")


def test_the_newest_whole_result_is_compared_with(tmp_path: Path, results: Path) -> None:
    results.mkdir()
    assert report.last_committed(results) is None
    for name, when, quick in (
        ("a", "2026-01", False),
        ("b", "2026-03", False),
        ("c", "2027", True),
    ):
        result = {**result_of(tmp_path, FASTER, quick=quick), "when": when}
        (results / f"{name}.json").write_text(json.dumps(result))
    (results / "latest.json").write_text("never read")
    last = report.last_committed(results)
    assert last is not None
    assert last["when"] == "2026-03"


def test_ratios_are_compared_and_noise_is_none(tmp_path: Path) -> None:
    def change(row: Row, before: float) -> str:
        old = Row(row.question, row.what, before, row.unit, row.better)
        compared = report.compare(result_of(tmp_path, row), result_of(tmp_path, old))
        return compared.get((row.question, row.what), "")

    assert change(FASTER, 2.0) == "2 x"
    assert change(FASTER, 1.5) == "1.5 x, better now"
    assert change(FASTER, 3.0) == "3 x, worse now"
    assert change(OLDER, 80.0) == "80 %, worse now"
    assert change(OLDER, 200.0) == "200 %, better now"
    assert change(Row("node", "overhead", 1.4, "%", "lower"), 0.9) == "0.9 %"
    assert change(MEMORY, 900.0) == "", "megabytes belong to one machine"
    assert report.compare(result_of(tmp_path, FASTER), None) == {}


def test_the_table_says_what_is_met(tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.table(result_of(tmp_path, FASTER, OLDER, MEMORY), None))
    lines = console.export_text().splitlines()

    def line(text: str) -> str:
        return next(line for line in lines if text in line)

    assert "yes" in line("onnx against torch")
    assert ">= 1.8 x" in line("onnx against torch")
    assert "NO" in line("age | p95")
    assert "412 MB" in line("memory")


def test_the_page_is_rewritten_between_its_marks(tmp_path: Path, results: Path) -> None:
    page, plot = tmp_path / "performance.md", tmp_path / "frame_steps.svg"
    page.write_text(f"# Speed\n\n{report.BEGIN}\n{report.END}\n\nThe end.\n")
    report.save(result_of(tmp_path, OLDER, FASTER, MEMORY), draw(STEPS), None)
    latest = report.load_result(results / "latest.json")
    for _ in range(2):
        report.write_page(latest, page, plot)
    text = page.read_text()
    assert text.startswith("# Speed\n")
    assert text.endswith("\nThe end.\n")
    assert text.count("| onnx against torch | 2.1 x | >= 1.8 x | yes | 12 frames |") == 1
    assert "| age / p95 | 120 % | <= 100 % | **no** |" in text
    assert "| decode | 1.00 |  |" in text
    assert "int8 was not measured: why" in text
    assert plot.read_text() == draw(STEPS)
    with pytest.raises(BenchmarkError, match="quick"):
        report.write_page({**latest, "quick": True}, page, plot)
    page.write_text("no marks")
    with pytest.raises(BenchmarkError, match="marks"):
        report.write_page(latest, page, plot)


def test_the_committed_page_has_its_marks() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_the_plot_is_an_image_with_all_parts() -> None:
    root = ElementTree.fromstring(draw(STEPS))
    rectangles = root.findall("{http://www.w3.org/2000/svg}rect")
    parts = {
        r.get("fill"): float(str(r.get("width"))) for r in rectangles if r.find("*") is not None
    }
    assert set(parts) == {COLOURS[name] for name in ("decode", "encode", "other")}
    widest = [
        r for r in rectangles if r.get("fill") == COLOURS["encode"] and r.find("*") is not None
    ]
    assert float(str(widest[0].get("width"))) < float(str(widest[1].get("width")))
    assert float(str(root.get("width"))) >= max(
        float(str(r.get("x"))) + float(str(r.get("width"))) for r in rectangles if r.get("x")
    )
    ElementTree.fromstring(draw({}))


def test_the_command_answers_what_it_is_asked(
    tmp_path: Path,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks import graphs, naming, scaling

    def fail(_: Bench) -> Findings:
        raise BenchmarkError("no frame came back")

    monkeypatch.setattr(graphs, "with_graphs", lambda model, _: tmp_path / model)
    monkeypatch.setattr(naming, "run", lambda bench: Findings([FASTER]))
    monkeypatch.setattr(scaling, "run", fail)
    assert command.main(["--only", "naming", "--save", "kept"]) == 0
    assert json.loads((results / "kept.json").read_text())["rows"] == [FASTER.to_json()]
    assert "1 of 1 targets met" in capsys.readouterr().out
    assert command.main(["--only", "naming", "--only", "scaling", "--save", "half"]) == 1
    assert "scaling could not be measured: no frame came back" in capsys.readouterr().err
    assert not (results / "half.json").exists(), "half a run was kept"
    assert command.main(["--quick", "--save", "x"]) == 1


def test_the_command_explains_a_missing_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--model", "nowhere"]) == 1
    assert "model 'nowhere' does not exist" in capsys.readouterr().err


def test_graphs_in_eight_bits_are_exported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import graphs

    exported: list[Path] = []

    def check(_: Path, folder: Path) -> None:
        if folder not in exported:
            raise ModelError("no graphs")

    monkeypatch.setattr(graphs, "CACHE", tmp_path)
    monkeypatch.setattr(graphs, "check_graphs", check)
    monkeypatch.setattr(graphs, "_export", lambda model, folder, report: exported.append(folder))
    for _ in range(2):
        found = graphs.eight_bits(tmp_path / "rose-tiny", lambda *_: None)
    assert exported == [found] == [tmp_path / "rose-tiny-int8"]

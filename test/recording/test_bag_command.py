"""The command ``bag``: what it prints, and how it ends."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rose_ros.cli import main
from rose_ros.runtime.base import Runtime

_SPEC = importlib.util.spec_from_file_location(
    "recording_fixtures", Path(__file__).with_name("conftest.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
recordings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(recordings)


@pytest.fixture
def source(record: Callable[..., Path], paint: Callable[..., Any]) -> Path:
    """A recording of three frames, the second of which cannot be used."""
    messages = [
        recordings.image_message(paint(("red", 20, 30, 60, 70)), recordings.FIRST + i)
        for i in range(3)
    ]
    messages[1].encoding = "thermal"
    return record(messages)


@pytest.fixture
def arguments(source: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> list[str]:
    """The arguments that segment it, on the scripted model."""
    monkeypatch.setattr("rose_ros.runtime.create_runtime", lambda *_, **__: runtime)
    return ["bag", str(source), "--topic", "/camera/image", "--out", str(source.parent / "out")]


def test_it_says_what_became_of_the_recording(
    arguments: list[str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = source.parent / "seen.json"
    assert main([*arguments, "--coco", str(coco), "--segments-topic", "/seen"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{source.parent / 'out'}: 2 segments in 2 arrays on /seen, from 3 messages on "
        "/camera/image",
        f"{coco}: the same as COCO JSON",
    ]
    assert err.startswith("rose_ros bag: 1 messages could not be used; message 2: encoding")
    assert len(json.loads(coco.read_text())["annotations"]) == 2


def test_the_summary_comes_as_json(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary.pop("reason").startswith("message 2")
    assert summary == {"messages": 3, "resumed": 0, "arrays": 2, "segments": 2, "unusable": 1}


def test_an_interruption_says_how_to_go_on(
    arguments: list[str],
    source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    runtime: Any,
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(runtime, "name", stop)
        assert main(arguments) == 130
    assert f"kept in {source.parent / 'out.partial'}; the same command" in capsys.readouterr().err
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "exists; delete it" in capsys.readouterr().err


def test_a_wrong_topic_is_one_clear_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments[arguments.index("/camera/image")] = "/camera/image_raw"
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "image topics: /camera/image (sensor_msgs/msg/Image, 3)" in error

"""When TensorRT is taken, what is said when it cannot be, and the command that builds engines."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from importlib.util import find_spec as real_find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rose_ros.runtime as runtimes
from rose_ros.cli import main
from rose_ros.commands import build_engine as command
from rose_ros.errors import EngineError, RuntimeUnavailableError
from rose_ros.runtime import create_runtime, engine_build, tensorrt
from rose_ros.runtime.engine_build import build_engines
from rose_ros.runtime.engine_device import CudaDevice
from rose_ros.runtime.engine_files import PRECISIONS, BuildOptions
from rose_ros.runtime.engine_library import Library

IMAGE = np.random.default_rng(5).integers(0, 256, (30, 50, 3), np.uint8)
EXACT = BuildOptions("float32", regions=(2, 4))

_SPEC = importlib.util.spec_from_file_location(
    "tensorrt_double", Path(__file__).with_name("tensorrt_double.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
double = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(double)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine with a GPU, TensorRT and an empty cache; PyTorch only says where it was asked."""
    made = double.World()
    monkeypatch.setitem(sys.modules, "tensorrt", made.module())
    monkeypatch.setattr(double.HostDevice, "world", made, raising=False)
    for module in (engine_build, tensorrt):
        monkeypatch.setattr(module, "CudaDevice", double.HostDevice)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        runtimes, "find_spec", lambda name: name == "tensorrt" or real_find_spec(name)
    )
    monkeypatch.setattr(runtimes, "_has_gpu", lambda: True)
    monkeypatch.setattr(
        runtimes, "_open_torch", lambda model, device, threads: f"torch on {device}"
    )
    return made


def build(checkpoint: Path) -> None:
    build_engines(checkpoint, [IMAGE], options=EXACT)


@pytest.mark.parametrize("device", ["auto", "cuda:0"])
def test_auto_takes_engines_that_fit(exported: Path, world: Any, device: str) -> None:
    build(exported)
    assert create_runtime(exported, device=device).kind == "tensorrt"
    assert create_runtime(exported, runtime="tensorrt", device=device).kind == "tensorrt"


def test_auto_on_the_cpu_takes_none(exported: Path, world: Any) -> None:
    build(exported)
    assert create_runtime(exported, device="cpu").kind == "onnx"


def test_auto_without_engines_is_torch_and_names_the_command(
    exported: Path, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert create_runtime(exported) == "torch on auto"
    (record,) = caplog.records
    assert f"run: python -m rose_ros build-engine --model {exported}" in record.getMessage()
    assert "Builder" not in world.events, "only the command builds"


def test_auto_without_tensorrt_is_torch_in_silence(
    exported: Path,
    world: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(
        runtimes, "find_spec", lambda name: None if name == "tensorrt" else real_find_spec(name)
    )
    assert create_runtime(exported, device="cuda:1") == "torch on cuda:1"
    assert not caplog.records


def test_onnx_runtime_stands_in_only_where_allowed(
    exported: Path, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EngineError, match="run: python -m rose_ros build-engine"):
        create_runtime(exported, runtime="tensorrt")
    with caplog.at_level(logging.WARNING):
        stand_in = create_runtime(exported, runtime="tensorrt_or_onnx")
    assert (stand_in.kind, stand_in.device) == ("onnx", "cpu")
    assert "ONNX Runtime runs the network meanwhile: there are no engines" in caplog.text
    build(exported)
    assert create_runtime(exported, runtime="tensorrt_or_onnx").kind == "tensorrt"


# -- what is not there ----------------------------------------------------------------------------


def test_without_tensorrt_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeUnavailableError, match=r"needs TensorRT's libraries.*JetPack"):
        Library()


def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", double.World("8.6.2").module())
    with pytest.raises(RuntimeUnavailableError, match=r"8\.6\.2 is installed; 10\.3 or newer"):
        Library()


def test_a_cpu_is_refused_with_a_way_out() -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"runs on a GPU.*runtime onnx"):
        CudaDevice("cpu")


def test_without_a_gpu_it_is_said(exported: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeUnavailableError, match="needs an NVIDIA GPU that PyTorch can use"):
        create_runtime(exported, runtime="tensorrt")


def test_on_a_real_gpu(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build, test and run for real, where there is something real."""
    import torch

    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build(exported)
    runtime = create_runtime(exported, runtime="tensorrt")
    encoding = runtime.encode(IMAGE)
    wanted = create_runtime(exported, runtime="onnx", device="cpu")
    np.testing.assert_allclose(
        runtime.perceive(encoding, "Segment everything.").objectness,
        wanted.perceive(wanted.encode(IMAGE), "Segment everything.").objectness,
        atol=1e-3,
    )


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_scenes", lambda count: iter([IMAGE] * count))


def arguments(checkpoint: Path, *more: str) -> list[str]:
    given = ["--model", str(checkpoint), "--precision", "float32", "--scenes", "1"]
    return ["build-engine", *given, "--regions", "2,4", *more]


def test_the_command_builds_and_says_so(
    exported: Path, world: Any, images: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(exported)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert "name: largest error" in lines[7]
    assert "0 of" in lines[7]
    assert "tokens differ, built in" in lines[7]
    assert main(arguments(exported, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] == [record["graph"] for record in told["engines"]]
    assert Path(told["folder"]).is_dir()
    assert told["engines"][0]["machine"]["gpu"] == "Test GPU"


def test_the_command_fails_with_the_reason(
    exported: Path, world: Any, images: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world.failures["build_serialized_network"] = "no memory"
    assert main(arguments(exported)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "rose_ros build-engine: TensorRT cannot build the engine encode: no memory" in said.err


@pytest.mark.parametrize(
    "wrong", [["--regions", "4,2"], ["--regions", "x"], ["--precision", "int8"], ["--level", "9"]]
)
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["build-engine", *wrong])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_command_knows_what_can_be_built() -> None:
    assert command.PRECISIONS == PRECISIONS
    assert command._sizes(command.REGIONS) == BuildOptions().regions

"""Engines: built, tested, kept, refused and run, on a stand-in that computes with ONNX Runtime."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose_ros.errors import EngineError, ModelError, RuntimeUnavailableError
from rose_ros.runtime import engine_build, tensorrt
from rose_ros.runtime.base import Candidates, Runtime
from rose_ros.runtime.engine_build import Built, build_engines
from rose_ros.runtime.engine_files import BuildOptions
from rose_ros.runtime.engine_selftest import LIMITS
from rose_ros.runtime.manifest import GRAPHS
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.tensorrt import TensorRtRuntime

_SPEC = importlib.util.spec_from_file_location(
    "tensorrt_double", Path(__file__).with_name("tensorrt_double.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
double = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(double)

MACHINE, HostDevice, World = double.MACHINE, double.HostDevice, double.World
IMAGE = np.random.default_rng(5).integers(0, 256, (30, 50, 3), np.uint8)
MASK = np.zeros((30, 50), bool)
MASK[5:20, 10:35] = True
EXACT = BuildOptions("float32", regions=(2, 4))
CLOSE = {"atol": 2e-5, "rtol": 1e-4}
#: Where a closer look falls follows from a mask, and so do rounding errors.
SHARP = {"atol": 5e-4, "rtol": 1e-3}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    made = World()
    install(monkeypatch, made)
    monkeypatch.setattr(HostDevice, "machine", MACHINE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def install(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    """Put the stand-ins where the code looks for TensorRT and for the GPU."""
    monkeypatch.setitem(sys.modules, "tensorrt", world.module())
    monkeypatch.setattr(HostDevice, "world", world, raising=False)
    for module in (engine_build, tensorrt):
        monkeypatch.setattr(module, "CudaDevice", HostDevice)


def engines() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "rose_ros" / "engines"


def build(checkpoint: Path, options: BuildOptions = EXACT, **more: Any) -> Built:
    return build_engines(checkpoint, [IMAGE], options=options, **more)


def some(runtime: Runtime, count: int) -> Candidates:
    """Candidates far from each other, so that masks and names are, too."""
    found = runtime.perceive(runtime.encode(IMAGE), "Segment everything.")
    scale = np.linspace(-3.0, 3.0, len(found), dtype=np.float32)[:, None]
    changed = Candidates(
        found.objectness,
        found.centres,
        found.mask_embeddings * scale,
        found.category_embeddings * 20 * scale,
    )
    return changed.take(np.arange(count) % len(found))


def test_engines_answer_as_onnx_runtime_does(exported: Path, world: Any) -> None:
    """Batches that are filled up (1, 3), full (2), split (7), and none; with and without a mask."""
    build(exported)
    mine, theirs = TensorRtRuntime(exported), OnnxRuntime(exported, threads=1)
    assert (mine.kind, mine.device) == ("tensorrt", "cuda:0")
    one, two = mine.encode(IMAGE), theirs.encode(IMAGE)
    for text, mask in (("Segment everything.", None), ("Segment the red mug.", MASK)):
        given, wanted = mine.perceive(one, text, mask), theirs.perceive(two, text, mask)
        for field in ("objectness", "centres", "mask_embeddings", "category_embeddings"):
            np.testing.assert_allclose(getattr(given, field), getattr(wanted, field), **CLOSE)
    for count in (1, 3, 2, 7, 0):
        batch, mask = some(theirs, count), MASK if count == 3 else None
        given_masks, wanted_masks = mine.draw(one, batch, mask), theirs.draw(two, batch, mask)
        assert given_masks.logits.shape == wanted_masks.logits.shape
        np.testing.assert_allclose(given_masks.logits, wanted_masks.logits, **SHARP)
        np.testing.assert_allclose(given_masks.quality, wanted_masks.quality, **CLOSE)
        given_names = mine.name(one, wanted_masks.logits, batch.category_embeddings)
        wanted_names = theirs.name(two, wanted_masks.logits, batch.category_embeddings)
        assert [name.text for name in given_names] == [name.text for name in wanted_names]
        np.testing.assert_allclose(
            [name.score for name in given_names], [name.score for name in wanted_names], **CLOSE
        )
        asked = wanted_masks.logits, batch.category_embeddings, "red mug"
        np.testing.assert_allclose(
            mine.likelihood(one, *asked), theirs.likelihood(two, *asked), atol=1e-6, rtol=1e-3
        )
    mine.close()


def test_an_encoding_outlives_the_next_one(exported: Path, world: Any) -> None:
    build(exported)
    runtime = TensorRtRuntime(exported)
    first = runtime.encode(IMAGE)
    before = runtime.perceive(first, "Segment everything.").objectness
    runtime.encode(255 - IMAGE)
    np.testing.assert_array_equal(runtime.perceive(first, "Segment everything.").objectness, before)


def test_regions_run_as_recorded_launches(exported: Path, world: Any) -> None:
    built = build(exported)
    runtime = TensorRtRuntime(exported)
    by_regions = ("decode", "sharpen", "region", "name")
    fixed = [len(record.profiles) for record in built.records if record.graph in by_regions]
    assert fixed[:3] == [2, 2, 2]
    assert fixed[3] in (4, 6), "one more word, and each prompt, in two sizes of batch"
    assert world.events.count("record") == 2 * sum(fixed), "twice: in the test, and now"
    encoding = runtime.encode(IMAGE)
    batch = some(runtime, 3)
    world.events.clear()
    logits = runtime.draw(encoding, batch).logits
    runtime.name(encoding, logits, batch.category_embeddings)
    assert world.events.count("replay") >= 3
    assert "execute_async_v3" not in world.events
    assert "set_tensor_address" not in world.events


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_baked_into_the_graphs(
    exported: Path, world: Any, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    # A fresh model's words are all about as likely: which one wins is not the point here.
    monkeypatch.setitem(LIMITS, precision, replace(LIMITS[precision], wrong_tokens=0.2))
    built = build(exported, BuildOptions(precision, regions=(2, 4)))
    by_graph = dict(zip(GRAPHS, world.half, strict=True))
    assert by_graph.pop("region") == set()
    assert all("MatMul" in found for found in by_graph.values())
    exact = {"LayerNormalization", "Softmax", "Pow", "ReduceMean", "Sqrt", "Sin", "Cos"}
    assert not any(found & exact for found in by_graph.values())
    for record in built.records:
        assert (record.self_test["error"] > 1e-5) == (record.graph != "region")
    runtime = TensorRtRuntime(exported)
    assert len(runtime.perceive(runtime.encode(IMAGE), "Segment everything.")) == 9


# -- what is kept ---------------------------------------------------------------------------------


def test_records_say_what_engines_are(exported: Path, world: Any) -> None:
    built = build(exported)
    assert built.folder.parent == engines()
    assert built.kept == ()
    for graph in GRAPHS:
        record = json.loads((built.folder / f"{graph}.json").read_text())
        assert record["machine"] == {**asdict(MACHINE), "tensorrt": "10.13.3.9"}
        assert record["options"]["precision"] == "float32"
        assert record["self_test"]["calls"] > 0
    assert record["profiles"][0]["regions"] == [[2, 24], [2, 24], [2, 24]]
    assert record["self_test"]["tokens"] > 0


def test_a_second_build_keeps_the_first(exported: Path, world: Any) -> None:
    first = build(exported)
    (first.folder / "decode.engine").write_bytes(b"damaged")
    world.events.clear()
    second = build(exported)
    assert world.events.count("build_serialized_network") == 1
    assert second.kept == ("encode", "embed", "perceive", "sharpen", "region", "name")
    world.events.clear()
    assert build(exported, rebuild=True).kept == ()
    assert world.events.count("build_serialized_network") == 7


def test_what_matters_is_in_the_key(
    exported: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {build(exported).folder}
    folders.add(build(exported, replace(EXACT, level=1)).folder)
    folders.add(build(exported, replace(EXACT, regions=(4,))).folder)
    for change in ({"driver": "999"}, {"gpu": "Other"}, {"capability": "9.0"}, {"cuda": "13.0"}):
        monkeypatch.setattr(HostDevice, "machine", replace(MACHINE, **change))
        folders.add(build(exported).folder)
    assert len(folders) == 7


def test_timings_are_kept_and_begun_anew_when_refused(exported: Path, world: Any) -> None:
    build(exported)
    (path,) = engines().glob("*.bin")
    assert path.name == "timings-10.13.3.9-Test-GPU.bin"
    assert path.read_bytes() == b"ttttttt"
    world.failures["set_timing_cache"] = "another version"
    build(exported, rebuild=True)
    assert path.read_bytes() == b"t"


def test_two_builds_at_once_are_refused(exported: Path, world: Any) -> None:
    def build_again(graph: str, phase: str, done: int, total: int) -> bool:
        with pytest.raises(EngineError, match="another process builds engines"):
            build(exported)
        return True

    build(exported, progress=build_again)


def test_eleven_needs_no_flag(exported: Path, monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    world.version = "11.4.0.106"
    install(monkeypatch, world)
    assert build(exported).records[0].machine.tensorrt == "11.4.0.106"


# -- what is refused ------------------------------------------------------------------------------


def refused(checkpoint: Path) -> str:
    """Return why the node gets no engines."""
    with pytest.raises(EngineError) as caught:
        TensorRtRuntime(checkpoint)
    message = str(caught.value)
    assert f"run: python -m rose_ros build-engine --model {checkpoint}" in message
    return message


def test_without_engines_the_command_is_named(exported: Path, world: Any) -> None:
    assert "there are no engines of tiny in" in refused(exported)
    assert "build_serialized_network" not in world.events


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"driver": "570.1"}, "built for driver '560.35', here is '570.1'"),
        ({"gpu": "Other"}, "built for gpu 'Test GPU', here is 'Other'"),
        ({"capability": "9.0"}, "built for capability '8.7'"),
    ],
)
def test_engines_of_another_machine(
    exported: Path,
    world: Any,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    reason: str,
) -> None:
    build(exported)
    monkeypatch.setattr(HostDevice, "machine", replace(MACHINE, **change))
    assert reason in refused(exported)


def test_engines_of_another_tensorrt(
    exported: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(exported)
    world.version = "10.16.1.11"
    install(monkeypatch, world)
    assert "built for tensorrt '10.13.3.9', here is '10.16.1.11'" in refused(exported)


def test_engines_of_other_graphs(
    checkpoint: Path, exported: Path, world: Any, make_checkpoint: Callable[..., Path]
) -> None:
    build(checkpoint)
    path = checkpoint / "onnx" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["note.txt"] = hashlib.sha256(b"").hexdigest()
    (checkpoint / "onnx" / "note.txt").touch()
    path.write_text(json.dumps(manifest))
    assert "was built from other graphs" in refused(checkpoint)


def test_graphs_of_another_checkpoint(checkpoint: Path, world: Any) -> None:
    build(checkpoint)
    config = checkpoint / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(ModelError, match=r"another checkpoint: config\.json differs"):
        TensorRtRuntime(checkpoint)
    with pytest.raises(ModelError, match="run: python -m rose_ros export"):
        build(checkpoint)


def test_a_changed_engine_is_never_loaded(exported: Path, world: Any) -> None:
    path = build(exported).folder / "name.engine"
    path.write_bytes(path.read_bytes() + b" ")
    assert "name.engine is damaged or was changed" in refused(exported)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("region.json", None, "holds no engine of the graph region"),
        ("region.json", "{", "cannot read"),
        ("region.json", '{"format": 0}', "has format 0; this version reads format 1"),
        ("region.json", '{"format": 1}', "cannot read"),
        ("region.json", "[]", "cannot read"),
    ],
)
def test_sick_records(exported: Path, world: Any, file: str, text: str | None, reason: str) -> None:
    path = build(exported).folder / file
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert reason in refused(exported)


def test_an_engine_that_was_never_tested(exported: Path, world: Any) -> None:
    path = build(exported).folder / "encode.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "self_test": {}}))
    assert "was never tested" in refused(exported)


def test_engines_of_several_builds_do_not_mix(exported: Path, world: Any) -> None:
    one, two = build(exported).folder, build(exported, replace(EXACT, level=1)).folder
    for name in ("decode.json", "decode.engine"):
        shutil.copy(two / name, one / name)
    shutil.rmtree(two)
    assert "mixes engines of several builds" in refused(exported)


def test_the_newest_engines_that_fit_are_taken(
    exported: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(exported).folder
    monkeypatch.setattr(HostDevice, "machine", replace(MACHINE, gpu="Other"))
    build(exported)
    monkeypatch.setattr(HostDevice, "machine", MACHINE)
    assert TensorRtRuntime(exported).engines == first


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda name, value: value * 1.01 if name == "logits" else value, "error is 0.01"),
        (lambda name, value: -value if name == "logits" else value, "mask_iou is"),
        (lambda name, value: value + 1 if name == "next_ids" else value, "tokens of names differ"),
        (lambda name, value: value * np.nan if name == "patches" else value, "error is nan"),
        (lambda name, value: value - 0.1 if name == "objectness" else value, "probability is 0.1"),
    ],
)
def test_a_wrong_engine_is_not_kept(
    exported: Path, world: Any, spoil: Callable[[str, Any], Any], reason: str
) -> None:
    world.spoil = spoil
    with pytest.raises(EngineError, match=reason) as caught:
        build(exported)
    assert "does not agree with ONNX Runtime" in str(caught.value)
    assert "it was not kept" in str(caught.value)
    world.spoil = lambda name, value: value
    refused(exported)


# -- what fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "said", "error", "reason"),
    [
        ("Builder", "CUDA error 100", RuntimeUnavailableError, "finds no NVIDIA GPU or driver"),
        ("init_libnvinfer_plugins", "no", RuntimeUnavailableError, "plugins cannot be loaded: no"),
        ("parse_from_file", "bad", EngineError, "cannot read the graph encode: Abacus node_7: bad"),
        ("add_optimization_profile", "odd", EngineError, "refuses the profile .*: odd"),
        ("build_serialized_network", "dead", EngineError, "cannot build the engine encode: dead"),
        (
            "build_serialized_network",
            "Could not find any implementation for node {ForeignNode}",
            EngineError,
            "for want of memory",
        ),
    ],
)
def test_a_failing_build_says_why(
    exported: Path, world: Any, method: str, said: str, error: type, reason: str
) -> None:
    world.failures[method] = said
    with pytest.raises(error, match=reason):
        build(exported)


def test_a_build_can_be_stopped(exported: Path, world: Any) -> None:
    with pytest.raises(EngineError, match="building the engine encode was stopped"):
        build(exported, progress=lambda *_: False)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("deserialize_cuda_engine", "refuses the engine encode: version tag"),
        ("create_execution_context", "profile 0 of the engine encode cannot be used"),
        ("set_optimization_profile_async", "profile 0 of the engine encode cannot be used"),
        ("set_input_shape", "refuses mask_embeddings"),
        ("set_tensor_address", "refuses the address of"),
        ("execute_async_v3", "does not run: version tag"),
    ],
)
def test_a_failing_load_says_why(exported: Path, world: Any, method: str, reason: str) -> None:
    build(exported)
    world.failures[method] = "version tag does not match"
    assert reason.split(":")[0] in refused(exported)


def test_inputs_in_host_memory_are_refused(exported: Path, world: Any) -> None:
    build(exported)
    world.inputs_in_host_memory = True
    assert "in host memory" in refused(exported)


def test_a_text_beyond_the_profiles_is_refused(exported: Path, world: Any) -> None:
    build(exported)
    runtime = TensorRtRuntime(exported)
    encoding = runtime.encode(IMAGE)
    with pytest.raises(EngineError, match="the engine perceive was not built for inputs of"):
        runtime.perceive(encoding, "")


def test_int8_graphs_are_refused(checkpoint: Path, world: Any) -> None:
    path = checkpoint / "onnx" / "manifest.json"
    path.write_text(path.read_text().replace('"precision": "float32"', '"precision": "int8"'))
    with pytest.raises(EngineError, match="are int8, which only a CPU runs"):
        build(checkpoint)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"precision": "int8"}, "choose one of float32, float16, bfloat16"),
        ({"regions": (4, 2)}, "must rise"),
        ({"regions": ()}, "must rise"),
        ({"regions": (0, 2)}, "must be 1 or more"),
        ({"level": 6}, "must be 0 to 5"),
        ({"workspace": 0}, "must be 1 MiB or more"),
    ],
)
def test_options_that_cannot_be_built(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        BuildOptions(**options)

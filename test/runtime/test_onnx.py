"""ONNX Runtime answers as PyTorch does, call by call, and needs none of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose_ros.errors import RuntimeUnavailableError
from rose_ros.perception.perceiver import Perceiver
from rose_ros.runtime import create_runtime
from rose_ros.runtime.base import Candidates, Runtime
from rose_ros.runtime.export import export
from rose_ros.runtime.manifest import ENCODERS
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.torch import TorchRuntime

IMAGE = np.random.default_rng(5).integers(0, 256, (30, 50, 3), np.uint8)
MASK = np.zeros((30, 50), bool)
MASK[5:20, 10:35] = True
CLOSE = {"atol": 2e-5, "rtol": 1e-4}
#: Where a closer look falls follows from a mask, and so do rounding errors.
SHARP = {"atol": 5e-4, "rtol": 1e-3}


@pytest.fixture(scope="module")
def onnx(exported: Path) -> Runtime:
    return OnnxRuntime(exported, threads=1)


@pytest.fixture(scope="module")
def torch(exported: Path) -> Runtime:
    return TorchRuntime(exported, device="cpu")


def some(runtime: Runtime, count: int = 9) -> Candidates:
    """Candidates far from each other, so that masks and names are, too."""
    found = runtime.perceive(runtime.encode(IMAGE), "Segment everything.")
    scale = np.linspace(-3.0, 3.0, len(found), dtype=np.float32)[:, None]
    changed = Candidates(
        found.objectness,
        found.centres,
        found.mask_embeddings * scale,
        found.category_embeddings * 20 * scale,
    )
    return changed.take(np.arange(count))


def test_encodings_describe_the_same_image(onnx: Runtime, torch: Runtime) -> None:
    mine, theirs = onnx.encode(IMAGE), torch.encode(IMAGE)
    assert (mine.height, mine.width) == (theirs.height, theirs.width) == (30, 50)
    assert mine.content == theirs.content
    np.testing.assert_allclose(mine.features["patches"], theirs.features.patches, **CLOSE)
    np.testing.assert_allclose(mine.features["embedding"], theirs.features.embedding, **CLOSE)
    for (keys, values), layer in zip(theirs.features.prefix, mine.features["prefix"], strict=True):
        np.testing.assert_allclose(layer[0], keys, **CLOSE)
        np.testing.assert_allclose(layer[1], values, **CLOSE)


@pytest.mark.parametrize("text", ["S", "Segment everything.", "Segment the red mug. " * 20])
@pytest.mark.parametrize("previous", [None, MASK], ids=["first", "revised"])
def test_candidates_agree(
    onnx: Runtime, torch: Runtime, text: str, previous: np.ndarray | None
) -> None:
    given = onnx.perceive(onnx.encode(IMAGE), text, previous)
    wanted = torch.perceive(torch.encode(IMAGE), text, previous)
    for field in ("objectness", "centres", "mask_embeddings", "category_embeddings"):
        one, two = getattr(given, field), getattr(wanted, field)
        assert one.dtype == two.dtype == np.float32
        np.testing.assert_allclose(one, two, err_msg=field, **CLOSE)


def test_a_previous_mask_changes_the_answer(onnx: Runtime) -> None:
    encoding, candidates = onnx.encode(IMAGE), some(onnx, 3)
    plain = onnx.perceive(encoding, "Segment it.")
    revised = onnx.perceive(encoding, "Segment it.", MASK)
    assert not np.allclose(plain.objectness, revised.objectness)
    first = onnx.draw(encoding, candidates)
    assert not np.allclose(first.logits, onnx.draw(encoding, candidates, MASK).logits)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("previous", [None, MASK], ids=["first", "revised"])
def test_masks_agree(
    onnx: Runtime, torch: Runtime, count: int, previous: np.ndarray | None
) -> None:
    candidates = some(torch, count)
    given = onnx.draw(onnx.encode(IMAGE), candidates, previous)
    wanted = torch.draw(torch.encode(IMAGE), candidates, previous)
    assert given.logits.shape == wanted.logits.shape == (count, 48, 48)
    assert np.abs(wanted.logits).max() > 0.05, "too flat to compare"
    np.testing.assert_allclose(given.logits, wanted.logits, **SHARP)
    np.testing.assert_allclose(given.quality, wanted.quality, **CLOSE)


def test_names_agree(onnx: Runtime, torch: Runtime) -> None:
    candidates = some(torch)
    logits = torch.draw(torch.encode(IMAGE), candidates).logits
    given = onnx.name(onnx.encode(IMAGE), logits, candidates.category_embeddings)
    wanted = torch.name(torch.encode(IMAGE), logits, candidates.category_embeddings)
    assert [name.text for name in given] == [name.text for name in wanted]
    assert len({name.text for name in wanted}) > 1, "every region has the same name"
    np.testing.assert_allclose([n.score for n in given], [n.score for n in wanted], **CLOSE)


def test_names_of_a_batch_equal_names_one_by_one(onnx: Runtime) -> None:
    candidates = some(onnx)
    encoding = onnx.encode(IMAGE)
    logits = onnx.draw(encoding, candidates).logits
    together = onnx.name(encoding, logits, candidates.category_embeddings)
    for index, name in enumerate(together):
        row = slice(index, index + 1)
        (alone,) = onnx.name(encoding, logits[row], candidates.category_embeddings[row])
        assert alone.text == name.text
        assert alone.score == pytest.approx(name.score, abs=1e-5)


def test_naming_ends_at_the_end_token(onnx: OnnxRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that ended stay ended, and score only what was said up to the end."""
    end, said = onnx._manifest.end_token_id, iter([[7, 0], [0, 9], [9, 9]])
    run = onnx.run

    def scripted(graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        words = [end if word == 0 else word for word in next(said)]
        probability = np.asarray([0.5, 0.25], np.float32)
        return {**run(graph, inputs), "next_ids": np.asarray(words), "probability": probability}

    monkeypatch.setattr(onnx, "run", scripted)
    prompt = onnx._processor.name_prompt_ids()
    ids, scores = onnx._answer(np.zeros((2, 24), np.float32), prompt)
    assert ids.tolist() == [[7, end, end, end, end], [end] * 5]
    assert scores.tolist() == [0.5, 0.25]


def test_nothing_gives_nothing(onnx: Runtime) -> None:
    encoding, none = onnx.encode(IMAGE), some(onnx, 0)
    decoded = onnx.draw(encoding, none)
    assert decoded.logits.shape == (0, 48, 48)
    assert decoded.quality.shape == (0,)
    assert onnx.name(encoding, decoded.logits, none.category_embeddings) == []


def test_an_encoding_can_be_asked_again_and_again(onnx: Runtime) -> None:
    encoding = onnx.encode(IMAGE)
    before = onnx.perceive(encoding, "Segment everything.")
    onnx.perceive(encoding, "Segment the blue bowl.", MASK)
    np.testing.assert_array_equal(
        onnx.perceive(encoding, "Segment everything.").objectness, before.objectness
    )


def test_an_encoding_keeps_what_later_graphs_take(onnx: OnnxRuntime) -> None:
    """A graph may take an input of the encoder again; the manifest says so."""
    features = onnx.encode(IMAGE).features
    graphs = onnx._manifest.graphs
    later = set[str]().union(*(graphs[name]["inputs"] for name in graphs if name not in ENCODERS))
    known = {name for one in ENCODERS for end in ("inputs", "outputs") for name in graphs[one][end]}
    assert set(features) == later & known
    assert {"patches", "embedding", "prefix"} <= set(features)


def test_batches_are_small_and_change_nothing(
    onnx: OnnxRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, candidates = onnx.encode(IMAGE), some(onnx)
    run, sizes = onnx.run, list[int]()

    def counted(graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        sizes.append(inputs["mask_embeddings"].shape[1])
        return run(graph, inputs)

    monkeypatch.setattr(onnx, "run", counted)
    monkeypatch.setattr(onnx, "decoded_at_once", 4)
    monkeypatch.setattr(onnx, "_threads", 2)
    parts = onnx.draw(encoding, candidates)
    assert sorted(sizes) == [2] * 6 + [3] * 2, "as many batches as fill both threads"
    monkeypatch.setattr(onnx, "_threads", 1)
    monkeypatch.setattr(onnx, "decoded_at_once", 9)
    sizes.clear()
    whole = onnx.draw(encoding, candidates)
    assert sizes == [9, 9]
    np.testing.assert_allclose(parts.logits, whole.logits, **SHARP)
    np.testing.assert_allclose(parts.quality, whole.quality, **CLOSE)


def test_a_closer_look_is_finer_and_says_something_new(onnx: Runtime) -> None:
    encoding, candidates = onnx.encode(IMAGE), some(onnx, 3)
    decoded = onnx.decode(encoding, candidates)
    sharp = onnx.sharpen(encoding, candidates, decoded)
    assert (decoded.logits.shape, sharp.logits.shape) == ((3, 24, 24), (3, 48, 48))
    coarse = sharp.logits.reshape(3, 24, 2, 24, 2).mean(axis=(2, 4))
    assert np.abs(coarse - decoded.logits.clip(-8, 8)).max() > 0.1
    drawn = onnx.draw(encoding, candidates)
    np.testing.assert_array_equal(drawn.logits, sharp.logits)


def test_a_model_without_a_closer_look_gives_masks_as_decoded(
    make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "plain", focal=False)
    export(folder, None, [IMAGE])
    runtime = OnnxRuntime(folder)
    assert "sharpen" not in runtime._manifest.graphs
    encoding, candidates = runtime.encode(IMAGE), some(runtime, 3)
    decoded = runtime.decode(encoding, candidates)
    assert runtime.mask_side == decoded.logits.shape[-1] == 24
    np.testing.assert_array_equal(runtime.draw(encoding, candidates).logits, decoded.logits)


@pytest.mark.parametrize("name", ["mug", "red mug", "a rather long name of many words, too", "red"])
def test_names_are_as_likely(onnx: Runtime, torch: Runtime, name: str) -> None:
    candidates, found = some(onnx), []
    for runtime in (onnx, torch):
        encoding = runtime.encode(IMAGE)
        logits = runtime.draw(encoding, candidates).logits
        found.append(runtime.likelihood(encoding, logits, candidates.category_embeddings, name))
    assert found[0].shape == (9,)
    assert found[0].dtype == np.float32
    assert ((found[0] >= 0) & (found[0] <= 1)).all()
    np.testing.assert_allclose(found[0], found[1], atol=1e-6, rtol=1e-3)


def test_no_regions_have_no_likelihoods(onnx: Runtime) -> None:
    encoding, none = onnx.encode(IMAGE), some(onnx, 0)
    logits = onnx.draw(encoding, none).logits
    assert onnx.likelihood(encoding, logits, none.category_embeddings, "mug").shape == (0,)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_threads_are_those_asked_for(exported: Path) -> None:
    before = len(os.listdir("/proc/self/task"))
    runtime = create_runtime(exported, runtime="onnx", threads=3)
    Perceiver(runtime).segment(IMAGE)
    # Two graphs have a pool each, in which the calling thread works, too; the others share one
    # with all runtimes, which may be there already.
    assert 2 * 2 <= len(os.listdir("/proc/self/task")) - before <= 2 * 2 + (os.cpu_count() or 1)
    runtime.close()
    alone = create_runtime(exported, runtime="onnx", threads=1)
    before = len(os.listdir("/proc/self/task"))
    Perceiver(alone).segment(IMAGE)
    assert len(os.listdir("/proc/self/task")) == before
    alone.close()


def test_a_gpu_is_refused_with_a_way_out(exported: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"runs on the CPU.*runtime torch"):
        OnnxRuntime(exported, device="cuda:0")


def test_neither_torch_nor_transformers_is_imported(
    exported: Path, python_environment: Callable[[], dict[str, str]]
) -> None:
    program = f"""
import sys
import numpy as np
import rose_ros
perceiver = rose_ros.load({str(exported)!r})
assert perceiver.runtime.kind == "onnx", perceiver.runtime.kind
perceiver.segment(np.zeros((30, 50, 3), np.uint8))
perceiver.segment(np.zeros((30, 50, 3), np.uint8), "the red mug")
print([name for name in ("torch", "transformers", "onnx", "rclpy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

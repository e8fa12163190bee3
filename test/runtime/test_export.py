"""Export: what is written, that it is checked first, and that it lands whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from rose_ros.cli import main
from rose_ros.commands.export import PRECISIONS
from rose_ros.errors import ExportError, ModelError
from rose_ros.runtime import export as exporting
from rose_ros.runtime.manifest import GRAPHS, check_graphs, hash_checkpoint, read_manifest
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.parity import LIMITS, Parity, compare
from rose_ros.runtime.torch import TorchRuntime

IMAGES = [np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)]

#: Operators whose output shape depends on the values that come in.
DATA_DEPENDENT = {"NonZero", "NonMaxSuppression", "Unique", "Compress", "If", "Loop", "Scan"}


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def operators(path: Path) -> set[str]:
    """Name the operators of a graph."""
    return {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}


def test_the_manifest_says_what_was_made(exported: Path) -> None:
    manifest = read_manifest(exported / "onnx")
    assert set(manifest.graphs) == set(GRAPHS)
    assert manifest.checkpoint == hash_checkpoint(exported)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(manifest.checkpoint)
    assert set(manifest.files) | {"manifest.json"} == set(contents(exported / "onnx"))
    assert (manifest.end_token_id, manifest.region_token_id) == (2, 4)
    assert manifest.parity["images"] == 2
    assert manifest.parity["wrong_names"] == 0
    assert manifest.graphs["perceive"]["inputs"]["input_ids"]["shape"] == [1, "text"]
    assert manifest.graphs["decode"]["outputs"]["logits"]["shape"] == [1, "regions", 24, 24]
    assert manifest.graphs["sharpen"]["outputs"]["logits"]["shape"] == [1, "regions", 48, 48]


def test_what_is_written_has_the_usual_rights(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    usual = (tmp_path / "usual").stat().st_mode
    assert (exported / "onnx").stat().st_mode == usual
    assert (exported / "onnx" / "encode.onnx").stat().st_mode & 0o444 == usual & 0o444


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_plain(exported: Path, name: str) -> None:
    graph = onnx.load(exported / "onnx" / f"{name}.onnx")
    onnx.checker.check_model(os.fspath(exported / "onnx" / f"{name}.onnx"))
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 18)]
    assert not {node.op_type for node in graph.graph.node} & DATA_DEPENDENT
    assert not [node for node in graph.graph.node if node.doc_string or node.metadata_props]
    for value in [*graph.graph.input, *graph.graph.output]:
        for size in value.type.tensor_type.shape.dim:
            assert size.dim_value > 0 or size.dim_param.split(" ")[0] in (
                "regions",
                "text",
                "tokens",
            )


@pytest.mark.parametrize(
    ("chain", "step"), [("Erf", "Gelu"), ("ReduceMean", "SimplifiedLayerNormalization")]
)
def test_runtimes_know_the_chains_of_operators(
    exported: Path, tmp_path: Path, chain: str, step: str
) -> None:
    """GELU and the norms of the language model become one operator each when a graph is loaded."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = os.fspath(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    for name in ("encode", "perceive"):
        path = exported / "onnx" / f"{name}.onnx"
        onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        kinds = operators(tmp_path / "optimised.onnx")
        assert step in kinds, name
        assert chain not in kinds, name


def test_weights_are_stored_once(exported: Path) -> None:
    """The language model is in three graphs and once on the disk."""
    weights = (exported / "model.safetensors").stat().st_size
    padding = 4096 * 200
    assert (exported / "onnx" / "weights.bin").stat().st_size < weights + padding
    places: dict[str, set[str]] = {}
    for name in GRAPHS:
        graph = onnx.load(exported / "onnx" / f"{name}.onnx", load_external_data=False)
        places[name] = {
            entry.value
            for tensor in graph.graph.initializer
            for entry in tensor.external_data
            if entry.key == "offset"
        }
    assert len(places["perceive"] & places["name"]) >= 14


def test_the_command_exports_the_same_again(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "graphs"
    arguments = ["export", "--model", str(exported), "--out", str(out), "--scenes", "2", "--json"]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "manifest.json").read_text())
    assert printed["parity"]["images"] == 2
    assert printed["files"] == read_manifest(exported / "onnx").files
    assert OnnxRuntime(exported, graphs=out, threads=1).model_name == "tiny"
    assert [path.name for path in tmp_path.iterdir()] == ["graphs"]


def test_graphs_that_do_not_agree_are_not_written(
    checkpoint: Path,
    make_checkpoint: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The graphs of one model for another: what was there stays."""
    other = make_checkpoint(tmp_path / "other", seed=1)
    stale = shutil.copytree(checkpoint / "onnx", other / "onnx")
    before = contents(stale)

    def write(model: Path, folder: Path, precision: str, report: object) -> object:
        shutil.copytree(checkpoint / "onnx", folder, dirs_exist_ok=True)
        manifest = read_manifest(folder)
        changed = replace(manifest, checkpoint=hash_checkpoint(model))
        changed.save(folder)
        return changed

    monkeypatch.setattr(exporting, "_write_graphs", write)
    with pytest.raises(ExportError, match=r"objectness differs.*nothing was written"):
        exporting.export(other, None, IMAGES)
    assert contents(stale) == before
    assert not [path.name for path in other.iterdir() if path.name.startswith(".")]
    exporting.export(checkpoint, None, IMAGES)
    assert read_manifest(checkpoint / "onnx").parity["images"] == 1


def test_an_export_that_breaks_leaves_everything_as_it_was(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise OSError("no space left")

    before = contents(checkpoint / "onnx")
    monkeypatch.setattr(exporting, "_write_graph", fail)
    with pytest.raises(OSError, match="no space left"):
        exporting.export(checkpoint, None, IMAGES)
    assert contents(checkpoint / "onnx") == before
    assert not [path.name for path in checkpoint.iterdir() if path.name.startswith(".")]


def test_a_folder_of_something_else_is_not_replaced(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="holds something else"):
        exporting.export(exported, tmp_path, IMAGES)
    with pytest.raises(ExportError, match="is a file"):
        exporting.export(exported, tmp_path / "thesis.tex", IMAGES)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_graphs_of_another_checkpoint_are_refused(checkpoint: Path, name: str) -> None:
    path = checkpoint / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=f"another checkpoint: {name} differs"):
        check_graphs(checkpoint, checkpoint / "onnx")
    with pytest.raises(ModelError, match="run: python -m rose_ros export --model"):
        OnnxRuntime(checkpoint)


def test_damaged_graphs_are_refused(checkpoint: Path) -> None:
    folder = checkpoint / "onnx"
    weights = bytearray((folder / "weights.bin").read_bytes())
    weights[5000] ^= 1
    (folder / "weights.bin").write_bytes(weights)
    with pytest.raises(ModelError, match=r"damaged: weights\.bin"):
        check_graphs(checkpoint, folder)
    (folder / "decode.onnx").unlink()
    with pytest.raises(ModelError, match=r"not complete: decode\.onnx is missing"):
        check_graphs(checkpoint, folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot read"),
        ("[]", "cannot read"),
        ('{"format": 0}', "format 0; this version reads format 2"),
        ('{"format": 2, "model": "x"}', "cannot read"),
    ],
)
def test_broken_manifests_are_refused(checkpoint: Path, text: str, reason: str) -> None:
    (checkpoint / "onnx" / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=reason):
        read_manifest(checkpoint / "onnx")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda given: given["files"].pop("name.onnx"), "no checksum of name.onnx"),
        (lambda given: given["files"].update({"../config.json": "0"}), "not a file beside it"),
        (lambda given: given["graphs"].pop("region"), "lacks the graph region"),
        (lambda given: given["graphs"]["region"].pop("file"), "cannot read"),
    ],
)
def test_manifests_that_promise_too_little_are_refused(
    checkpoint: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    path = checkpoint / "onnx" / "manifest.json"
    given = json.loads(path.read_text())
    change(given)
    path.write_text(json.dumps(given))
    with pytest.raises(ModelError, match=re.escape(reason)):
        read_manifest(checkpoint / "onnx")


def test_parity_sees_a_difference_in_everything(
    exported: Path, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_checkpoint(tmp_path / "other", seed=1)
    reference = TorchRuntime(exported, device="cpu")
    same = compare(reference, OnnxRuntime(exported, threads=1), IMAGES)
    assert same.problems() == []
    assert (same.images, same.masks, same.names) == (1, 11, 9)
    problems = compare(reference, TorchRuntime(other, device="cpu"), IMAGES).problems()
    assert len(problems) >= 3, problems


def test_eight_bits_have_limits_of_their_own(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of random numbers that is nearly flat has no use for exact probabilities."""
    loose = replace(LIMITS["int8"], mask_iou=0.5, objectness=0.5, wrong_names=1.0)
    monkeypatch.setitem(LIMITS, "int8", loose)
    out, manifest = exporting.export(exported, tmp_path / "graphs", IMAGES, precision="int8")
    assert manifest.precision == read_manifest(out).precision == "int8"
    assert manifest.parity["objectness"] > 0.0
    types = {name: operators(out / f"{name}.onnx") for name in GRAPHS}
    for name in ("encode", "perceive", "name"):
        assert "MatMulInteger" in types[name], name
    assert "MatMulInteger" not in types["decode"] | types["region"]
    assert set(contents(out)) == {
        *(f"{name}.onnx" for name in GRAPHS),
        "manifest.json",
        "weights.bin",
    }
    with pytest.raises(ExportError, match="choose one of float32, int8"):
        exporting.export(exported, out, IMAGES, precision="int4")


def test_the_command_knows_the_precisions() -> None:
    assert set(PRECISIONS) == set(LIMITS)


def test_parity_keeps_what_is_not_a_number() -> None:
    nan, fine = Parity(1, 1, float("nan"), float("nan"), float("nan")), Parity(1, 1)
    for joined in (nan.joined(fine), fine.joined(nan)):
        assert len(joined.problems()) == 3


@pytest.mark.parametrize(
    ("parity", "reason"),
    [
        (Parity(), "no image"),
        (Parity(images=1, mask_iou=0.98), "IoU 0.9800"),
        (Parity(images=1, mask_iou=float("nan")), "IoU nan"),
        (Parity(images=1, mean_iou=0.98), "mean IoU of 0.9800"),
        (Parity(images=1, objectness=float("nan")), "nan"),
        (Parity(images=1, objectness=0.002), "0.002"),
        (Parity(images=1, names=3, wrong_names=1), "1 of 3 names"),
    ],
)
def test_limits_of_parity(parity: Parity, reason: str) -> None:
    (problem,) = parity.problems()
    assert reason in problem

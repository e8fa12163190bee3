"""Write the ONNX graphs of a checkpoint, if they agree with PyTorch.

The graphs share their weights: every tensor is stored once, in ``weights.bin`` beside them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from rose_ros.errors import ExportError, RuntimeUnavailableError
from rose_ros.model.loading import load_model
from rose_ros.model.modeling import RoseModel
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime import manifest as manifests
from rose_ros.runtime.cache import missing_packages
from rose_ros.runtime.export_rewrites import rewrite
from rose_ros.runtime.graph_examples import Graph, build_graphs
from rose_ros.runtime.manifest import Manifest
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.parity import LIMITS, compare, require_parity
from rose_ros.runtime.torch import TorchRuntime

#: Inside the range of every runtime in use, TensorRT 10.3 included.
OPSET = 18
WEIGHTS_FILE = "weights.bin"
#: Smaller tensors stay in the graph: runtimes fold them.
_SHARED_BYTES = 1024
#: The graphs whose matrix products int8 makes faster; masks lose precision for little in decode.
_QUANTISED = ("encode", "embed", "perceive", "name")
#: Where a tensor starts in the file of weights; the specification asks for it.
_ALIGNMENT = 4096

#: (step, done)
Progress = Callable[[str, int], None]


def export(
    model: str | Path,
    out: Path | None,
    images: Iterable[NDArray[np.uint8]],
    progress: Progress | None = None,
    *,
    precision: str = "float32",
) -> tuple[Path, Manifest]:
    """Export a checkpoint into the folder ``out``, by default ``onnx`` in the checkpoint.

    Nothing is there, or replaced, until all graphs are written and agree with PyTorch on
    ``images``. With the precision "int8" the matrices of encoder and language model are stored in
    eight bits, which a CPU multiplies faster and TensorRT cannot read. Returns the folder and its
    manifest. Raises ``ExportError``, ``ModelError`` or ``RuntimeUnavailableError``.
    """
    if precision not in LIMITS:
        raise ExportError(
            f"precision {precision!r} is not known; choose one of {', '.join(LIMITS)}"
        )
    _check_packages()
    checkpoint = find_model(model)
    out = (checkpoint / manifests.FOLDER if out is None else out).absolute()
    _check_target(out)
    report = progress or _silent
    with _beside(out) as folder:
        manifest = _write_graphs(checkpoint, folder, precision, report)
        reference = TorchRuntime(checkpoint, device="cpu")
        other = OnnxRuntime(checkpoint, graphs=folder, threads=torch.get_num_threads())
        parity = compare(reference, other, images, lambda done: report("compare", done))
        other.close()
        require_parity(parity, precision)
        manifest = replace(manifest, parity=parity.numbers())
        manifest.save(folder)
        _put_in_place(folder, out)
    return out, manifest


def _write_graphs(checkpoint: Path, folder: Path, precision: str, report: Progress) -> Manifest:
    """Write all graphs, their weights and a manifest into an empty folder."""
    before = manifests.hash_checkpoint(checkpoint)
    model = load_model(checkpoint, attention="eager")
    processor = RoseProcessor.from_pretrained(checkpoint)
    graphs = build_graphs(
        model,
        prompt_tokens=processor.prompt_tokens,
        name_tokens=processor.config.max_name_tokens,
    )
    described = {}
    with (folder / WEIGHTS_FILE).open("wb") as file:
        weights = _Weights(file)
        for done, graph in enumerate(graphs, 1):
            quantised = precision == "int8" and graph.name in _QUANTISED
            described[graph.name] = _write_graph(graph, folder, weights, quantised)
            report("export", done)
    manifest = Manifest(
        format=manifests.FORMAT,
        model=checkpoint.name,
        opset=OPSET,
        precision=precision,
        end_token_id=_end_token(model),
        region_token_id=model.config.region_token_id,
        checkpoint=before,
        files={path.name: manifests.hash_file(path) for path in sorted(folder.iterdir())},
        graphs=described,
        parity={},
        versions={name: version(name) for name in ("torch", "transformers", "onnxscript")},
    )
    manifest.save(folder)
    return manifest


def _write_graph(graph: Graph, folder: Path, weights: _Weights, quantised: bool) -> dict[str, Any]:
    """Export one graph and return its entry in the manifest."""
    with _quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            (),
            kwargs=graph.inputs,
            dynamic_shapes={name: graph.dynamic.get(name) for name in graph.inputs},
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"PyTorch exported nothing for the graph {graph.name}")
    import onnx_ir

    inner = program.model
    _keep_names_apart(inner.graph, {*graph.inputs, *graph.outputs})
    rewrite(inner.graph)
    _forget_origins(inner)
    if quantised:
        inner = _quantise(inner, folder)
    for value in inner.graph.initializers.values():
        weights.share(value)
    file = f"{graph.name}.onnx"
    onnx_ir.save(inner, folder / file)
    return {
        "file": file,
        "inputs": {value.name: _describe(value) for value in inner.graph.inputs},
        "outputs": {value.name: _describe(value) for value in inner.graph.outputs},
    }


def _keep_names_apart(graph: Any, public: set[str]) -> None:
    """Rename values inside a graph that the exporter called like one of its ends."""
    ends = [*graph.inputs, *graph.outputs]
    inner = [value for node in graph for value in node.outputs]
    for value in [*inner, *graph.initializers.values()]:
        if value.name in public and all(value is not end for end in ends):
            value.name = f"{value.name}_within"


def _forget_origins(model: Any) -> None:
    """Drop what the exporter noted about every node: stack traces with this machine's paths."""
    ends = [*model.graph.inputs, *model.graph.outputs]
    made = [value for node in model.graph for value in node.outputs]
    for thing in [model, model.graph, *model.graph, *ends, *made]:
        thing.metadata_props.clear()
        thing.doc_string = None


class _Weights:
    """The file that all graphs keep their weights in; the same bytes are written once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets: dict[str, int] = {}

    def share(self, value: Any) -> None:
        """Move the tensor of an initializer into the file, unless it is small."""
        import onnx_ir

        tensor = value.const_value
        if tensor.nbytes < _SHARED_BYTES:
            return
        data = tensor.tobytes()
        key = hashlib.sha256(data).hexdigest()
        if key not in self._offsets:
            self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
            self._offsets[key] = self._file.tell()
            self._file.write(data)
        value.const_value = onnx_ir.ExternalTensor(
            WEIGHTS_FILE,
            self._offsets[key],
            len(data),
            tensor.dtype,
            shape=tensor.shape,
            name=value.name,
        )


def _quantise(model: Any, folder: Path) -> Any:
    """Turn the weights of matrix products into int8, one scale per column."""
    import onnx_ir
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, target = folder / "float32.onnx", folder / "int8.onnx"
    onnx_ir.save(model, source)
    with _quiet():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    quantised = onnx_ir.load(target)
    source.unlink()
    target.unlink()
    return quantised


def _describe(value: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"type": value.dtype.name.lower(), "shape": shape}


def _end_token(model: RoseModel) -> int:
    return int(model.config.vlm_config.text_config.eos_token_id)


def _check_packages() -> None:
    """Say at once, not after minutes, what export lacks on this machine."""
    missing = missing_packages()
    if missing:
        raise RuntimeUnavailableError(
            f"export needs {', '.join(missing)}, not installed here; "
            "pip install -r requirements/core.txt -r requirements/train.txt"
        )


def _check_target(out: Path) -> None:
    """Refuse a folder that an earlier export did not make."""
    if out.is_dir() and any(out.iterdir()) and not (out / manifests.FILE).is_file():
        raise ExportError(f"{out} holds something else than exported graphs; give another folder")
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out} is a file; give a folder")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Make an empty folder on the same disk as ``out``, gone afterwards unless it was moved."""
    out.parent.mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    folder = outer / "new"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _put_in_place(folder: Path, out: Path) -> None:
    """Move a finished folder to ``out``; what was there goes, or comes back when it fails."""
    old = folder.parent / "old"
    if out.exists():
        os.rename(out, old)
    try:
        os.rename(folder, out)
    except OSError:
        if old.exists():
            os.rename(old, out)
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own working from people's terminals."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))  # the quantiser warns through the root
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _silent(step: str, done: int) -> None:
    """Report to nobody."""

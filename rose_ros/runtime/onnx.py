"""ONNX Runtime on the CPU: the same four calls from exported graphs, without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError, RuntimeUnavailableError
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime
from rose_ros.runtime.manifest import FOLDER, GRAPHS, Manifest, check_graphs

Array = NDArray[Any]

#: Added to the scores of cache slots that hold nothing; the same as in the graphs.
_BLOCKED = -1e4


class OnnxRuntime(Runtime):
    """Runs the graphs that ``rose_ros export`` wrote, on the CPU."""

    kind = "onnx"
    device = "cpu"

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        graphs: Path | None = None,
        threads: int | None = None,
    ) -> None:
        """Open a checkpoint folder and its graphs, by default those in its folder ``onnx``.

        ``threads`` defaults to the cores this process may use. Raises ``ModelError`` when the
        graphs are not there, damaged or of another checkpoint.
        """
        if device not in ("auto", "cpu"):
            raise RuntimeUnavailableError(
                f"device {device!r} was asked for, but the onnx runtime runs on the CPU; use "
                "device cpu or runtime torch"
            )
        folder = find_model(model)
        graphs = folder / FOLDER if graphs is None else graphs
        self.model_name = folder.name
        self._processor = RoseProcessor.from_pretrained(folder)
        self._centres = _centres(self._processor.config.grid)
        try:
            self._manifest = check_graphs(folder, graphs)
        except ModelError as error:
            raise ModelError(
                f"{error}; run: python -m rose_ros export --model {folder} --out {graphs}"
            ) from error
        self._graphs = _open(graphs, self._manifest, threads or _cores())

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        pixels, sam_pixels = self._processor.pixel_values(image)
        names = ("patches", "embedding", "prefix")
        found = self._run("encode", pixel_values=pixels, sam_pixel_values=sam_pixels)
        height, width = image.shape[:2]
        features = dict(zip(names, found, strict=True))
        return Encoding(height, width, self._processor.content(height, width), features)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        share = np.zeros((1, len(self._centres)), np.float32)
        if previous_mask is not None:
            share, _ = self._processor.previous(previous_mask)
        objectness, masks, categories = self._run(
            "perceive",
            patches=encoding.features["patches"],
            prefix=encoding.features["prefix"],
            input_ids=self._processor.encode_text(text),
            previous_share=share,
        )
        return Candidates(objectness[0], self._centres, masks[0], categories[0])

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        side = self._processor.config.mask_size
        if not len(candidates):
            return DecodedMasks(np.zeros((0, side, side), np.float32), np.zeros(0, np.float32))
        previous = np.zeros((1, 1, side, side), np.float32)
        if previous_mask is not None:
            _, previous = self._processor.previous(previous_mask)
        logits, quality = self._run(
            "decode",
            embedding=encoding.features["embedding"],
            mask_embeddings=candidates.mask_embeddings[None],
            centres=candidates.centres[None],
            previous_logits=previous,
            revising=np.asarray([previous_mask is not None], np.float32),
        )
        return DecodedMasks(logits[0], quality[0].clip(0.0, 1.0))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        if not len(logits):
            return []
        (regions,) = self._run(
            "region",
            patches=encoding.features["patches"],
            embedding=encoding.features["embedding"],
            category_embeddings=category_embeddings[None],
            logits=logits[None],
        )
        ids, scores = self._name(regions[0])
        return [
            RegionName(self._processor.decode_name(row), float(score))
            for row, score in zip(ids, scores, strict=True)
        ]

    def close(self) -> None:
        self._graphs.clear()

    def _name(self, regions: Array) -> tuple[Array, Array]:
        """Answer greedily for regions (n, width), all in one batch.

        Returns token ids (n, most), filled up with the end token, and the mean probability (n,)
        of the tokens up to and including the end.
        """
        count, most = len(regions), self._processor.config.max_name_tokens
        end = self._manifest.end_token_id
        prompt = self._processor.name_prompt_ids()
        cache = self._empty_cache(count)
        ids = np.full((count, most), end, np.int64)
        total, length = np.zeros(count, np.float32), np.zeros(count, np.float32)
        running = np.ones(count, bool)
        tokens = np.repeat(prompt[None], count, axis=0)
        is_region = prompt == self._manifest.region_token_id
        used = 0
        for step in range(most):
            after = used + tokens.shape[1]
            choice, probability, new = self._run(
                "name",
                input_ids=tokens,
                is_region=is_region,
                regions=regions,
                cache=cache,
                mask=_cache_mask(used, after - used, cache.shape[4]),
                positions=np.arange(used, after)[None],
            )
            total += probability * running
            length += running
            ids[:, step] = np.where(running, choice, end)
            running &= choice != end
            if not running.any():
                break
            cache[..., used:after, :] = new
            used = after
            tokens, is_region = ids[:, step : step + 1], np.zeros(1, bool)
        return ids, total / np.maximum(length, 1.0)

    def _empty_cache(self, count: int) -> Array:
        """Make room for the keys and values of ``count`` regions, in every layer."""
        shape = list(self._manifest.graphs["name"]["inputs"]["cache"]["shape"])
        shape[2] = count
        return np.zeros(shape, np.float32)

    def _run(self, graph: str, **inputs: Array) -> list[Array]:
        feeds = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        found: list[Array] = self._graphs[graph].run(None, feeds)
        return found


def _cache_mask(used: int, tokens: int, capacity: int) -> Array:
    """Return (1, 1, tokens, capacity + tokens): used slots and what came before are seen."""
    mask = np.full((tokens, capacity + tokens), _BLOCKED, np.float32)
    mask[:, :used] = 0.0
    mask[:, capacity:] = np.triu(mask[:, capacity:], 1)
    return mask[None, None]


def _centres(grid: int) -> NDArray[np.float32]:
    """Return (super_patches, 2): (x, y) of every super-patch centre in [0, 1], row by row."""
    axis = (np.arange(grid, dtype=np.float32) + np.float32(0.5)) / np.float32(grid)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open(folder: Path, manifest: Manifest, threads: int) -> dict[str, Any]:
    """Make one session per graph; they run in turn, so none may spin while another works."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"the onnx runtime needs the package onnxruntime: {error}; pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = {}
    for name in GRAPHS:
        path = folder / manifest.graphs[name]["file"]
        try:
            sessions[name] = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises its own kinds, which share no base
            raise ModelError(f"ONNX Runtime cannot load {path}: {error}") from error
    return sessions

"""The four calls on exported graphs; what runs one graph is left to a subclass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError
from rose_ros.model.processing import RoseProcessor
from rose_ros.paths import find_model
from rose_ros.runtime.base import (
    Candidates,
    DecodedMasks,
    Encoding,
    RegionName,
    Runtime,
    compose,
    read_names,
)
from rose_ros.runtime.calibration import read_calibration
from rose_ros.runtime.manifest import FOLDER, check_graphs

Array = NDArray[Any]

#: Added to the scores of cache slots that hold nothing; the same as in the graphs.
_BLOCKED = -1e4


class GraphRuntime(Runtime):
    """Runs a checkpoint through the graphs that ``rose_ros export`` wrote.

    What passes from graph to graph, and the naming cache, may lie where the subclass likes, as
    long as it can be sliced and assigned like a numpy array.
    """

    def __init__(self, model: str | Path, graphs: Path | None = None) -> None:
        """Read a checkpoint folder and its graphs, by default those in its folder ``onnx``.

        Raises ``ModelError`` when the graphs are not there, damaged or of another checkpoint.
        """
        folder = find_model(model)
        graphs = folder / FOLDER if graphs is None else graphs
        self.model_name = folder.name
        self._folder = graphs
        self._processor = RoseProcessor.from_pretrained(folder)
        self.calibration = read_calibration(folder)
        self._centres = _centres(self._processor.config.grid)
        try:
            self._manifest = check_graphs(folder, graphs)
        except ModelError as error:
            raise ModelError(
                f"{error}; run: python -m rose_ros export --model {folder} --out {graphs}"
            ) from error
        later = [graph for name, graph in self._manifest.graphs.items() if name != "encode"]
        self._kept = {name for graph in later for name in graph["inputs"]}

    @abstractmethod
    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run one graph on exactly its inputs, by name, and return its outputs by name."""

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Make float32 zeros of this shape where the graphs like them."""
        return np.zeros(shape, np.float32)

    def to_numpy(self, value: Any) -> Array:
        """Bring what a graph returned to the host."""
        found: Array = value
        return found

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        pixels, sam_pixels = self._processor.pixel_values(image)
        inputs = {"pixel_values": pixels, "sam_pixel_values": sam_pixels}
        found = {**inputs, **self._call("encode", inputs)}
        features = {name: value for name, value in found.items() if name in self._kept}
        height, width = image.shape[:2]
        return Encoding(height, width, self._processor.content(height, width), features)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        share = np.zeros((1, len(self._centres)), np.float32)
        if previous_mask is not None:
            share, _ = self._processor.previous(previous_mask)
        own = {"input_ids": self._processor.encode_text(text), "previous_share": share}
        found = self._call("perceive", {**encoding.features, **own})
        return Candidates(
            self.to_numpy(found["objectness"])[0],
            self._centres,
            self.to_numpy(found["mask_embeddings"])[0],
            self.to_numpy(found["category_embeddings"])[0],
        )

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        side = self._processor.config.mask_size
        if not len(candidates):
            return DecodedMasks.none(side)
        previous = np.zeros((1, 1, side, side), np.float32)
        if previous_mask is not None:
            _, previous = self._processor.previous(previous_mask)
        own = {
            "mask_embeddings": candidates.mask_embeddings[None],
            "centres": candidates.centres[None],
            "previous_logits": previous,
            "revising": np.asarray([previous_mask is not None], np.float32),
        }
        found = self._call("decode", {**encoding.features, **own})
        quality = self.to_numpy(found["quality"])[0]
        return DecodedMasks(self.to_numpy(found["logits"])[0], quality.clip(0.0, 1.0))

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        if not len(logits):
            return []
        own = {"category_embeddings": category_embeddings[None], "logits": logits[None]}
        found = self._call("region", {**encoding.features, **own})
        names = self._names(found["regions"][0], self._processor.name_prompt_ids())
        if "shapes" not in found:
            return names
        kinds = self._names(found["shapes"][0], self._processor.kind_prompt_ids())
        return [compose(*pair) for pair in zip(names, kinds, strict=True)]

    def _names(self, regions: Any, prompt: Array) -> list[RegionName]:
        """Answer one question about regions (n, width)."""
        return read_names(self._processor, *self._answer(regions, prompt))

    def _answer(self, regions: Any, prompt: Array) -> tuple[Array, Array]:
        """Answer a prompt (length,) greedily for regions (n, width), all in one batch.

        Returns token ids (n, most), filled up with the end token, and the mean probability (n,)
        of the tokens up to and including the end.
        """
        count, most = len(regions), self._processor.config.max_name_tokens
        end = self._manifest.end_token_id
        cache = self._empty_cache(count)
        ids = np.full((count, most), end, np.int64)
        total, length = np.zeros(count, np.float32), np.zeros(count, np.float32)
        running = np.ones(count, bool)
        tokens = np.repeat(prompt[None], count, axis=0)
        is_region = prompt == self._manifest.region_token_id
        used = 0
        for step in range(most):
            after = used + tokens.shape[1]
            inputs = {
                "input_ids": tokens,
                "is_region": is_region,
                "regions": regions,
                "cache": cache,
                "mask": _cache_mask(used, after - used, cache.shape[4]),
                "positions": np.arange(used, after)[None],
            }
            found = self._call("name", inputs)
            choice = self.to_numpy(found["next_ids"])
            total += self.to_numpy(found["probability"]) * running
            length += running
            ids[:, step] = np.where(running, choice, end)
            running &= choice != end
            if not running.any():
                break
            cache[..., used:after, :] = found["new_cache"]
            used = after
            tokens, is_region = ids[:, step : step + 1], np.zeros(1, bool)
        return ids, total / np.maximum(length, 1.0)

    def _empty_cache(self, count: int) -> Any:
        """Make room for the keys and values of ``count`` regions, in every layer."""
        shape = list(self._manifest.graphs["name"]["inputs"]["cache"]["shape"])
        shape[2] = count
        return self.zeros(tuple(shape))

    def _call(self, graph: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run a graph on what the manifest says that it takes."""
        return self.run(graph, {name: values[name] for name in self._inputs(graph)})

    def _inputs(self, graph: str) -> dict[str, Any]:
        """Return types and shapes of the inputs of a graph, by name."""
        found: dict[str, Any] = self._manifest.graphs[graph]["inputs"]
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

"""A runtime on exported graphs; what runs one graph is left to a subclass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ModelError
from rose_ros.paths import find_model
from rose_ros.runtime.base import Candidates, CheckpointRuntime, DecodedMasks, Encoding
from rose_ros.runtime.manifest import ENCODERS, FOLDER, check_graphs

Array = NDArray[Any]

#: Added to the scores of cache slots that hold nothing; the same as in the graphs.
_BLOCKED = -1e4


class GraphRuntime(CheckpointRuntime):
    """Runs a checkpoint through the graphs that ``rose_ros export`` wrote.

    What passes from graph to graph, and the naming cache, may lie where the subclass likes, as
    long as it can be sliced and assigned like a numpy array.
    """

    def __init__(self, model: str | Path, graphs: Path | None = None) -> None:
        """Read a checkpoint folder and its graphs, by default those in its folder ``onnx``.

        Raises ``ModelError`` when the graphs are not there, damaged or of another checkpoint.
        """
        folder = find_model(model)
        super().__init__(folder)
        graphs = folder / FOLDER if graphs is None else graphs
        self._folder = graphs
        self._centres = _centres(self._processor.config.grid)
        try:
            self._manifest = check_graphs(folder, graphs)
        except ModelError as error:
            raise ModelError(
                f"{error}; run: python -m rose_ros export --model {folder} --out {graphs}"
            ) from error
        self._end_token_id = self._manifest.end_token_id
        self.mask_side = self._manifest.graphs["region"]["inputs"]["logits"]["shape"][-1]
        later = [graph for name, graph in self._manifest.graphs.items() if name not in ENCODERS]
        self._kept = {name for graph in later for name in graph["inputs"]}

    @abstractmethod
    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run one graph on exactly its inputs, by name, and return its outputs by name."""

    def to_numpy(self, value: Any) -> Array:
        """Bring what a graph returned to the host."""
        found: Array = value
        return found

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
        own = {
            "mask_embeddings": candidates.mask_embeddings[None],
            "centres": candidates.centres[None],
        }
        return self._masks("decode", encoding, own, previous_mask)

    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        if "sharpen" not in self._manifest.graphs:
            return masks
        own = {
            "mask_embeddings": candidates.mask_embeddings[None],
            "mask_logits": masks.logits[None],
        }
        return self._masks("sharpen", encoding, own, previous_mask)

    def _masks(
        self,
        graph: str,
        encoding: Encoding,
        own: dict[str, Array],
        previous_mask: NDArray[np.bool_] | None,
    ) -> DecodedMasks:
        """Run a graph that makes one mask per candidate, of which there may be none, in batches.

        ``own`` is what belongs to candidates, (1, n, ...).
        """
        count = own["mask_embeddings"].shape[1]
        if not count:
            return DecodedMasks.none(self.mask_side)
        side = self._processor.config.mask_size
        previous = np.zeros((1, 1, side, side), np.float32)
        if previous_mask is not None:
            _, previous = self._processor.previous(previous_mask)
        revising = np.asarray([previous_mask is not None], np.float32)
        shared = {**encoding.features, "previous_logits": previous, "revising": revising}

        def run(some: NDArray[np.int64]) -> DecodedMasks:
            batch = {name: value[:, some] for name, value in own.items()}
            found = self._call(graph, {**shared, **batch})
            quality = self.to_numpy(found["quality"])[0]
            return DecodedMasks(self.to_numpy(found["logits"])[0], quality.clip(0.0, 1.0))

        return DecodedMasks.joined(self._each(run, self._batches(count)))

    def _batches(self, count: int) -> list[NDArray[np.int64]]:
        """Split indices of regions into what a graph takes at once; none is one batch, empty."""
        return [np.arange(count)]

    def _encode(self, pixels: Array, sam_pixels: Array) -> dict[str, Any]:
        inputs = {"pixel_values": pixels, "sam_pixel_values": sam_pixels}
        found = dict(inputs)
        for outputs in self._each(lambda graph: self._call(graph, inputs), ENCODERS):
            found.update(outputs)
        return {name: value for name, value in found.items() if name in self._kept}

    def _region_tokens(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> dict[str, Any]:
        own = {"category_embeddings": category_embeddings[None], "logits": logits[None]}
        found = self._call("region", {**encoding.features, **own})
        tokens = {"name": found["regions"][0]}
        if "shapes" in found:
            tokens["kind"] = found["shapes"][0]
        return tokens

    def _answer(self, regions: Any, prompt: Array) -> tuple[Array, Array]:
        count, most = len(regions), self._processor.config.max_name_tokens
        end = self._end_token_id
        reading = _Reading(self, regions, prompt)
        ids = np.full((count, most), end, np.int64)
        total, length = np.zeros(count, np.float32), np.zeros(count, np.float32)
        running = np.ones(count, bool)
        for step in range(most):
            found = reading.step(np.full(count, end, np.int64))
            choice = self.to_numpy(found["next_ids"])
            total += self.to_numpy(found["probability"]) * running
            length += running
            ids[:, step] = np.where(running, choice, end)
            running &= choice != end
            if not running.any():
                break
            reading.append(ids[:, step])
        return ids, total / np.maximum(length, 1.0)

    def _probability(self, regions: Any, prompt: Array, answer: Array) -> Array:
        reading = _Reading(self, regions, prompt)
        total = np.ones(len(regions), np.float32)
        for step, token in enumerate(answer):
            wanted = np.full(len(regions), token, np.int64)
            total = total * self.to_numpy(reading.step(wanted)["wanted_probability"])
            if step + 1 < len(answer):
                reading.append(wanted)
        return total

    def _empty_cache(self, count: int) -> Any:
        """Make room for the keys and values of ``count`` regions, in every layer."""
        shape = list(self._manifest.graphs["name"]["inputs"]["cache"]["shape"])
        shape[2] = count
        return np.zeros(shape, np.float32)

    def _call(self, graph: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run a graph on what the manifest says that it takes."""
        return self.run(
            graph, {name: values[name] for name in self._manifest.graphs[graph]["inputs"]}
        )


class _Reading:
    """The language model reading one prompt about regions and then an answer, word by word."""

    def __init__(self, runtime: GraphRuntime, regions: Any, prompt: Array) -> None:
        """Begin with a prompt (length,) about regions (n, width)."""
        self._runtime, self._regions = runtime, regions
        self._cache = runtime._empty_cache(len(regions))
        self._used = 0
        self._tokens = np.repeat(prompt[None], len(regions), axis=0)
        self._is_region = prompt == runtime._manifest.region_token_id
        self._new: Any = None

    def step(self, wanted: Array) -> dict[str, Any]:
        """Read what is new; return what comes next, and the probability of ``wanted`` (n,)."""
        after = self._used + self._tokens.shape[1]
        inputs = {
            "input_ids": self._tokens,
            "is_region": self._is_region,
            "regions": self._regions,
            "cache": self._cache,
            "mask": _cache_mask(self._used, self._tokens.shape[1], self._cache.shape[4]),
            "positions": np.arange(self._used, after)[None],
            "wanted_ids": wanted,
        }
        found = self._runtime._call("name", inputs)
        self._new = found["new_cache"]
        return found

    def append(self, words: Array) -> None:
        """Let one more word (n,) of each answer be what is new."""
        after = self._used + self._tokens.shape[1]
        self._cache[..., self._used : after, :] = self._new
        self._used = after
        self._tokens, self._is_region = words[:, None], np.zeros(1, bool)


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

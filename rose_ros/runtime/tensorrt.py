"""TensorRT on an NVIDIA GPU: the same calls from engines that were built on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import EngineError
from rose_ros.paths import find_model
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName
from rose_ros.runtime.cache import cached_graphs
from rose_ros.runtime.engine_device import CudaDevice
from rose_ros.runtime.engine_execution import Engine, share_scratch
from rose_ros.runtime.engine_files import find_engines, read_engine, read_set
from rose_ros.runtime.engine_library import Library
from rose_ros.runtime.graph_runtime import GraphRuntime
from rose_ros.runtime.manifest import graphs_beside

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]


class TensorRtRuntime(GraphRuntime):
    """Runs engines that ``rose_ros build-engine`` built; it never builds any itself.

    Encodings, and what passes from graph to graph, stay in the GPU's memory.
    """

    kind = "tensorrt"

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        graphs: Path | None = None,
        engines: Path | None = None,
    ) -> None:
        """Open a checkpoint and its engines, by default the newest that fit this machine.

        Raises ``RuntimeUnavailableError`` without TensorRT or GPU, ``ModelError`` when the graphs
        do not fit the checkpoint, and ``EngineError`` with the reason and the command to run when
        no engines fit.
        """
        self._gpu = CudaDevice(device)
        self.device = self._gpu.name
        self._library = Library()
        if graphs is None:
            checkpoint = find_model(model)
            graphs = graphs_beside(checkpoint) or cached_graphs(checkpoint)
        super().__init__(model, graphs)
        machine = self._gpu.describe(self._library.version)
        try:
            if engines is None:
                folder, records = find_engines(self.model_name, self._manifest, machine)
            else:
                folder, records = engines, read_set(engines, self._manifest, machine)
            self.engines = folder
            self._most = min(record.options.regions[-1] for record in records.values())
            with self._gpu.use():
                self._runtime = self._library.make_runtime()
                self._engines = {
                    name: self._load(folder, record) for name, record in records.items()
                }
                self._scratch = share_scratch(self._gpu, list(self._engines.values()))
        except EngineError as error:
            raise EngineError(
                f"{error}; run: python -m rose_ros build-engine --model {find_model(model)}"
            ) from error

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        with self._gpu.use():
            return super().encode(image)

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        with self._gpu.use():
            return super().perceive(encoding, text, previous_mask)

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        with self._gpu.use():
            return super().decode(encoding, candidates, previous_mask)

    def sharpen(
        self,
        encoding: Encoding,
        candidates: Candidates,
        masks: DecodedMasks,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        with self._gpu.use():
            return super().sharpen(encoding, candidates, masks, previous_mask)

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        found = []
        with self._gpu.use():
            for part in self._batches(len(logits)):
                found += super().name(encoding, logits[part], category_embeddings[part])
        return found

    def likelihood(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
        name: str,
    ) -> NDArray[np.float32]:
        found = []
        with self._gpu.use():
            for part in self._batches(len(logits)):
                some = logits[part], category_embeddings[part]
                found.append(super().likelihood(encoding, *some, name))
        return np.concatenate(found)

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._engines[graph].run(inputs)
        return found

    def to_numpy(self, value: Any) -> Array:
        return self._gpu.download(value)

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()
        del self._scratch

    def _empty_cache(self, count: int) -> torch.Tensor:
        return self._engines["name"].buffer("cache", count)

    def _batches(self, count: int) -> list[NDArray[np.int64]]:
        return np.array_split(np.arange(count), max(1, -(-count // self._most)))

    def _load(self, folder: Path, record: Any) -> Engine:
        data = read_engine(folder, record)
        described = self._manifest.graphs[record.graph]
        return Engine(self._library, self._gpu, self._runtime, record, described, data)

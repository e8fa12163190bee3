"""Whether an engine answers as ONNX Runtime does, graph by graph, on the inputs it met there.

Every graph is given what the reference gave it, so that one bad engine is found by its name and
not by what comes out at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import EngineError
from rose_ros.model.prompts import EVERYTHING, find_prompt, refine_prompt
from rose_ros.runtime.base import Encoding
from rose_ros.runtime.manifest import ENCODERS, GRAPHS
from rose_ros.runtime.onnx import OnnxRuntime
from rose_ros.runtime.parity import largest_mask, mask_ious

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Call:
    """What a graph was given, and what it returned."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an engine is from the reference; the worst of all calls, except what is counted.

    error: of an output, the root of the mean squared difference over that of its values;
    probability: the largest difference; masks, mask_iou, mean_iou: decoded ones above 0;
    tokens, wrong_tokens: of names, one by one, each after the same words before it.
    """

    calls: int = 0
    error: float = 0.0
    probability: float = 0.0
    masks: int = 0
    mask_iou: float = 1.0
    mean_iou: float = 1.0
    tokens: int = 0
    wrong_tokens: int = 0

    def joined(self, other: Agreement) -> Agreement:
        """Return the worst of both, with everything counted. NaN is the worst."""
        masks = self.masks + other.masks
        total = self.mean_iou * self.masks + other.mean_iou * other.masks
        return Agreement(
            self.calls + other.calls,
            float(np.maximum(self.error, other.error)),
            float(np.maximum(self.probability, other.probability)),
            masks,
            float(np.minimum(self.mask_iou, other.mask_iou)),
            total / masks if masks else 1.0,
            self.tokens + other.tokens,
            self.wrong_tokens + other.wrong_tokens,
        )

    def numbers(self) -> dict[str, float]:
        """Return all fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Limits:
    """The worst that passes; ``wrong_tokens`` is a share of all."""

    error: float
    probability: float
    mask_iou: float
    mean_iou: float
    wrong_tokens: float

    def problems(self, found: Agreement) -> list[str]:
        """Say what is outside; empty when all is well. NaN is never well."""
        problems = [] if found.calls else ["nothing was compared"]
        for name, sign in (("error", 1), ("probability", 1), ("mask_iou", -1), ("mean_iou", -1)):
            value, limit = getattr(found, name), getattr(self, name)
            if not sign * value <= sign * limit:
                word = "at most" if sign > 0 else "at least"
                problems.append(f"{name} is {value:.4g} ({word} {limit:g})")
        if found.wrong_tokens > self.wrong_tokens * found.tokens:
            problems.append(
                f"{found.wrong_tokens} of {found.tokens} tokens of names differ "
                f"(at most {self.wrong_tokens:.0%})"
            )
        return problems


#: By the precision of the engine. float32 differs in the order of sums alone; the others are about
#: five to ten times what ONNX Runtime shows for rose-tiny with graphs in that precision.
LIMITS = {
    "float32": Limits(1e-3, 1e-3, 0.99, 0.99, 0.0),
    "float16": Limits(0.01, 0.01, 0.95, 0.99, 0.01),
    "bfloat16": Limits(0.06, 0.04, 0.85, 0.97, 0.01),
}

#: Outputs that are probabilities, compared as such.
_PROBABILITIES = ("objectness", "quality", "probability", "wanted_probability")


class _Recorder(OnnxRuntime):
    """Keeps what every graph is given and returns, in batches as large as asked for."""

    decoded_at_once = 1 << 30
    calls: dict[str, list[Call]]

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        # Encodings are large and never change; the cache is written to while a name grows.
        graphs = self._manifest.graphs
        encoding = {name for encoder in ENCODERS for name in graphs[encoder]["outputs"]}
        kept = {
            name: value if name in encoding else np.array(value, copy=True)
            for name, value in inputs.items()
        }
        found = super().run(graph, inputs)
        self.calls[graph].append(Call(kept, found))
        return found


def record_calls(
    model: str | Path,
    graphs: Path | None,
    images: Iterable[NDArray[np.uint8]],
    batches: Iterable[int],
) -> dict[str, list[Call]]:
    """Run the reference on images, with regions in batches of these sizes, and keep every call."""
    reference = _Recorder(model, graphs=graphs, threads=1)
    reference.calls = {graph: [] for graph in GRAPHS}
    sizes = list(batches)
    for image in images:
        _run_all(reference, image, sizes)
    reference.close()
    return reference.calls


def compare_calls(
    calls: Iterable[Call], run: Callable[[dict[str, Array]], Mapping[str, Array]]
) -> Agreement:
    """Give ``run`` the inputs of every call, and compare what it returns."""
    worst = Agreement()
    for call in calls:
        worst = worst.joined(_compare(call.outputs, run(call.inputs)))
    return worst


def require_agreement(graph: str, precision: str, found: Agreement) -> None:
    """Raise ``EngineError`` with everything that is outside the limits of a precision."""
    problems = LIMITS[precision].problems(found)
    if problems:
        raise EngineError(
            f"the engine {graph} in {precision} does not agree with ONNX Runtime: "
            + "; ".join(problems)
            + "; it was not kept; try another --precision"
        )


def _run_all(runtime: OnnxRuntime, image: NDArray[np.uint8], batches: list[int]) -> None:
    """Segment everything, look for one thing and revise another, in every size of batch."""
    encoding = runtime.encode(image)
    found = runtime.perceive(encoding, EVERYTHING)
    order = np.argsort(-found.objectness, kind="stable")
    mask = None
    for size in batches:
        batch = found.take(np.resize(order, size))
        logits = runtime.draw(encoding, batch).logits
        names = runtime.name(encoding, logits, batch.category_embeddings)
        mask = largest_mask(logits, image.shape[:2])
        label = names[0].text or "thing"
    if mask is not None:
        _revise(runtime, encoding, label, mask)


def _revise(runtime: OnnxRuntime, encoding: Encoding, label: str, mask: NDArray[np.bool_]) -> None:
    runtime.perceive(encoding, find_prompt(f"the {label}"))
    revised = runtime.perceive(encoding, refine_prompt(label, "Include the handle."), mask)
    runtime.draw(encoding, revised.best(1), mask)


def _compare(wanted: Mapping[str, Array], given: Mapping[str, Array]) -> Agreement:
    worst = Agreement(calls=1)
    for name, value in wanted.items():
        found = given[name]
        if found.shape != value.shape:
            raise EngineError(f"output {name} has the shape {found.shape}, not {value.shape}")
        if name == "next_ids":
            one = Agreement(tokens=value.size, wrong_tokens=int((found != value).sum()))
        elif name in _PROBABILITIES:
            one = Agreement(probability=float(np.abs(found - value).max()))
        else:
            one = Agreement(error=_error(value, found))
        worst = worst.joined(one)
        if name == "logits":
            worst = worst.joined(_compare_masks(value[0], found[0]))
    return worst


def _error(wanted: Array, given: Array) -> float:
    scale = np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))
    difference = np.sqrt(np.mean(np.square(given.astype(np.float64) - wanted)))
    return float(difference / max(scale, 1e-6))


def _compare_masks(wanted: Array, given: Array) -> Agreement:
    """Compare logits (n, side, side) above 0; two empty masks agree."""
    ious = mask_ious(wanted, given)
    return Agreement(masks=len(ious), mask_iou=float(ious.min()), mean_iou=float(ious.mean()))

"""How far one runtime is from another on the same images, call by call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose_ros.errors import ExportError
from rose_ros.model.prompts import EVERYTHING, find_prompt, refine_prompt
from rose_ros.runtime.base import Encoding, Runtime

#: Candidates decoded and named per image, the best by the reference.
CANDIDATES = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What graphs must reach before they are written.

    mask_iou: the lowest IoU of any mask; mean_iou: the lowest mean of all; objectness: the largest
    difference of a probability; wrong_names: the largest share of names that differ.
    """

    mask_iou: float
    mean_iou: float
    objectness: float
    wrong_names: float


#: By the precision of the graphs.
LIMITS = {
    "float32": Limits(mask_iou=0.99, mean_iou=0.99, objectness=1e-3, wrong_names=0.0),
    "int8": Limits(mask_iou=0.9, mean_iou=0.98, objectness=0.05, wrong_names=0.01),
}


@dataclass(frozen=True, slots=True)
class Parity:
    """The worst over all images.

    masks: how many were compared; mask_iou, mean_iou: the lowest and the mean IoU of a mask with
    its reference; objectness: the largest difference of a probability; names, wrong_names:
    compared, and not letter for letter the same; name_score: the largest difference of a score.
    """

    images: int = 0
    masks: int = 0
    mask_iou: float = 1.0
    mean_iou: float = 1.0
    objectness: float = 0.0
    names: int = 0
    wrong_names: int = 0
    name_score: float = 0.0

    def joined(self, other: Parity) -> Parity:
        """Return the worst of both, with everything counted."""
        masks = self.masks + other.masks
        total = self.mean_iou * self.masks + other.mean_iou * other.masks
        return Parity(
            self.images + other.images,
            masks,
            # Not min() and max(): they lose a NaN, depending on the order.
            float(np.minimum(self.mask_iou, other.mask_iou)),
            total / masks if masks else 1.0,
            float(np.maximum(self.objectness, other.objectness)),
            self.names + other.names,
            self.wrong_names + other.wrong_names,
            float(np.maximum(self.name_score, other.name_score)),
        )

    def numbers(self) -> dict[str, float]:
        """Return all fields by name."""
        return asdict(self)

    def problems(self, limits: Limits = LIMITS["float32"]) -> list[str]:
        """Say what is outside the limits; empty when all is well. NaN is never well."""
        found = []
        if not self.images:
            found.append("no image was compared")
        if not self.mask_iou >= limits.mask_iou:
            found.append(f"a mask has IoU {self.mask_iou:.4f} (at least {limits.mask_iou})")
        if not self.mean_iou >= limits.mean_iou:
            found.append(
                f"masks have a mean IoU of {self.mean_iou:.4f} (at least {limits.mean_iou})"
            )
        if not self.objectness <= limits.objectness:
            found.append(
                f"an objectness differs by {self.objectness:.2g} (at most {limits.objectness})"
            )
        if self.wrong_names > limits.wrong_names * self.names:
            found.append(
                f"{self.wrong_names} of {self.names} names differ "
                f"(at most {limits.wrong_names:.0%})"
            )
        return found


def compare(
    reference: Runtime,
    other: Runtime,
    images: Iterable[NDArray[np.uint8]],
    progress: Callable[[int], None] | None = None,
) -> Parity:
    """Run both on every image and compare; ``progress`` is told how many are done."""
    worst = Parity()
    for done, image in enumerate(images, 1):
        worst = worst.joined(_compare_one(reference, other, image))
        if progress is not None:
            progress(done)
    return worst


def require_parity(parity: Parity, precision: str) -> None:
    """Raise ``ExportError`` with everything that is outside the limits of a precision."""
    problems = parity.problems(LIMITS[precision])
    if problems:
        raise ExportError(
            f"the graphs do not agree with PyTorch on {parity.images} images: "
            + "; ".join(problems)
            + "; nothing was written"
        )


def mask_ious(wanted: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Return the IoU (n,) of masks from logits (n, side, side); two empty masks agree.

    NaN where the given logits are not all finite.
    """
    one, two = wanted > 0, given > 0
    union = (one | two).sum((1, 2))
    shared = (one & two).sum((1, 2))
    ious = np.where(union > 0, shared / np.maximum(union, 1), 1.0)
    return np.where(np.isfinite(given).all((1, 2)), ious, np.nan)


def largest_mask(logits: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the largest of masks from logits (n, side, side), brought to an image.

    ``size`` is (height, width); the nearest cells count, as if the image were stretched.
    """
    masks = logits > 0
    largest = masks[int(np.argmax(masks.sum((1, 2))))]
    rows = np.arange(size[0]) * largest.shape[0] // size[0]
    columns = np.arange(size[1]) * largest.shape[1] // size[1]
    found: NDArray[np.bool_] = largest[rows][:, columns]
    return found


def _compare_one(reference: Runtime, other: Runtime, image: NDArray[np.uint8]) -> Parity:
    """Segment everything, name it, look for one thing of it and revise another."""
    mine, theirs = reference.encode(image), other.encode(image)
    wanted = reference.perceive(mine, EVERYTHING)
    given = other.perceive(theirs, EVERYTHING)
    difference = _difference(wanted.objectness, given.objectness)
    best = wanted.best(CANDIDATES)
    logits = reference.draw(mine, best).logits
    ious = mask_ious(logits, other.draw(theirs, best).logits)

    names = reference.name(mine, logits, best.category_embeddings)
    answers = other.name(theirs, logits, best.category_embeddings)
    wrong = sum(a.text != b.text for a, b in zip(names, answers, strict=True))
    scores = [abs(a.score - b.score) for a, b in zip(names, answers, strict=True)]
    first = Parity(
        images=1,
        masks=len(best),
        mask_iou=float(ious.min()),
        mean_iou=float(ious.mean()),
        objectness=difference,
        names=len(names),
        wrong_names=wrong,
        name_score=max(scores),
    )

    label = names[0].text or "thing"
    return first.joined(
        _compare_pass(reference, other, (mine, theirs), find_prompt(f"the {label}"), None)
    ).joined(
        _compare_pass(
            reference,
            other,
            (mine, theirs),
            refine_prompt(label, "Include the handle."),
            largest_mask(logits, image.shape[:2]),
        )
    )


def _compare_pass(
    reference: Runtime,
    other: Runtime,
    encodings: tuple[Encoding, Encoding],
    prompt: str,
    previous_mask: NDArray[np.bool_] | None,
) -> Parity:
    wanted = reference.perceive(encodings[0], prompt, previous_mask)
    given = other.perceive(encodings[1], prompt, previous_mask)
    best = wanted.best(1)
    (iou,) = mask_ious(
        reference.draw(encodings[0], best, previous_mask).logits,
        other.draw(encodings[1], best, previous_mask).logits,
    )
    difference = _difference(wanted.objectness, given.objectness)
    return Parity(masks=1, mask_iou=float(iou), mean_iou=float(iou), objectness=difference)


def _difference(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> float:
    return float(np.abs(wanted - given).max())

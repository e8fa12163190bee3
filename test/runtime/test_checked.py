"""What a model gives is looked at: numbers, of the right shapes, or a ModelError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.errors import ModelError
from rose_ros.runtime.base import Candidates, DecodedMasks, Encoding, RegionName, Runtime
from rose_ros.runtime.checked import CheckedRuntime

ENCODING = Encoding(4, 4, (1.0, 1.0), None, np.zeros((4, 4, 3), np.uint8))


class Given(Runtime):
    """Gives what it was told to, for three candidates."""

    kind = "given"
    model_name = "given"
    device = "cpu"

    def __init__(self, **changes: Any) -> None:
        self.values: dict[str, Any] = {
            "objectness": np.full(3, 0.5, np.float32),
            "centres": np.full((3, 2), 0.5, np.float32),
            "mask_embeddings": np.ones((3, 8), np.float32),
            "category_embeddings": np.ones((3, 6), np.float32),
            "logits": np.ones((3, 4, 4), np.float32),
            "quality": np.full(3, 0.9, np.float32),
            "names": [RegionName("mug", 0.5)] * 3,
            **changes,
        }
        self.closed = False

    def encode(self, image: NDArray[np.uint8]) -> Encoding:
        return ENCODING

    def perceive(
        self, encoding: Encoding, text: str, previous_mask: NDArray[np.bool_] | None = None
    ) -> Candidates:
        keys = ("objectness", "centres", "mask_embeddings", "category_embeddings")
        return Candidates(*(self.values[key] for key in keys))

    def decode(
        self,
        encoding: Encoding,
        candidates: Candidates,
        previous_mask: NDArray[np.bool_] | None = None,
    ) -> DecodedMasks:
        return DecodedMasks(self.values["logits"], self.values["quality"])

    def name(
        self,
        encoding: Encoding,
        logits: NDArray[np.float32],
        category_embeddings: NDArray[np.float32],
    ) -> list[RegionName]:
        return self.values["names"]

    def close(self) -> None:
        self.closed = True


def run(runtime: Runtime) -> list[RegionName]:
    """Make all calls of a frame."""
    encoding = runtime.encode(np.zeros((4, 4, 3), np.uint8))
    found = runtime.perceive(encoding, "Segment everything.")
    decoded = runtime.decode(encoding, found)
    return runtime.name(encoding, decoded.logits, found.category_embeddings)


def test_good_results_go_through_unchanged() -> None:
    given = Given()
    checked = CheckedRuntime(given)
    assert (checked.kind, checked.model_name, checked.device) == ("given", "given", "cpu")
    assert run(checked) is given.values["names"]
    assert checked.perceive(ENCODING, "").objectness is given.values["objectness"]
    checked.close()
    assert given.closed


def test_likelihoods_are_looked_at_too() -> None:
    given = Given()
    checked, asked = CheckedRuntime(given), (ENCODING, given.values["logits"], np.zeros((3, 6)))
    first = given.values["names"][0]
    likely = checked.likelihood(*asked, first.text)
    assert likely[0] == pytest.approx(first.score)
    assert not checked.likelihood(*asked, "no such name").any()
    given.values["names"] = [RegionName(first.text, float("nan"))] * len(likely)
    with pytest.raises(ModelError, match="likelihoods that are not finite"):
        checked.likelihood(*asked, first.text)


def test_nothing_at_all_is_fine() -> None:
    none = Given(
        objectness=np.zeros(0, np.float32),
        centres=np.zeros((0, 2), np.float32),
        mask_embeddings=np.zeros((0, 8), np.float32),
        category_embeddings=np.zeros((0, 6), np.float32),
        logits=np.zeros((0, 4, 4), np.float32),
        quality=np.zeros(0, np.float32),
        names=[],
    )
    assert run(CheckedRuntime(none)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "key",
    ["objectness", "centres", "mask_embeddings", "category_embeddings", "logits", "quality"],
)
def test_one_value_that_is_no_number_is_enough(key: str, value: float) -> None:
    given = Given()
    given.values[key].reshape(-1)[-1] = value
    with pytest.raises(ModelError, match="not finite"):
        run(CheckedRuntime(given))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("centres", np.zeros((2, 2), np.float32)),
        ("mask_embeddings", np.zeros((3, 8, 1), np.float32)),
        ("category_embeddings", np.zeros((4, 6), np.float32)),
        ("logits", np.zeros((2, 4, 4), np.float32)),
        ("quality", np.zeros((3, 1), np.float32)),
        ("names", [RegionName("mug", 0.5)] * 2),
        ("names", [RegionName("mug", float("nan"))] * 3),
    ],
)
def test_wrong_shapes_and_missing_names_are_seen(key: str, value: Any) -> None:
    with pytest.raises(ModelError, match="the model gave"):
        run(CheckedRuntime(Given(**{key: value})))

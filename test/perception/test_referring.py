"""Descriptions of places and ranks are answered from names, boxes and likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.perception.referring import Scene, Thing, asks_to_move, bare_name, make_thing

#: Seen from above the table: lower in the image is nearer.
PLACES = {
    "table": (0.0, 0.3, 1.0, 1.0),
    "red mug": (0.1, 0.4, 0.2, 0.5),
    "blue mug": (0.7, 0.6, 0.85, 0.8),
    "green ball": (0.3, 0.62, 0.36, 0.7),
    "wooden box": (0.45, 0.6, 0.65, 0.85),
    "yellow ball": (0.9, 0.45, 0.96, 0.52),
}
NAMES = list(PLACES)


def thing(name: str, box: tuple[float, float, float, float]) -> Thing:
    x0, y0, x1, y1 = box
    return Thing(name, box, ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0) * (y1 - y0))


def scene(**likely: dict[str, float]) -> Scene:
    """A scene in which the model gives names (with _ for spaces) these likelihoods, by thing."""

    def likelihood(name: str) -> NDArray[np.float32]:
        scores = likely.get(name.replace(" ", "_"), {})
        return np.array([scores.get(one, 0.001) for one in NAMES], np.float32)

    return Scene([thing(*pair) for pair in PLACES.items()], likelihood)


def found(description: str, **likely: dict[str, float]) -> list[str] | None:
    indices = scene(**likely).refer(description)
    return indices and [NAMES[i] for i in indices]


@pytest.mark.parametrize(
    ("description", "meant"),
    [
        ("the ball left of the box", ["green ball"]),
        ("the ball to the left of the wooden box.", ["green ball"]),
        ("the ball that is right of the box", ["yellow ball"]),
        ("the mug behind the box", ["blue mug"]),
        ("the mug behind the green ball", ["red mug"]),
        ("the ball behind the red mug", []),
        ("everything right of the box", ["blue mug", "yellow ball"]),
        ("all balls on the table", ["green ball", "yellow ball"]),
        ("the object next to the box", ["blue mug"]),
        ("the mug in front of the yellow ball", ["blue mug"]),
        ("the ball behind the blue mug", ["yellow ball"]),
        ("the leftmost mug", ["red mug"]),
        ("the mug on the right", ["blue mug"]),
        ("the mug furthest to the left", ["red mug"]),
        ("the nearest ball", ["green ball"]),
        ("the ball farthest from the camera", ["yellow ball"]),
        ("the biggest object", ["wooden box"]),
        ("the smaller mug", ["red mug"]),
        ("The Left Mug", ["red mug"]),
        ("the ball left of the leftmost mug", []),
        ("the red mug and the box", ["red mug", "wooden box"]),
    ],
)
def test_places_and_ranks(description: str, meant: list[str]) -> None:
    assert found(description) == meant


def test_the_next_likely_name_counts_when_none_bears_it() -> None:
    likely = {"blue mug": 0.3, "red mug": 0.2, "wooden box": 0.11}
    assert found("the cup", cup=likely) == ["blue mug"]
    assert found("all cups", cup=likely) == ["red mug", "blue mug"]
    assert found("the leftmost cup", cup=likely) == ["blue mug"]
    assert found("the ball left of the cup", cup=likely) == ["green ball"]
    assert found("the red mug and the crate", crate={"wooden box": 0.2}) == [
        "red mug",
        "wooden box",
    ]
    assert found("the white cup", white_cup={"red mug": 0.01}) == []


def test_longer_descriptions_are_left_to_the_model() -> None:
    assert found("something to drink out of") is None
    assert found("the ball left of something to drink out of") is None


def test_an_empty_scene_has_nothing() -> None:
    empty = Scene([], lambda name: np.zeros(0, np.float32))
    assert empty.refer("the red mug") == []
    assert empty.refer("the leftmost object") == []


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("the red mug", "red mug"),
        ("all cups", "cup"),
        ("the leftmost mug", ""),
        ("the ball left of the box", ""),
        ("the mug and the box", ""),
        ("something to drink out of", ""),
    ],
)
def test_a_bare_name_says_nothing_of_places(description: str, name: str) -> None:
    assert bare_name(description) == name


def test_a_thing_is_described_in_shares_of_the_image() -> None:
    crop = np.array([[True, True, True, True], [True, False, False, False]])
    made = make_thing("mug", crop, (10, 20), (100, 200))
    assert made.box == (0.05, 0.2, 0.07, 0.22)
    assert made.centre == pytest.approx(((10 + 0.5 + 6 / 5) / 200, (20 + 0.5 + 1 / 5) / 100))
    assert made.area == 5 / 20_000


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("not that one, the blue mug", ["blue mug"]),
        ("I meant the ball left of the box", ["green ball"]),
        ("pick the leftmost mug instead of this", ["red mug"]),
        ("the correct object is the wooden box", ["wooden box"]),
        ("No, the yellow ball please.", ["yellow ball"]),
        ("sorry, the blue mug is the one", ["blue mug"]),
        ("I meant the purple kettle", []),
        ("not that one", None),
        ("it is what somebody could drink from", None),
    ],
)
def test_what_a_sentence_speaks_of(text: str, meant: list[str] | None) -> None:
    indices = scene().refer_within(text)
    assert (indices if indices is None else [NAMES[i] for i in indices]) == meant


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("without the kettle", "kettle"),
        ("take the purple lamp out", "purple lamp"),
        ("remove the kettle from it", "kettle"),
        ("not that one, the kettle", "kettle"),
        ("the kettle does not belong to it", "kettle"),
        ("you also took the kettle", "kettle"),
        ("pick the green kettle instead of this", "green kettle"),
        ("without the ball", ""),
        ("not the table", ""),
        ("without the handle", ""),
        ("not the shadow", ""),
        ("drop everything except the nozzle", ""),
        ("include the nozzle", ""),
        ("you left out the nozzle", ""),
        ("do not cut off the nozzle", ""),
        ("only the mug, not the table", ""),
        ("the top part is not the mug", ""),
        ("it is too big", ""),
    ],
)
def test_what_is_to_be_left_out_or_taken_instead_must_be_here(text: str, missing: str) -> None:
    assert scene().missing(text, "red mug") == missing


def test_what_may_be_called_so_is_not_missing() -> None:
    assert scene(pot={"blue mug": 0.4}).missing("without the pot", "red mug") == ""


def corrected(text: str, it: str) -> list[str] | None:
    """What a sentence about a thing speaks of instead."""
    about = Scene(
        [thing(*pair) for pair in PLACES.items()],
        lambda name: np.zeros(len(NAMES), np.float32),
        NAMES.index(it),
    )
    indices = about.refer_within(text)
    return indices and [NAMES[i] for i in indices]


@pytest.mark.parametrize(
    ("text", "it", "meant"),
    [
        ("no, the mug right of it", "wooden box", ["blue mug"]),
        ("wrong one, the ball to the left of this", "wooden box", ["green ball"]),
        ("the other mug", "red mug", ["blue mug"]),
        ("not the mug you marked, the box", "red mug", ["wooden box"]),
        ("choose the ball in front of it", "red mug", ["green ball"]),
        ("use the red mug instead", "red mug", []),
    ],
)
def test_a_correction_points_from_what_it_is_about(text: str, it: str, meant: list[str]) -> None:
    assert corrected(text, it) == meant


@pytest.mark.parametrize(
    ("text", "moves"),
    [
        ("not that one, the red mug", True),
        ("Sorry, the bucket is the one", True),
        ("pick the cone instead of this", True),
        ("take the plate out", False),
        ("not the plate, only the mug", False),
        ("the handle should be in there as well", False),
        ("include the handle", False),
        ("the edge is not right", False),
    ],
)
def test_texts_that_want_another_thing(text: str, moves: bool) -> None:
    assert asks_to_move(text) is moves

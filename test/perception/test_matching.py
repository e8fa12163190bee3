"""Plain descriptions are answered by the words of names; anything else is left to the model."""

from __future__ import annotations

import pytest

from rose_ros.perception.matching import asks_for_several, match_names, plain_name

NAMES = ("red mug", "blue mug", "red bowl", "table", "wooden box", "steel die")


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ("the red mug", [0]),
        ("all mugs", [0, 1]),
        ("everything red", [0, 2]),
        ("the mug that is blue", [1]),
        ("the red mug and the wooden box", [0, 4]),
        ("both boxes", [4]),
        ("all dice", [5]),
        ("The Table", [3]),
        ("the blue one", [1]),
        ("the mug, the blue one", [1]),
    ],
)
def test_words_of_names_answer(description: str, found: list[int]) -> None:
    assert match_names(description, NAMES) == found


@pytest.mark.parametrize(
    "description",
    [
        "the leftmost mug",
        "the mug left of the box",
        "the kettle",
        "the blue bowl",
        "the red mug and the kettle",
        "everything",
        "",
        "the cup",
    ],
)
def test_what_names_cannot_tell_is_left_to_the_model(description: str) -> None:
    assert match_names(description, NAMES) == []


def test_no_names_answer_nothing() -> None:
    assert match_names("the red mug", ()) == []


@pytest.mark.parametrize(
    ("description", "name", "several"),
    [
        ("the red mug", "red mug", False),
        ("all red mugs", "red mug", True),
        ("every box", "box", True),
        ("dishes", "dish", True),
        ("both knives", "knife", True),
        ("the berries", "berry", True),
        ("a glass", "glass", False),
        ("the mug, the blue one", "mug blue", False),
        ("the object", "", False),
        ("everything", "", True),
    ],
)
def test_a_plain_description_calls_a_thing_something(
    description: str, name: str, several: bool
) -> None:
    assert plain_name(description) == name
    assert asks_for_several(description) == several

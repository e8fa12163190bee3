"""Names are put together from what a region looks like and what shape it has."""

from __future__ import annotations

import pytest

from rose_ros.runtime.base import RegionName, compose


@pytest.mark.parametrize(
    ("answer", "kind", "name"),
    [
        ("red mug", "kettle", "red kettle"),
        ("red mug", "mug", "red mug"),
        ("shiny red mug", "kettle", "shiny red kettle"),
        ("table", "tray", "table"),
        ("red mug", "", "red mug"),
        ("", "mug", ""),
    ],
)
def test_the_shape_gives_the_noun(answer: str, kind: str, name: str) -> None:
    assert compose(RegionName(answer, 0.5), RegionName(kind, 0.5)).text == name


def test_a_name_is_as_sure_as_both_its_parts() -> None:
    assert compose(RegionName("red mug", 0.5), RegionName("kettle", 0.8)).score == 0.4
    assert compose(RegionName("table", 0.5), RegionName("kettle", 0.8)).score == 0.5

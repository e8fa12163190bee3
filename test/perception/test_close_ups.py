"""Things whose names are unsure are looked at again, each in a close-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rose_ros.errors import RequestError
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.selection import PerceiverOptions
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.perception.tracking import TrackerOptions
from rose_ros.runtime.base import Encoding, RegionName

MUG, BOX, BOWL = ("red", 40, 60, 40, 40), ("blue", 200, 60, 40, 40), ("green", 120, 160, 50, 40)
WIDTH = 320


@pytest.fixture
def named(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the runtime give other names in close-ups; what it is shown is returned."""
    plainly, encode, seen = runtime.name, runtime.encode, []

    def tell(whole: dict[str, RegionName], closely: dict[str, RegionName]) -> list[str]:
        def name(encoding: Encoding, *regions: NDArray[np.float32]) -> list[RegionName]:
            runtime.names = whole if encoding.width == WIDTH else closely
            return list(plainly(encoding, *regions))

        def look(image: NDArray[np.uint8]) -> Encoding:
            encoding: Encoding = encode(image)
            seen.append(" ".join(thing.colour for thing in encoding.features))
            return encoding

        monkeypatch.setattr(runtime, "name", name)
        monkeypatch.setattr(runtime, "encode", look)
        return seen

    return tell


def names_of(runtime: Any, image: NDArray[np.uint8], **options: int) -> list[str]:
    frame = Perceiver(runtime, PerceiverOptions(**options)).segment(image)
    return sorted(segment.label.text for segment in frame.segments)


def test_an_unsure_name_gives_way_to_a_surer_one(
    runtime: Any, paint: Any, named: Callable[..., list[str]]
) -> None:
    sure, unsure = RegionName("blue box", 0.95), RegionName("red can", 0.5)
    seen = named({"red": unsure, "blue": sure}, {"red": RegionName("red mug", 0.8)})
    assert names_of(runtime, paint(MUG, BOX)) == ["blue box", "red mug"]
    assert seen == ["red blue", "red"]


def test_a_close_up_that_is_no_surer_changes_nothing(
    runtime: Any, paint: Any, named: Callable[..., list[str]]
) -> None:
    seen = named({"red": RegionName("red can", 0.5)}, {"red": RegionName("red mug", 0.4)})
    assert names_of(runtime, paint(MUG)) == ["red can"]
    assert len(seen) == 2


def test_the_least_sure_are_looked_at_first(
    runtime: Any, paint: Any, named: Callable[..., list[str]]
) -> None:
    unsure = {"red": 0.7, "blue": 0.3, "green": 0.6}
    whole = {colour: RegionName(f"{colour} can", score) for colour, score in unsure.items()}
    closely = {colour: RegionName(f"{colour} mug", 0.9) for colour in unsure}
    seen = named(whole, closely)
    image = paint(MUG, BOX, BOWL)
    assert names_of(runtime, image, close_ups=0) == ["blue can", "green can", "red can"]
    assert len(seen) == 1
    assert names_of(runtime, image, close_ups=2) == ["blue mug", "green mug", "red can"]


def test_what_a_close_up_does_not_show_keeps_its_name(
    runtime: Any, paint: Any, named: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = named({"red": RegionName("red can", 0.5)}, {"red": RegionName("red mug", 0.9)})
    runtime.objectness = {"red": 0.35}
    perceive = runtime.perceive

    def blind(encoding: Encoding, *given: Any) -> Any:
        found = perceive(encoding, *given)
        return found if encoding.width == WIDTH else found.take(np.arange(0))

    monkeypatch.setattr(runtime, "perceive", blind)
    assert names_of(runtime, paint(MUG)) == ["red can"]
    assert len(seen) == 2


def test_what_fills_the_image_is_looked_at_once(
    runtime: Any, paint: Any, named: Callable[..., list[str]]
) -> None:
    seen = named({"red": RegionName("red can", 0.5)}, {})
    assert names_of(runtime, paint(("red", 5, 5, 310, 230))) == ["red can"]
    assert len(seen) == 1


def test_frames_of_a_camera_have_one_close_up_each_of_things_in_turn(
    runtime: Any, paint: Any, named: Callable[..., list[str]]
) -> None:
    colours = ("red", "blue", "green")
    whole = {colour: RegionName(f"{colour} can", 0.5) for colour in colours}
    seen = named(whole, {colour: RegionName(f"{colour} mug", 0.8) for colour in colours})
    session = PerceptionSession(runtime, SessionOptions(tracker=TrackerOptions(naming_interval=1)))
    image = paint(MUG, BOX, BOWL)
    areas = set()
    for number in range(1, 13):
        before = len(seen)
        frame = session.process(image, camera="front", stamp_ns=number * 100_000_000)
        assert len(seen) <= before + 2
        areas.add(tuple(segment.area for segment in frame.segments))
    assert {segment.label.text for segment in frame.segments} == {f"{one} mug" for one in colours}
    assert len(areas) == 1, "masks jumped"


def test_no_frame_has_any_number_of_close_ups() -> None:
    with pytest.raises(RequestError, match="close_ups is 65; allowed are 0 to 64"):
        PerceiverOptions(close_ups=65)

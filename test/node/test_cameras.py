"""Several cameras, one model: topics of their own, fair turns, limits and settings of their own."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from rose_ros.msg import SegmentArray
from rose_ros.perception.segments import Status

CAMERAS = ("front", "left", "rear")
DELAY = 0.1


class Rig:
    """Three cameras: each publishes at a rate that can change; arrays are kept by camera."""

    def __init__(self, robot: Any) -> None:
        self.periods = dict.fromkeys(CAMERAS, 0.0)
        self.arrays: dict[str, list[tuple[float, SegmentArray]]] = {name: [] for name in CAMERAS}
        self.seconds = 0.0
        self._robot = robot
        self._stop = threading.Event()
        qos = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
        self._publishers = {
            name: robot.node.create_publisher(Image, f"/{name}/image", qos) for name in CAMERAS
        }
        for name in CAMERAS:
            robot.node.create_subscription(
                SegmentArray,
                f"/rose/{name}/segments",
                lambda array, name=name: self.arrays[name].append((time.monotonic(), array)),
                20,
            )
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in CAMERAS]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop all cameras."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, name: str) -> None:
        picture = self._robot.picture("red", "blue")
        while not self._stop.wait(self.periods[name] or 0.02):
            if self.periods[name]:
                self._publishers[name].publish(self._robot.message(picture))

    def watch(self, total: int, **periods: float) -> dict[str, list[SegmentArray]]:
        """Let the cameras send at these periods (s; 0: nothing) until ``total`` arrays have come.

        Return the arrays by camera; ``seconds`` is how long it took.
        """
        self.periods.update({name: periods.get(name, 0.0) for name in CAMERAS})
        time.sleep(0.5)
        start = time.monotonic()
        first = {name: len(arrays) for name, arrays in self.arrays.items()}

        def seen() -> dict[str, list[SegmentArray]]:
            return {name: [a for _, a in self.arrays[name][first[name] :]] for name in CAMERAS}

        self._robot.wait_until(
            lambda: sum(len(arrays) for arrays in seen().values()) >= total, f"{total} arrays"
        )
        self.seconds = time.monotonic() - start
        self.periods.update(dict.fromkeys(CAMERAS, 0.0))
        return seen()


@pytest.fixture(scope="module")
def process(robot: Any, start: Any) -> Iterator[Any]:
    parameters = {
        "cameras": f"[{','.join(CAMERAS)}]",
        # The third camera's topic is given the other way.
        "image_topics": "[/front/image, /left/image, /nowhere]",
        "camera__rear__image_topic": "/rear/image",
    }
    with start(model=f"fake:delay={DELAY}", **parameters) as process:
        robot.wait_for_state("active", process)
        yield process
        assert process.running, process.output


@pytest.fixture(scope="module")
def rig(robot: Any, process: Any) -> Iterator[Rig]:
    rig = Rig(robot)
    rig.periods.update(dict.fromkeys(CAMERAS, 0.05))
    robot.wait_until(lambda: all(rig.arrays.values()), "an array of each camera")
    yield rig
    rig.close()


def test_each_camera_has_topics_of_its_own(robot: Any, rig: Rig) -> None:
    topics = {
        name for name, _ in robot.node.get_publisher_names_and_types_by_node("perception", "/rose")
    }
    for name in CAMERAS:
        for output in ("segments", "overlay", "instances"):
            assert f"/rose/{name}/{output}" in topics
        assert {array.camera for _, array in rig.arrays[name]} == {name}
    assert "/rose/segments" not in topics
    assert "/rose/overlay" not in topics


def test_shares_are_fair(rig: Rig) -> None:
    """All cameras are faster than the model, one of them much; each gets a third."""
    seen = rig.watch(24, front=0.02, left=0.05, rear=0.05)
    counts = [len(arrays) for arrays in seen.values()]
    assert max(counts) - min(counts) <= 4, counts


def test_a_camera_that_sends_little_is_not_kept_waiting(rig: Rig) -> None:
    """With its turn always due, its frame waits for the one in work and no other."""
    seen = rig.watch(30, front=0.02, left=0.02, rear=1.0)
    frames = [array for arrays in seen.values() for array in arrays]
    longest = max(array.timing.inference + array.timing.postprocess for array in frames)
    waited = sorted(array.timing.queue for array in seen["rear"])
    assert waited
    assert waited[len(waited) // 2] < 2 * longest + 0.5, waited


def test_the_rate_of_one_camera_can_be_limited(robot: Any, rig: Rig) -> None:
    assert robot.set(camera__left__max_rate=0.5) == ""
    try:
        seen = rig.watch(24, **dict.fromkeys(CAMERAS, 0.05))
    finally:
        assert robot.set(camera__left__max_rate=-1.0) == ""
    assert len(seen["left"]) <= 0.5 * rig.seconds + 2
    assert abs(len(seen["front"]) - len(seen["rear"])) <= 4


def test_identities_are_unique_among_cameras(rig: Rig) -> None:
    ids = {
        name: {segment.id for segment in arrays[-1][1].segments}
        for name, arrays in rig.arrays.items()
    }
    assert all(len(found) == 2 for found in ids.values()), ids
    assert len(set.union(*ids.values())) == 6, ids
    assert len({arrays[-1][1].session_id for arrays in rig.arrays.values()}) == 1


def test_a_correction_means_one_camera(robot: Any, rig: Rig) -> None:
    target = rig.arrays["left"][-1][1].segments[0].id
    reply = robot.refine("that is a funnel", target, camera="left")
    assert reply.status == Status.OK, reply.message
    seen = rig.watch(12, **dict.fromkeys(CAMERAS, 0.05))
    names = {
        name: {segment.label.text for segment in arrays[-1].segments}
        for name, arrays in seen.items()
    }
    assert names["left"] == {"funnel", "blue box"}
    assert names["front"] == names["rear"] == {"red box", "blue box"}


def test_diagnostics_have_a_part_for_each(robot: Any, rig: Rig) -> None:
    report = robot.diagnostics()
    for name in CAMERAS:
        values = report[f"camera {name}"]
        assert values["camera"] == name
        assert values["publishers"] == "1"
        assert values["encoding"] == "rgb8"
        assert values["resolution"] == "160x120"
        assert int(values["frames_processed"]) > 0
    assert report["node"]["cameras"] == "3"


def test_keys_of_cameras(robot: Any, process: Any) -> None:
    assert "has no key 'max_rat'" in robot.set(camera__left__max_rat=1.0)
    assert "there is no camera 'top'" in robot.set(camera__top__max_rate=1.0)
    assert robot.set(max_rat=1.0) == "there is no parameter max_rat"
    assert "clean up the node first" in robot.set(camera__left__transport="raw")
    assert "range" in robot.set(camera__left__max_rate=2000.0)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"camera__camera__max_rat": 5.0}, "has no key 'max_rat'.*did you mean max_rate?"),
    ],
)
def test_wrong_cameras_end_it_with_the_reason(
    start: Any, parameters: dict[str, Any], reason: str
) -> None:
    with start(**parameters) as process:
        assert process.wait() == 2, process.output
        assert re.search(reason, process.output), process.output

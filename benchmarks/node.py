"""The node as a robot uses it: start, a camera that is too fast, requests meanwhile, memory."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.images import SIZE, orbit, there_and_back
from benchmarks.measures import Bench, BenchmarkError, Findings, Row, Target, median, p95, trend

if TYPE_CHECKING:
    from benchmarks.robot import NodeProcess, Robot

#: Frames a second of the camera, and how many of them show one pose.
RATE, HOLD = 30.0, 7
_NODE = ("-m", "rose_ros.node.perception_node")
#: s: the first arrays after the start pay for memory; they do not count.
_WARM_UP = 3.0
#: Fewer arrays say nothing; a slow machine is given more time for them.
_LEAST_ARRAYS = 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """One array: when it came (s), how old its frame was when published (s), perceiver's time (s).

    skipped: frames overwritten so far.
    """

    moment: float
    age: float
    own: float
    skipped: int


def run(bench: Bench) -> Findings:
    """Start the node twice, the second time for the clock, and leave it to a fast camera."""
    from benchmarks.robot import Camera, robot_and_node, to_message

    poses = bench.pick(16, 4)
    views = orbit(poses, lambda done: bench.report("rendering", done, poses))
    messages = [to_message(view.image) for view in views]

    def camera(robot: Robot) -> Camera:
        return Camera(robot, messages, there_and_back(poses, HOLD), RATE)

    found = Findings()
    bench.report("first start", 0, 2)
    with robot_and_node(_NODE, bench.model) as (robot, process), camera(robot):
        cold = first_array(robot, process)
    bench.report("second start", 1, 2)
    with robot_and_node(_NODE, bench.model) as (robot, process), camera(robot) as source:
        warm = first_array(robot, process)
        found.rows.append(
            Row(
                "node",
                "start to the first array",
                warm,
                "s",
                "lower",
                Target(at_most=8.0),
                f"process start, model, warm-up, discovery; the start before took {cold:.1f} s",
            )
        )
        sleep(bench, "warming up", _WARM_UP)
        begin, sent, start = len(robot.arrays), source.sent, time.monotonic()
        sleep(bench, "a camera of 30 Hz", bench.pick(60, 8))
        least = begin + _LEAST_ARRAYS
        robot.wait_for(lambda: len(robot.arrays) >= least, process, "further arrays")
        rate = (source.sent - sent) / (time.monotonic() - start)
        found.rows += overload_rows(read_arrivals(robot.arrays[begin:]), rate)
        found.rows += requests(bench, robot)
        found.rows += memory_rows(process.memory())
    return found


def first_array(robot: Robot, process: NodeProcess) -> float:
    """Wait for the first array; return the seconds since the process was started."""
    robot.wait_for(lambda: bool(robot.arrays), process, "first array")
    return robot.arrays[0][0] - process.started


def sleep(bench: Bench, what: str, seconds: float) -> None:
    """Let time pass and say so."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        bench.report(what, int(passed), int(seconds))
        time.sleep(min(1.0, seconds - passed))


def read_arrivals(arrays: Sequence[tuple[float, Any]]) -> list[Arrival]:
    """Read when arrays came and what they say of themselves."""
    return [
        Arrival(
            moment,
            array.timing.age,
            array.timing.inference + array.timing.postprocess,
            array.frames_skipped,
        )
        for moment, array in arrays
    ]


def overload_rows(arrivals: Sequence[Arrival], rate: float) -> list[Row]:
    """Return how many results came and how old they were; ``rate`` is what the camera sent."""
    moments = [arrival.moment for arrival in arrivals]
    ages = [arrival.age for arrival in arrivals]
    own = [arrival.own for arrival in arrivals]
    mean = sum(own) / len(own)
    seconds = moments[-1] - moments[0]
    results = (len(arrivals) - 1) / seconds
    oldest, limit = p95(ages), 2.2 * mean + 1.0 / RATE
    skipped = arrivals[-1].skipped - arrivals[0].skipped
    half = len(own) // 2
    drift = 100 * (median(own[half:]) / median(own[:half]) - 1)
    return [
        Row(
            "node",
            "results a second from a 30 Hz camera against 1 / perceiver's time",
            100 * results * mean,
            "%",
            "higher",
            Target(at_least=90.0),
            f"{results:.1f} a second of {rate:.1f} sent; perceiver {1e3 * mean:.1f} ms on average",
        ),
        Row(
            "node",
            "age at publish under overload, p95, against 2.2 x perceiver's time + one period",
            100 * oldest / limit,
            "%",
            "lower",
            Target(at_most=100.0),
            f"{1e3 * oldest:.0f} ms of {1e3 * limit:.0f} ms; {skipped} frames skipped",
        ),
        Row(
            "node",
            f"rise of the age over {seconds:.0f} s of overload",
            100 * trend(moments, ages),
            "%",
            "lower",
            Target(at_most=10.0),
            f"of the median of {1e3 * median(ages):.0f} ms; perceiver's time {drift:+.1f} %",
        ),
    ]


def requests(bench: Bench, robot: Robot) -> list[Row]:
    """Ask for segments and corrections of masks while frames keep coming."""
    from rose_ros.perception.segments import Scope, Status
    from rose_ros.srv import Find, Refine

    count, chance = bench.pick(60, 8), random.Random(0)
    begin = len(robot.arrays)
    times: dict[str, list[float]] = {"find": [], "refine": []}
    expected = {int(s) for s in (Status.OK, Status.NO_CHANGE, Status.NO_TARGET)}
    expected.add(int(Status.NOT_UNDERSTOOD))
    for number in range(count):
        segments = [segment for segment in robot.arrays[-1][1].segments if segment.label.text]
        if not segments:
            raise BenchmarkError("there is nothing in view to ask about")
        segment = segments[number // 2 % len(segments)]
        # At any moment of a frame, and with frames between two requests.
        time.sleep(chance.uniform(0.2, 0.5))
        if number % 2:
            request = Refine.Request(text=f"the whole {segment.label.text}")
            request.segment_ids.append(segment.id)
            request.scope = int(Scope.FRAME)
            reply, seconds = robot.call(Refine, "/rose/refine", request)
            times["refine"].append(seconds)
        else:
            # Not a name in view, so that the model looks for it.
            request = Find.Request(text=f"a small {segment.label.text}")
            reply, seconds = robot.call(Find, "/rose/find", request)
            times["find"].append(seconds)
        if reply.status not in expected:
            raise BenchmarkError(f"status {reply.status} for {request.text!r}: {reply.message}")
        bench.report("requests meanwhile", number + 1, count)
    own = [arrival.own for arrival in read_arrivals(robot.arrays[begin:])]
    mean = sum(own) / len(own)
    return [
        Row(
            "node",
            f"{kind} while frames keep coming, p95, against the perceiver's time",
            p95(values) / mean,
            "x",
            "lower",
            Target(at_most=1.5),
            f"p95 {1e3 * p95(values):.0f} ms, median {1e3 * median(values):.0f} ms, "
            f"{len(values)} requests; perceiver {1e3 * mean:.0f} ms",
        )
        for kind, values in times.items()
    ]


def memory_rows(memory: dict[str, float]) -> list[Row]:
    """Return what the node's process holds after all that."""
    return [
        Row(
            "node",
            "resident memory of the node",
            memory["VmRSS"],
            "MB",
            "lower",
            Target(at_most=700.0),
            f"at the most {memory['VmHWM']:.0f} MB; {SIZE[1]}x{SIZE[0]} images",
        )
    ]

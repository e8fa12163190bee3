"""``python -m benchmarks.cameras``: one model, several cameras; and what taking frames raw saves.

A real node, real DDS. All cameras together always send the same number of images a second, more
than the model can take, so that what differs is only how many cameras they come from.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image

from rose_ros.data.tabletop import build_world
from rose_ros.errors import RoseError
from rose_ros.msg import SegmentArray
from rose_ros.node.running import Spinner

#: s: until the node has loaded its model, on a slow machine.
PATIENCE = 300.0
#: s: the first frames pay for memory and caches.
WARM_UP = 5.0
HEIGHT, WIDTH = 480, 640
SIZES = ((480, 640), (1080, 1920))
_RELIABLE = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)


class BenchmarkError(RoseError):
    """Something that is to be measured does not run."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What came out: arrays a second in all and of each camera, age in s, CPU seconds an array."""

    cameras: int
    total: float
    shares: tuple[float, ...]
    age_p50: float
    age_p95: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Take:
    """CPU seconds that a subscriber spends on one image that it drops."""

    height: int
    width: int
    raw: bool
    cpu: float
    images: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 when everything ran, 1 with the reason when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras", description=__doc__)
    parser.add_argument("--model", default="rose-tiny")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--rate", type=float, default=24.0, help="images a second in all")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per line")
    parser.add_argument("--takes", action="store_true", help="measure raw and typed taking only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, too")
    args = parser.parse_args(argv)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    try:
        if args.takes:
            found: list[Any] = measure_takes(args.seconds)
            show_takes(found)
        else:
            found = [measure_throughput(count, args) for count in args.cameras]
            show_throughput(found)
    except BenchmarkError as error:
        print(f"benchmarks.cameras: {error}", file=sys.stderr)
        return 1
    if args.json:
        result = {"load": os.getloadavg()[0], "results": [asdict(item) for item in found]}
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def measure_throughput(count: int, args: argparse.Namespace) -> Throughput:
    """Run the node on ``count`` cameras and count what it publishes."""
    names = [f"camera{number}" for number in range(count)]
    command = [sys.executable, "-m", "rose_ros.node.perception_node", "--ros-args"]
    command += ["-r", "__ns:=/rose", "-p", f"model:={args.model}", "-p", f"runtime:={args.runtime}"]
    command += ["-p", f"cameras:=[{','.join(names)}]"]
    command += ["-p", f"image_topics:=[{','.join(f'/{name}/image' for name in names)}]"]
    arrays: dict[str, list[SegmentArray]] = {name: [] for name in names}
    with robot() as node, running(command) as process:
        for name in names:
            topic = "/rose/segments" if count == 1 else f"/rose/{name}/segments"
            node.create_subscription(SegmentArray, topic, arrays[name].append, 20)
        with sending(node, names, args.rate / count):
            wait_until(lambda: all(arrays.values()), process, "an array of each camera")
            time.sleep(WARM_UP)
            for received in arrays.values():
                received.clear()
            cpu, start = cpu_seconds(process.pid), time.monotonic()
            time.sleep(args.seconds)
            seconds = time.monotonic() - start
            cpu = cpu_seconds(process.pid) - cpu
            counted = {name: list(received) for name, received in arrays.items()}
    ages = [array.timing.age for received in counted.values() for array in received]
    if not ages:
        raise BenchmarkError(f"nothing came from {count} cameras in {seconds:.0f} s")
    p50, p95 = np.percentile(ages, (50, 95)).tolist()
    shares = tuple(len(received) / seconds for received in counted.values())
    return Throughput(count, sum(shares), shares, p50, p95, cpu / len(ages))


def measure_takes(seconds: float) -> list[Take]:
    """Subscribe raw and typed in turns to images that nobody looks at."""
    takes = []
    for height, width in SIZES:
        command = [sys.executable, "-m", __spec__.name, "--publish", str(height), str(width)]
        with running(command) as process:
            for raw in (False, True, False, True):
                takes.append(take(process, height, width, raw=raw, seconds=seconds / 4))
    return takes


def take(
    process: subprocess.Popen[bytes], height: int, width: int, *, raw: bool, seconds: float
) -> Take:
    """Count the CPU time of this process while images come."""
    count = 0

    def drop(_: Any) -> None:
        nonlocal count
        count += 1

    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    with robot() as node:
        node.create_subscription(Image, "/camera/image", drop, qos, raw=raw)
        wait_until(lambda: count > 3, process, "images")
        cpu, before = time.process_time(), count
        time.sleep(seconds)
        images = count - before
        cpu = time.process_time() - cpu
    return Take(height, width, raw, cpu / max(1, images), images)


def publish(height: int, width: int) -> None:
    """Publish 30 images a second until told to end."""
    message = image_message(np.zeros((height, width, 3), np.uint8))
    with robot() as node:
        publisher = node.create_publisher(Image, "/camera/image", _RELIABLE)
        while True:
            publisher.publish(message)
            time.sleep(1 / 30)


@contextmanager
def robot() -> Iterator[Node]:
    """Run a node on a thread."""
    context = Context()
    context.init()
    node = Node("robot", context=context)
    spinner = Spinner(node, SingleThreadedExecutor(context=context))
    try:
        yield node
    finally:
        spinner.stop(5.0)
        node.destroy_node()
        context.try_shutdown()


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def sending(node: Node, names: Sequence[str], rate: float) -> Iterator[None]:
    """Publish images of the simulated world on all cameras, each ``rate`` times a second."""
    images = [build_world(seed, "test").render(height=HEIGHT, width=WIDTH).image for seed in (0, 1)]
    messages = [image_message(image) for image in images]
    publishers = [node.create_publisher(Image, f"/{name}/image", _RELIABLE) for name in names]
    stop = threading.Event()

    def run() -> None:
        turn, due = 0, time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            message = messages[turn // len(publishers) % len(messages)]
            message.header.stamp = node.get_clock().now().to_msg()
            publishers[turn % len(publishers)].publish(message)
            turn += 1
            due += 1.0 / (rate * len(publishers))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def image_message(image: np.ndarray) -> Image:
    """Make an rgb8 message."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8")
    message.step = image.shape[1] * 3
    message.data = array.array("B", image.tobytes())
    return message


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[bytes], what: str) -> None:
    """Wait while the process lives; raise ``BenchmarkError`` when it is in vain."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None:
            raise BenchmarkError(f"the process ended with {process.returncode}")
        if time.monotonic() > end:
            raise BenchmarkError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show_throughput(found: list[Throughput]) -> None:
    """Print a table; the last column compares with the first line."""
    title = f"One model, several cameras, {WIDTH}x{HEIGHT}, load {os.getloadavg()[0]:.1f}"
    table = Table("cameras", title=title, title_justify="left")
    for column in ("arrays/s", "least", "most", "age p50 ms", "p95 ms", "CPU ms/array", "of first"):
        table.add_column(column, justify="right")
    for item in found:
        cells = (item.total, min(item.shares), max(item.shares))
        times = (item.age_p50 * 1e3, item.age_p95 * 1e3, item.cpu * 1e3)
        table.add_row(
            str(item.cameras),
            *(f"{value:.2f}" for value in cells),
            *(f"{value:.0f}" for value in times),
            f"{item.total / found[0].total:.0%}",
        )
    Console().print(table)


def show_takes(found: list[Take]) -> None:
    """Print a table."""
    table = Table("size", "taken", title="CPU time for an image that is dropped")
    for column in ("ms", "images"):
        table.add_column(column, justify="right")
    for item in found:
        kind = "raw" if item.raw else "typed"
        table.add_row(
            f"{item.width}x{item.height}", kind, f"{item.cpu * 1e3:.2f}", str(item.images)
        )
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--publish"]:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        publish(int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main())

"""A robot around the node: a camera, a subscriber and a planner over real DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmarks.measures import BenchmarkError
from rose_ros.msg import SegmentArray
from rose_ros.node.images import array_to_image

#: s: far above what anything takes, also on a busy machine.
PATIENCE = 120.0
_ROOT = Path(__file__).resolve().parents[1]


class NodeProcess:
    """A perception node in a process of its own."""

    def __init__(self, command: Sequence[str], model: Path) -> None:
        """Start ``python COMMAND`` on the camera's topic with ONNX Runtime."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill()
        arguments = [
            *("-r", "__ns:=/rose", "-r", "image:=/camera/image"),
            *("-p", f"model:={model}", "-p", "runtime:=onnx", "-p", "device:=cpu"),
        ]
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *command, "--ros-args", *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
        )

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def memory(self) -> dict[str, float]:
        """Return its resident megabytes (1e6 bytes), "VmRSS" now and "VmHWM" at the most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return {key: int(lines[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM")}

    def stop(self) -> None:
        """Let it end; raises ``BenchmarkError`` when it ends badly."""
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BenchmarkError(f"the node did not end:\n{self.output}") from None
        if code:
            raise BenchmarkError(f"the node ended with {code}:\n{self.output}")

    def kill(self) -> None:
        """End it whatever it does."""
        if self.running:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Robot:
    """Publishes images, keeps the arrays that come back with when they came, calls services."""

    def __init__(self) -> None:
        """Join the network."""
        self._context = Context()
        self._context.init()
        self.node = Node("robot", context=self._context)
        #: (seconds on the monotonic clock, array)
        self.arrays: list[tuple[float, SegmentArray]] = []
        self._came = threading.Condition()
        self.node.create_subscription(SegmentArray, "/rose/segments", self._take, 20)
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = self.node.create_publisher(Image, "/camera/image", qos)
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the network."""
        self._context.try_shutdown()
        self._thread.join(PATIENCE)
        self.node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _take(self, array: SegmentArray) -> None:
        with self._came:
            self.arrays.append((time.monotonic(), array))
            self._came.notify_all()

    def send(self, message: Image) -> tuple[int, int]:
        """Publish an image with the present time and return its stamp."""
        message.header.stamp = self.node.get_clock().now().to_msg()
        self._publisher.publish(message)
        return message.header.stamp.sec, message.header.stamp.nanosec

    def wait_for(self, condition: Callable[[], bool], process: NodeProcess, what: str) -> None:
        """Wait until a condition on the arrays holds; it is asked when one comes."""
        end = time.monotonic() + PATIENCE
        with self._came:
            while not condition():
                if not process.running:
                    raise BenchmarkError(f"the node died:\n{process.output}")
                if time.monotonic() > end:
                    raise BenchmarkError(f"no {what} within {PATIENCE:g} s:\n{process.output}")
                self._came.wait(0.5)

    def begin(self, message: Image, process: NodeProcess) -> None:
        """Publish an image again and again until the first array comes."""
        end = time.monotonic() + PATIENCE
        while not self.arrays:
            if not process.running or time.monotonic() > end:
                raise BenchmarkError(f"no first array:\n{process.output}")
            self.send(message)
            time.sleep(0.2)

    def see(self, message: Image, process: NodeProcess) -> float:
        """Publish an image, wait for its array and return the seconds between the two."""
        sent = time.monotonic()
        stamp = self.send(message)

        def came() -> bool:
            if not self.arrays:
                return False
            last = self.arrays[-1][1].header.stamp
            return (last.sec, last.nanosec) == stamp

        self.wait_for(came, process, "array for an image")
        return self.arrays[-1][0] - sent

    def call(self, kind: Any, service: str, request: Any) -> tuple[Any, float]:
        """Call a service; return the reply and the seconds until it came."""
        client = self._clients.get(service)
        if client is None:
            client = self._clients[service] = self.node.create_client(kind, service)
            if not client.wait_for_service(PATIENCE):
                raise BenchmarkError(f"there is no service {service}")
        done = threading.Event()
        start = time.monotonic()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(PATIENCE):
            raise BenchmarkError(f"{service} did not answer within {PATIENCE:g} s")
        return future.result(), time.monotonic() - start


class Camera:
    """Publishes images at a steady rate from a thread, while used in a with statement."""

    def __init__(
        self, robot: Robot, messages: Sequence[Image], walk: Iterator[int], rate: float
    ) -> None:
        """Take the images in the order of ``walk``, ``rate`` a second."""
        self._robot, self._messages, self._walk, self._period = robot, messages, walk, 1.0 / rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._robot.send(self._messages[next(self._walk)])
            self.sent += 1
            due = max(due + self._period, time.monotonic())


def to_message(image: NDArray[np.uint8]) -> Image:
    """Make an image message; it is stamped when it is sent."""
    return array_to_image(image, Header(frame_id="camera"))


@contextmanager
def robot_and_node(command: Sequence[str], model: Path) -> Iterator[tuple[Robot, NodeProcess]]:
    """Run a robot and a node; the node is told to end at the end, and must end well.

    They see each other and nothing else on the network.
    """
    os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    robot = Robot()
    try:
        process = NodeProcess(command, model)
        try:
            yield robot, process
            process.stop()
        finally:
            process.kill()
    finally:
        robot.close()

"""Real nodes in processes of their own, over real DDS, on a domain that is the tests' alone."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before rclpy is initialised and inherited by all processes. Domains up to 101 are safe on Linux.
os.environ["ROS_DOMAIN_ID"] = str(10 + os.getpid() % 90)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from rose_ros.msg import SegmentArray
from rose_ros.srv import Find, Refine

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_perception.py")
#: s: far above what anything here takes; more on a machine that is busy with something else.
PATIENCE = float(os.environ.get("ROSE_PATIENCE", "40"))
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 220, 30),
    "blue": (30, 30, 220),
    "yellow": (220, 220, 30),
}
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


def picture(*names: str, height: int = 120, width: int = 160) -> np.ndarray:
    """Paint one rectangle per colour on black, each colour at a place of its own."""
    image = np.zeros((height, width, 3), np.uint8)
    for name in names:
        left = 8 + list(COLOURS).index(name) * (width // 4)
        image[20 : height - 20, left : left + width // 6] = COLOURS[name]
    return image


def wait_until(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Return the first true value of ``condition``; fail when there is none in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out after {timeout} s waiting for {what}")


class Process:
    """A node in a process, with its output."""

    def __init__(self, command: list[str], arguments: list[str]) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "ROS_PYTHON_CHECK_FIELDS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, *command, "--ros-args", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What the process has written so far."""
        return "".join(self._lines)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code; kill and fail when it does not end."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the process did not end:\n{self.output}") from None
        self._reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        """End the process whatever it does."""
        if self.running:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)


class Robot:
    """What a robot does: publish images, listen to segments, call services."""

    picture = staticmethod(picture)
    wait_until = staticmethod(wait_until)

    def __init__(self) -> None:
        self.context = rclpy.Context()
        self.context.init()
        self.node = Node("robot", context=self.context)
        self.arrays: list[SegmentArray] = []
        # A real subscriber takes what the node gives: reliable.
        self.node.create_subscription(SegmentArray, "/rose/segments", self.arrays.append, 20)
        self._reports: list[DiagnosticArray] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._reports.append, 10)
        # A large depth, so that the tests lose nothing on the way; cameras use sensor-data QoS.
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self._raw = self.node.create_publisher(Image, "/camera/image", qos)
        self._compressed = self.node.create_publisher(
            CompressedImage, "/camera/image/compressed", qos
        )
        self._clients: dict[str, Any] = {}
        self._stamp = time.time_ns()
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the network."""
        self.context.try_shutdown()
        self._thread.join(PATIENCE)
        self.node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def message(self, image: np.ndarray, **changes: Any) -> Image:
        """Make an rgb8 message with a stamp of its own, then change some of its fields."""
        message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8")
        message.step = image.shape[1] * 3
        message.data = array.array("B", image.tobytes())
        self.stamp(message)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def stamp(self, message: Any) -> None:
        """Stamp a message with the present time; never twice the same."""
        self._stamp = max(time.time_ns(), self._stamp + 1)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self._stamp, 10**9)
        message.header.frame_id = "lens"

    def send(self, message: Any) -> None:
        """Publish an image."""
        kind = isinstance(message, CompressedImage)
        (self._compressed if kind else self._raw).publish(message)

    def array_of(self, message: Any) -> SegmentArray | None:
        """Return the array with the header of an image, if it came."""
        return next((a for a in list(self.arrays) if a.header == message.header), None)

    def see(self, message: Any) -> SegmentArray:
        """Publish an image and return its array; a best-effort image may need a second try."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.send(message)
            again = time.monotonic() + 3.0
            while time.monotonic() < again:
                found = self.array_of(message)
                if found is not None:
                    return found
                time.sleep(0.01)
        raise AssertionError("no array for an image")

    def show(self, *names: str) -> SegmentArray:
        """Publish a picture of rectangles and return its array."""
        return self.see(self.message(picture(*names)))

    def call(self, kind: Any, service: str, request: Any, timeout: float = PATIENCE) -> Any:
        """Call a service and return the reply."""
        return self.call_later(kind, service, request)(timeout)

    def call_later(self, kind: Any, service: str, request: Any) -> Callable[..., Any]:
        """Call a service and return a function that waits for the reply."""
        client = self._clients.get(service)
        if client is None:
            # As deep as the node's: a client loses the eleventh reply that comes at once.
            qos = QoSProfile(depth=256, reliability=ReliabilityPolicy.RELIABLE)
            client = self.node.create_client(kind, service, qos_profile=qos)
            self._clients[service] = client
        assert client.wait_for_service(PATIENCE), f"no service {service}"
        future = client.call_async(request)

        def reply(timeout: float = PATIENCE) -> Any:
            wait_until(future.done, f"a reply of {service}", timeout)
            return future.result()

        return reply

    def refine(self, text: str, *ids: int, **fields: Any) -> Refine.Response:
        """Call refine."""
        request = Refine.Request(text=text, segment_ids=array.array("I", ids), scope=1)
        for name, value in fields.items():
            setattr(request, name, value)
        return self.call(Refine, "/rose/refine", request)

    def find(self, text: str, **fields: Any) -> Find.Response:
        """Call find."""
        request = Find.Request(text=text)
        for name, value in fields.items():
            setattr(request, name, value)
        return self.call(Find, "/rose/find", request)

    def clear(self) -> Trigger.Response:
        """Call clear_refinements."""
        return self.call(Trigger, "/rose/clear_refinements", Trigger.Request())

    def change(self, label: str) -> bool:
        """Ask for a lifecycle transition and say whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[label]))
        return bool(self.call(ChangeState, "/rose/perception/change_state", request).success)

    def state(self) -> str:
        """Return the label of the node's lifecycle state."""
        reply = self.call(GetState, "/rose/perception/get_state", GetState.Request())
        return str(reply.current_state.label)

    def wait_for_state(self, label: str, process: Process) -> None:
        """Wait for a lifecycle state; fail at once when the node's process dies."""

        def reached() -> bool:
            assert process.running, f"the node died:\n{process.output}"
            return self._is_there() and self.state() == label

        wait_until(reached, f"state {label}")

    def _is_there(self) -> bool:
        services = self.node.get_service_names_and_types()
        return any(name == "/rose/perception/get_state" for name, _ in services)

    def diagnostics(self) -> dict[str, dict[str, str]]:
        """Return what the node says in its next report: by part, by key."""
        return {
            part: {value.key: value.value for value in status.values}
            for part, status in self.statuses().items()
        }

    def report(self) -> DiagnosticArray:
        """Return the next report."""
        count = len(self._reports)
        wait_until(lambda: len(self._reports) > count, "diagnostics")
        return self._reports[-1]

    def statuses(self) -> dict[str, DiagnosticStatus]:
        """Return what the node says in its next report: by part, with level and message."""
        return {status.name.partition(": ")[2]: status for status in self.report().status}

    def counters(self) -> dict[str, str]:
        """Return the next diagnostics of the camera."""
        return self.diagnostics()["camera camera"]

    def set(self, **values: Any) -> str:
        """Set parameters ("__" stands for "."); return the first reason for a refusal, or ""."""
        request = SetParameters.Request()
        for name, value in values.items():
            parameter = Parameter(name.replace("__", "."), value=value)
            request.parameters.append(parameter.to_parameter_msg())
        reply = self.call(SetParameters, "/rose/perception/set_parameters", request)
        return next((r.reason for r in reply.results if not r.successful), "")


@contextmanager
def fake_perception(**parameters: Any) -> Iterator[Process]:
    """Run the node on the scripted model."""
    arguments = ["-r", "__ns:=/rose", "-r", "image:=/camera/image"]
    for name, value in {"model": "fake", **parameters}.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name.replace('__', '.')}:={text}"]
    process = Process([str(FAKE)], arguments)
    try:
        yield process
    finally:
        # A killed node stays in the network's memory for a while and swallows requests.
        if process.running:
            process.stop()


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    """A robot on the network for the tests of one file."""
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def start() -> Callable[..., Any]:
    """The way to run a node: ``with start(model="fake:delay=0.3") as process``."""
    return fake_perception


@pytest.fixture(scope="session")
def launch() -> Callable[..., Any]:
    """The way to run any program: ``launch(["-m", "module"], ["-p", "a:=1"])``."""
    return Process

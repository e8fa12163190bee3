"""A planner that never stops talking, and notes what it hears."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from rose_ros.msg import SegmentArray
from rose_ros.perception.segments import Status
from rose_ros.srv import Find, Refine

#: s: until a reply is given up; far more than the node's own limit.
_REPLY_SECONDS = 40.0
#: s: between two requests.
_PAUSE = 0.5
_SENTENCES = (
    "that is a funnel",
    "that is a {other}, not a {label}",
    "include the handle",
    "only the lid",
    "without the plate",
    "it is bigger than that",
    "remove {id}",
    "undo",
    "good",
    "you missed the screwdriver on the left",
    "split it",
    "blah \x1b[31m blah",
    "",
)
_THINGS = ("red mug", "blue bowl", "green bottle", "kettle", "wooden spoon")


class Talker(Node):
    """Listens to all cameras; asks from a thread of its own.

    ``heard(camera, age)`` is called for each array that comes.
    """

    def __init__(
        self, cameras: dict[str, str], heard: Callable[[str, float], None], **kwargs: Any
    ) -> None:
        """Subscribe; ``cameras`` are names and their topics."""
        super().__init__("talker", **kwargs)
        self.answers: Counter[str] = Counter()
        self._heard = heard
        self._latest: dict[str, SegmentArray] = {}
        self._random = random.Random(0)
        self._stopping = threading.Event()
        for topic in cameras.values():
            self.create_subscription(SegmentArray, topic, self._on_segments, 20)
        self._refine = self.create_client(Refine, "/rose/refine")
        self._find = self.create_client(Find, "/rose/find")
        self._clear = self.create_client(Trigger, "/rose/clear_refinements")
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the sentence."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_REPLY_SECONDS)

    def _on_segments(self, message: SegmentArray) -> None:
        self._latest[message.camera] = message
        self._heard(message.camera, float(message.timing.age))

    def _talk(self) -> None:
        while not self._stopping.wait(_PAUSE):
            latest = list(self._latest.values())
            if not latest:
                continue
            choice = self._random.random()
            array = self._random.choice(latest)
            if choice < 0.7:
                self._ask(self._refine, self._correction(array))
            elif choice < 0.95:
                text = f"the {self._random.choice(_THINGS)}"
                self._ask(self._find, Find.Request(text=text, camera=array.camera))
            else:
                self._ask(self._clear, Trigger.Request())

    def _correction(self, array: SegmentArray) -> Refine.Request:
        request = Refine.Request(camera=array.camera, scope=self._random.randrange(3))
        request.stamp = array.header.stamp
        sentence = self._random.choice(_SENTENCES)
        if array.segments:
            target = self._random.choice(array.segments)
            request.segment_ids.append(target.id)
            sentence = sentence.replace("{id}", str(target.id))
            sentence = sentence.replace("{label}", target.label.text)
        request.text = sentence.replace("{other}", self._random.choice(_THINGS))
        return request

    def _ask(self, client: Any, request: Any) -> None:
        future = client.call_async(request)
        end = time.monotonic() + _REPLY_SECONDS
        while not future.done() and time.monotonic() < end:
            time.sleep(0.02)
        if not future.done():
            future.cancel()
            self.answers["no answer"] += 1
            return
        status = getattr(future.result(), "status", None)
        self.answers["CLEARED" if status is None else Status(status).name] += 1

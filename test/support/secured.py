"""One role in a secured ROS graph, in a process of its own; prints what it could do as one line.

    python test/support/secured.py ask --ros-args --enclave /rose/planner

``ask``: wait for an array of segments, then name a segment by ``refine``. ``listen SECONDS``: wait
for an array. ``publish TOPIC``, ``subscribe TOPIC``: try to; ``call``: try to make a client of
``refine``. What is refused is said by the reason.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.node import Node

from rose_ros.msg import SegmentArray
from rose_ros.perception.segments import Status
from rose_ros.srv import Refine

#: s: the longest wait for what shall come.
PATIENCE = 90.0


def spin_until(node: Node, condition: Callable[[], Any], timeout: float) -> bool:
    """Take callbacks until the condition holds; say whether it did in time."""
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    return bool(condition())


def hear(node: Node, timeout: float) -> list[SegmentArray]:
    """Return the arrays that came until one had segments."""
    arrays: list[SegmentArray] = []
    node.create_subscription(SegmentArray, "/rose/segments", arrays.append, 10)
    spin_until(node, lambda: arrays and arrays[-1].segments, timeout)
    return arrays


def ask(node: Node) -> dict[str, Any]:
    """Name the first segment that comes."""
    client = node.create_client(Refine, "/rose/refine")
    arrays = hear(node, PATIENCE)
    if not arrays or not arrays[-1].segments:
        return {"arrays": len(arrays)}
    request = Refine.Request(text="that is a funnel", stamp=arrays[-1].header.stamp, scope=1)
    request.segment_ids.append(arrays[-1].segments[0].id)
    found = spin_until(node, client.service_is_ready, PATIENCE)
    future = client.call_async(request)
    spin_until(node, future.done, PATIENCE)
    reply = future.result() if future.done() else None
    names = [segment.label.text for segment in reply.segments] if reply else []
    status = Status(reply.status).name if reply else "no answer"
    return {"arrays": len(arrays), "service": found, "status": status, "names": names}


def act(node: Node, words: list[str]) -> dict[str, Any]:
    """Do what is asked for and say what came of it."""
    match words:
        case ["ask"]:
            return ask(node)
        case ["listen", seconds]:
            return {"arrays": len(hear(node, float(seconds)))}
        case ["publish", topic]:
            node.create_publisher(SegmentArray, topic, 1)
        case ["subscribe", topic]:
            node.create_subscription(SegmentArray, topic, print, 1)
        case ["call"]:
            node.create_client(Refine, "/rose/refine")
        case _:
            raise SystemExit(f"unknown role {words}; see the first lines of {__file__}")
    return {"allowed": True}


def main() -> int:
    """Play the role."""
    split = sys.argv.index("--ros-args") if "--ros-args" in sys.argv else len(sys.argv)
    said: dict[str, Any]
    try:
        rclpy.init(args=sys.argv[split:])
        node = Node("planner", namespace="/rose")
        try:
            said = act(node, sys.argv[1:split])
        finally:
            node.destroy_node()
    except Exception as error:  # the middleware's errors have no class of their own in rclpy
        said = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

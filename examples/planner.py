"""A planner in Python: hear what is seen, correct one name, see that it holds.

Run it in the namespace of the perception node:

    python3 examples/planner.py --ros-args -r __ns:=/rose -p wrong:="red mug" -p right:="paint pot"
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.node import Node
from rclpy.task import Future

from rose_ros.msg import SegmentArray
from rose_ros.node.conversions import frame_from_message
from rose_ros.perception.masks import decode_runs
from rose_ros.srv import Refine


class Planner(Node):
    """Says that what the model calls ``wrong`` is ``right``; ``done`` when later frames agree."""

    def __init__(self) -> None:
        super().__init__("planner")
        self.wrong: str = self.declare_parameter("wrong", "red mug").value
        self.right: str = self.declare_parameter("right", "paint pot").value
        self.done: Future = Future()
        self._target = 0  # id of the segment that was corrected; ids start at 1
        self._waiting = False
        self._refine = self.create_client(Refine, "refine")
        self.create_subscription(SegmentArray, "segments", self._on_segments, 5)

    def _on_segments(self, message: SegmentArray) -> None:
        frame = frame_from_message(message)
        for segment in frame.segments:
            if segment.id == self._target and segment.label.text == self.right:
                mask = decode_runs(segment.mask, frame.height, frame.width)
                self.get_logger().info(f"{self.right}: {int(mask.sum())} px at {segment.anchor}")
                self.done.set_result(True)
                return
            if segment.label.text == self.wrong and not self._waiting and not self._target:
                self._correct(message, segment.id)

    def _correct(self, message: SegmentArray, segment_id: int) -> None:
        if not self._refine.service_is_ready():
            return  # the next frame is another chance
        request = Refine.Request(text=f"that is a {self.right}", scope=Refine.Request.TRACK)
        request.segment_ids.append(segment_id)
        # Which frame, and which life of the ids, this speaks of.
        request.stamp = message.header.stamp
        request.session_id = message.session_id
        self._waiting = True
        self._refine.call_async(request).add_done_callback(self._on_reply)

    def _on_reply(self, future: Future) -> None:
        self._waiting = False
        reply = future.result()
        if reply.status in (Refine.Response.OK, Refine.Response.NO_CHANGE):
            self._target = reply.segments[0].id
        elif reply.status in (Refine.Response.BUSY, Refine.Response.STALE_FRAME):
            self.get_logger().info(f"again with the next frame: {reply.message}")
        else:
            self.get_logger().error(f"refused: {reply.message}")
            self.done.set_result(False)


def main() -> int:
    """Run until the correction is seen (0), refused (1) or 60 s are over (1)."""
    rclpy.init(args=sys.argv)
    planner = Planner()
    rclpy.spin_until_future_complete(planner, planner.done, timeout_sec=60.0)
    succeeded = planner.done.done() and bool(planner.done.result())
    planner.destroy_node()
    rclpy.try_shutdown()
    return 0 if succeeded else 1


if __name__ == "__main__":
    raise SystemExit(main())

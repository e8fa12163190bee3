"""The trail of what planners had corrected: one message per answered correction."""

from __future__ import annotations

import array
from collections.abc import Sequence

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from rose_ros.msg import Refinement
from rose_ros.node.conversions import time_from_ns
from rose_ros.perception.segments import RefineReply, Status
from rose_ros.srv import Refine

#: Whoever comes later hears the last ones too.
_QOS = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
MAX_TEXT_BYTES = 512
_MAX_CAMERA_BYTES = 64
_MAX_IDS = 64


class AuditTrail:
    """Publishes ``refinements`` in every state of the node."""

    def __init__(self, node: Node) -> None:
        """Create the publisher."""
        self._node = node
        self._publisher = node.create_publisher(Refinement, "refinements", _QOS)

    def refined(self, request: Refine.Request, reply: RefineReply, elapsed: float) -> None:
        """Record an answered refine; ``elapsed`` is seconds."""
        message = self._message(reply, elapsed)
        message.kind = Refinement.REFINE
        message.text = one_line(request.text, MAX_TEXT_BYTES)
        message.camera = message.camera or one_line(request.camera, _MAX_CAMERA_BYTES)
        message.scope = request.scope
        message.requested_ids = _ids(request.segment_ids[:_MAX_IDS])
        self._publisher.publish(message)

    def cleared(self, reply: RefineReply, elapsed: float) -> None:
        """Record an answered clear_refinements; ``elapsed`` is seconds."""
        message = self._message(reply, elapsed)
        message.kind = Refinement.CLEAR
        message.scope = Refine.Request.SESSION
        self._publisher.publish(message)

    def _message(self, reply: RefineReply, elapsed: float) -> Refinement:
        message = Refinement(
            stamp=self._node.get_clock().now().to_msg(),
            removed_ids=_ids(reply.removed_ids),
            status=int(reply.status),
            message=one_line(reply.message, MAX_TEXT_BYTES),
            elapsed=elapsed,
        )
        if reply.status is Status.OK:
            message.corrected_ids = _ids([segment.id for segment in reply.segments])
        if reply.frame is not None:
            message.camera = one_line(reply.frame.camera, _MAX_CAMERA_BYTES)
            message.frame_stamp = time_from_ns(reply.frame.stamp_ns)
            message.sequence = reply.frame.sequence
        return message


def one_line(text: str, max_bytes: int) -> str:
    """Return a text on one line without control characters, cut to ``max_bytes`` of UTF-8."""
    # Cut first, so that a text of megabytes costs nothing; a character has at least one byte.
    short = text[:max_bytes]
    plain = "".join(c if c.isprintable() else " " for c in short)
    cut = plain.encode("utf-8", "replace")[:max_bytes]
    return cut.decode("utf-8", "ignore").rstrip()


def _ids(values: Sequence[int]) -> array.array[int]:
    return array.array("I", values)

"""Publish diagnostics once a second, whatever the node's clock does."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import ROSClock
from rclpy.node import Node

from rose_ros.node.diagnostics import NodeState, Statistics
from rose_ros.node.timeline import ClockWatch
from rose_ros.node.timers import steady_timer

_PERIOD_SECONDS = 1.0


class DiagnosticsReporter:
    """Reports what was counted; ``describe(clock)`` is asked what the node knows of itself."""

    def __init__(
        self, node: Node, statistics: Statistics, describe: Callable[[str], NodeState]
    ) -> None:
        """Begin to report; stamps are of the node's clock."""
        self._node = node
        self._statistics = statistics
        self._describe = describe
        self._watch = ClockWatch()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady_timer(node, _PERIOD_SECONDS, self._publish, MutuallyExclusiveCallbackGroup())

    def _publish(self) -> None:
        clock = self._node.get_clock()
        simulated = isinstance(clock, ROSClock) and clock.ros_time_is_active
        now = clock.now()
        state = self._watch.look(now.nanoseconds, time.monotonic(), simulated=simulated)
        message = DiagnosticArray(status=self._statistics.report(self._describe(state)))
        message.header.stamp = now.to_msg()
        self._publisher.publish(message)

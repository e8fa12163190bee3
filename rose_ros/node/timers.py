"""Timers that go on whatever ROS time does."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(
    node: Node, seconds: float, callback: Callable[[], None], group: CallbackGroup | None = None
) -> Timer:
    """Call back every so many seconds; ``group`` is the node's own unless given.

    A timer on ROS time waits for the first time on /clock and stops while a simulation is paused.
    """
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(seconds, callback, callback_group=group, clock=clock)

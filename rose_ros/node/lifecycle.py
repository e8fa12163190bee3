"""A lifecycle node that survives failing and illegal transitions, and how to run it.

rclpy of ROS 2 Jazzy swallows what a transition callback raises, lets an illegal request for a
transition end the process, and then sends no reply to it. This module mends the three.
"""

from __future__ import annotations

import functools
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.utilities import try_shutdown

from rose_ros.errors import RoseError

#: s: how long a node may take to let go of its threads when the process ends.
_STOP_SECONDS = 5.0

N = TypeVar("N", bound="ResilientLifecycleNode")
TransitionCallback = Callable[[N, LifecycleState], TransitionCallbackReturn]


def transition(method: TransitionCallback[N]) -> TransitionCallback[N]:
    """Log why a transition fails instead of losing it.

    What the project raises on purpose is a failure: the node stays in the state it came from.
    Anything else is an error: ``on_error`` frees everything and the node is unconfigured again.
    """

    @functools.wraps(method)
    def wrapper(self: N, state: LifecycleState) -> TransitionCallbackReturn:
        name = method.__name__.removeprefix("on_")
        try:
            return method(self, state)
        except RoseError as error:
            self.get_logger().error(f"{name} failed: {error}")
            result = TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"{name} failed: {type(error).__name__}: {error}")
            result = TransitionCallbackReturn.ERROR
        self.get_logger().debug(traceback.format_exc())
        return result

    return wrapper


class ResilientLifecycleNode(LifecycleNode):
    """A LifecycleNode whose ``change_state`` service answers illegal requests with a refusal."""

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        super().__init__(node_name, **kwargs)
        service = self._service_change_state
        service.callback = functools.partial(self._change_state_safely, service.callback)

    @property
    def state(self) -> str:
        """Label of the current lifecycle state, such as "inactive"."""
        return str(self._state_machine.current_state[1])

    def start(self) -> bool:
        """Configure and activate; say whether the node is active. Failures are logged."""
        if self.state != "unconfigured":
            return self.state == "active"
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                self.get_logger().error(
                    f"could not start; the node is {self.state}. Mend the cause above, then "
                    "configure and activate it"
                )
                return False
        return True

    def _change_state_safely(
        self,
        change_state: Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response],
        request: ChangeState.Request,
        response: ChangeState.Response,
    ) -> ChangeState.Response:
        state = self.state
        try:
            return change_state(request, response)
        except Exception as error:
            wanted = request.transition.label or f"id {request.transition.id}"
            self.get_logger().error(
                f"transition {wanted} is not possible while {state}; state is now {self.state} "
                f"({type(error).__name__}: {str(error).splitlines()[0]})"
            )
            response.success = False
            return response


def spin(node: rclpy.node.Node, executor: MultiThreadedExecutor) -> None:
    """Spin until the context is shut down; a raising callback is logged and spinning goes on."""
    while node.context.ok():
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            return
        except Exception as error:
            node.get_logger().error(
                f"a callback failed: {type(error).__name__}: {error}", throttle_duration_sec=1.0
            )
            node.get_logger().debug(traceback.format_exc())


def run(create_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM and return the process's exit code.

    ``create_node`` makes a node that says how many threads it needs (``threads``) and ends its own
    (``stop(timeout)``). A wrong parameter in the arguments gives one line and exit code 2.
    """
    rclpy.init(args=args)
    try:
        node = create_node()
    except (ParameterException, RoseError) as error:
        rclpy.logging.get_logger("rose_ros").fatal(f"cannot start: {error}")
        try_shutdown()
        return 2
    except KeyboardInterrupt:
        try_shutdown()
        return 0
    executor = MultiThreadedExecutor(num_threads=node.threads)
    executor.add_node(node)
    try:
        spin(node, executor)
    finally:
        stopped = _tear_down(node, executor)
    if not stopped:
        # A thread is stuck inside native code; waiting for it would leave the process behind.
        os._exit(0)
    return 0


def _tear_down(node: Any, executor: MultiThreadedExecutor) -> bool:
    """Free everything; say whether all threads ended."""
    # The signal that ended spinning may come twice, from the terminal and from a launcher.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    stopped = node.stop(_STOP_SECONDS)
    executor.shutdown(timeout_sec=_STOP_SECONDS)
    if stopped:
        node.destroy_node()
    try_shutdown()
    return stopped

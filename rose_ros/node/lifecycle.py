"""A lifecycle node that survives failing and illegal transitions.

rclpy of ROS 2 Jazzy swallows what a transition callback raises, lets an illegal request for a
transition end the process, and then sends no reply to it. This module mends the three.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from rose_ros.errors import RoseError

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
        except CancelledError:
            self.get_logger().info(f"{name} is given up: the node stops")
            self.given_up = True
            return TransitionCallbackReturn.FAILURE
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
        #: what ``fail`` calls; whoever runs the node ends the process with a code that is not 0
        self.on_failure: Callable[[], None] = lambda: None
        #: whether the node was stopped in the middle of a transition
        self.given_up = False
        self._failed = False
        service = self._service_change_state
        service.callback = functools.partial(self._change_state_safely, service.callback)

    @property
    def state(self) -> str:
        """Label of the current lifecycle state, such as "inactive"."""
        return str(self._state_machine.current_state[1])

    def fail(self, reason: str) -> None:
        """Log why the node cannot go on, once, and ask for the end of the process."""
        if not self._failed:
            self._failed = True
            self.get_logger().fatal(f"{reason}; the process ends, to be started anew")
            self.on_failure()

    def start(self) -> bool:
        """Configure and activate; say whether the node is active. Failures are logged."""
        if self.state != "unconfigured":
            return self.state == "active"
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                if not self.given_up:
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

"""Run a node until it shall end, and end it in an order that leaves nothing half destroyed.

rclpy's own signal handlers shut the context down on a thread of their own while callbacks still
publish, and ``MultiThreadedExecutor.shutdown`` of Jazzy does not wait for callbacks that run: now
and then a process that ended this way crashed. Here a signal only says that it is time. The context
stays valid until the last callback has returned.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from rose_ros.errors import RoseError
from rose_ros.node.lifecycle import ResilientLifecycleNode

#: Exit codes beside 0: the node failed while running; it was given wrong parameters.
FAILED = 1
CANNOT_START = 2
#: s: how long a thread may keep the interpreter from others that wait for it. rclpy's executor is
#: in Python for most of a core where images come fast; with Python's own 5 ms the threads of a
#: model wait longer for it than they work.
_SWITCH_SECONDS = 1e-4
#: s: how long a node may take to let go of its threads when the process ends.
_STOP_SECONDS = 5.0
#: s: how long a signal that another thread got may go unnoticed.
_LOOK_SECONDS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Says that it is time to end, and with which exit code; the first word holds."""

    def __init__(self) -> None:
        self.code = 0
        self._event = threading.Event()

    def request(self, code: int = 0) -> None:
        """Ask for the end; from any thread or signal handler."""
        if not self._event.is_set():
            self.code = code
            self._event.set()

    def wait(self) -> None:
        """Wait for the request; to be called on the main thread."""
        # Not for ever at once: the system may deliver a signal to another thread, and Python calls
        # the handler only when the main thread runs again.
        while not self._event.wait(_LOOK_SECONDS):
            pass


class Interruption:
    """SIGINT and SIGTERM as a KeyboardInterrupt on the main thread, inside ``with`` blocks only.

    One that comes before waits for the block, so that nothing is left half made.
    """

    def __init__(self) -> None:
        """Take the signals from now on."""
        self._inside = False
        self._came = False
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def __enter__(self) -> None:
        self._inside = True
        if self._came:
            raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self._inside = False

    def _handle(self, *_: object) -> None:
        self._came = True
        if self._inside:
            self._inside = False
            raise KeyboardInterrupt


class Spinner:
    """An executor on a thread of its own; a raising callback is logged and spinning goes on."""

    def __init__(
        self, node: Node, executor: Executor, on_end: Callable[[], None] = lambda: None
    ) -> None:
        """Start; ``on_end`` is called when the context is shut down by somebody else."""
        self._node = node
        self._executor = executor
        self._on_end = on_end
        self._stopping = False
        executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name="rose_spin", daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Take no further callback; say whether those that ran ended within ``timeout`` seconds."""
        self._stopping = True
        # Work for the executor: being woken alone does not make spin_once return.
        self._executor.create_task(lambda: None)
        self._thread.join(timeout)
        # Callbacks of a MultiThreadedExecutor run in its pool, which has no public way to wait.
        pool = getattr(self._executor, "_executor", None)
        if pool is not None:
            waiting = threading.Thread(target=pool.shutdown, daemon=True)
            waiting.start()
            waiting.join(timeout)
            if waiting.is_alive():
                return False
        if self._thread.is_alive():
            return False
        return self._executor.shutdown(timeout_sec=timeout)

    def _spin(self) -> None:
        while not self._stopping and self._node.context.ok():
            try:
                self._executor.spin_once()
            except ExternalShutdownException:
                break
            except Exception as error:
                self._node.get_logger().error(
                    f"a callback failed: {type(error).__name__}: {error}",
                    throttle_duration_sec=1.0,
                )
                self._node.get_logger().debug(traceback.format_exc())
        if not self._stopping:
            self._on_end()


def run(create_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or its failure and return the process's exit code.

    ``create_node`` makes a node that says how many threads it needs (``threads``) and ends its own
    (``stop(timeout)``). A wrong parameter in the arguments gives one line and exit code 2; a node
    that gives up (``ResilientLifecycleNode.fail``) exit code 1.
    """
    ending = Ending()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: ending.request())  # however often it comes
    sys.setswitchinterval(_SWITCH_SECONDS)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = create_node()
    except (ParameterException, RoseError) as error:
        rclpy.logging.get_logger("rose_ros").fatal(f"cannot start: {error}")
        try_shutdown()
        return CANNOT_START
    if isinstance(node, ResilientLifecycleNode):
        node.on_failure = lambda: ending.request(FAILED)
    executor = MultiThreadedExecutor(num_threads=node.threads)
    spinner = Spinner(node, executor, ending.request)
    ending.wait()
    # First the node: its own threads are what callbacks may be waiting for.
    if not (node.stop(_STOP_SECONDS) and spinner.stop(_STOP_SECONDS)):
        # A thread is stuck inside native code; waiting for it would leave the process behind.
        os._exit(ending.code)
    node.destroy_node()
    try_shutdown()
    return ending.code

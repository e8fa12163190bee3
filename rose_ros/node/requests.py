"""Answer refine, find and clear_refinements, always and within a bounded time."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol, TypeVar

from std_srvs.srv import Trigger

from rose_ros.errors import RequestError
from rose_ros.node import conversions
from rose_ros.node.audit import MAX_TEXT_BYTES, AuditTrail, one_line
from rose_ros.node.diagnostics import Statistics
from rose_ros.node.pipeline import Pipeline
from rose_ros.node.ratelimit import RateLimit
from rose_ros.node.worker import BusyError, Worker
from rose_ros.perception.segments import FindReply, RefineReply, Status
from rose_ros.srv import Find, Refine

R = TypeVar("R", RefineReply, FindReply)

#: s: how much longer than its timeout a request waits when its result is being stored.
_GRACE_SECONDS = 2.0


class Logger(Protocol):
    """What is used of a node's logger."""

    def error(self, message: str) -> Any:
        """Log an error."""

    def debug(self, message: str) -> Any:
        """Log something for debugging."""


class _Ticket:
    """Settles who was first: the worker that is about to change something, or the timeout."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed = False
        self._given_up = False

    def claim(self) -> bool:
        """Say whether the result is still wanted; if so it will be waited for."""
        with self._lock:
            self._claimed = not self._given_up
            return self._claimed

    def give_up(self) -> bool:
        """Say whether nothing was claimed; if so nothing will be."""
        with self._lock:
            self._given_up = not self._claimed
            return self._given_up


def _wait(future: Future[R], ticket: _Ticket, seconds: float) -> R:
    """Wait for a result; raise ``TimeoutError`` only when nothing was or will be changed."""
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        future.cancel()
        if ticket.give_up():
            raise
    # The change is being made at this moment; that takes no more model.
    return future.result(_GRACE_SECONDS)


class RequestDesk:
    """The service callbacks of the node; they block, so they need threads of their own.

    ``open`` says whether requests are served; while it is False they are answered NOT_ACTIVE.
    ``default_timeout`` and ``max_timeout`` are seconds. ``refine_rate`` limits refinements.
    """

    def __init__(
        self,
        worker: Worker[Any],
        pipeline: Pipeline,
        statistics: Statistics,
        audit: AuditTrail,
        logger: Logger,
    ) -> None:
        """Keep who does the work, who counts it and who writes it down."""
        self.open = False
        self.default_timeout = 5.0
        self.max_timeout = 15.0
        self.refine_rate = RateLimit()
        self._audit = audit
        self._worker = worker
        self._pipeline = pipeline
        self._statistics = statistics
        self._logger = logger

    def refine(self, request: Refine.Request, response: Refine.Response) -> Refine.Response:
        """Correct what was published."""
        started = time.monotonic()
        allowed = self.refine_rate.take()
        reply = self._refine(request) if allowed else self._too_fast()
        elapsed = time.monotonic() - started
        self._statistics.request("refine", reply.status, elapsed)
        if allowed:
            self._audit.refined(request, reply, elapsed)
        frame_id = self._pipeline.frame_id(reply.frame.camera) if reply.frame else ""
        return conversions.fill_refine_response(response, reply, frame_id, elapsed)

    def _refine(self, request: Refine.Request) -> RefineReply:
        return self._ask(
            RefineReply,
            request.timeout,
            lambda ticket: self._pipeline.session.refine(
                conversions.refine_request(request), ticket.claim
            ),
        )

    def _too_fast(self) -> RefineReply:
        return RefineReply(
            Status.BUSY,
            f"more than {self.refine_rate.rate:g} refinements per second (max_refine_rate); "
            "ask again later",
        )

    def find(self, request: Find.Request, response: Find.Response) -> Find.Response:
        """Look for what a description fits."""
        started = time.monotonic()
        reply = self._ask(
            FindReply,
            request.timeout,
            lambda _: self._pipeline.session.find(conversions.find_request(request)),
        )
        self._statistics.request("find", reply.status, time.monotonic() - started)
        frame_id = self._pipeline.frame_id(reply.frame.camera) if reply.frame else ""
        return conversions.fill_find_response(response, reply, frame_id)

    def clear(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Undo all refinements."""
        started = time.monotonic()
        reply = self._ask(RefineReply, 0.0, self._clear)
        self._audit.cleared(reply, time.monotonic() - started)
        response.success = reply.status is Status.OK
        response.message = reply.message
        return response

    def _clear(self, ticket: _Ticket) -> RefineReply:
        if not ticket.claim():
            return RefineReply(Status.TIMEOUT, "no longer wanted")
        return RefineReply(Status.OK, f"{self._pipeline.session.clear_refinements()} cleared")

    def _ask(
        self, reply: Callable[[Status, str], R], timeout: float, work: Callable[[_Ticket], R]
    ) -> R:
        """Let the worker do ``work`` and wait for it; whatever happens, there is a reply."""
        if not self.open:
            return reply(Status.NOT_ACTIVE, "the node is not active; activate it first")
        ticket = _Ticket()
        try:
            seconds = self._seconds(timeout)
            future = self._worker.request(lambda: work(ticket))
        except RequestError as error:
            return reply(Status.INVALID_REQUEST, str(error))
        except BusyError as error:
            return reply(Status.BUSY, str(error))
        try:
            return _wait(future, ticket, seconds)
        except FutureTimeoutError:
            return reply(Status.TIMEOUT, f"not done within {seconds:g} s; nothing was changed")
        except CancelledError:
            return reply(Status.NOT_ACTIVE, "the node stops")
        except RequestError as error:
            return reply(Status.INVALID_REQUEST, str(error))
        except Exception as error:
            reason = one_line(f"{type(error).__name__}: {error}", MAX_TEXT_BYTES)
            self._logger.error(f"a request failed: {reason}")
            self._logger.debug(traceback.format_exc())
            return reply(Status.INTERNAL_ERROR, reason)

    def _seconds(self, timeout: float) -> float:
        if not math.isfinite(timeout) or timeout < 0:
            raise RequestError(
                f"timeout is {timeout}; give seconds up to {self.max_timeout:g}, or 0 for "
                f"{self.default_timeout:g}"
            )
        return min(timeout or self.default_timeout, self.max_timeout)

"""The perception node: camera frames in, named and tracked segments out, corrections taken."""

from __future__ import annotations

import math
import time
import traceback
from functools import partial
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from rose_ros.errors import ImageError
from rose_ros.msg import SegmentArray
from rose_ros.node import conversions, settings
from rose_ros.node.audit import MAX_TEXT_BYTES, AuditTrail, one_line
from rose_ros.node.diagnostics import NodeState, Statistics
from rose_ros.node.images import array_to_image
from rose_ros.node.inputs import CameraInputs, Packet
from rose_ros.node.lifecycle import ResilientLifecycleNode, transition
from rose_ros.node.pipeline import Pipeline, ProcessedFrame, RuntimeFactory
from rose_ros.node.reporting import DiagnosticsReporter
from rose_ros.node.requests import RequestDesk
from rose_ros.node.running import run
from rose_ros.node.spatial import SpatialOutputs
from rose_ros.node.throttle import Throttle
from rose_ros.node.timeline import JUMP_NS
from rose_ros.node.timers import steady_timer
from rose_ros.node.watchdog import Watchdog
from rose_ros.node.worker import CameraFrame, Worker
from rose_ros.perception.masks import instance_image
from rose_ros.perception.overlay import draw_overlay
from rose_ros.runtime import create_runtime
from rose_ros.srv import Find, Refine

_OUTPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
#: With the usual depth of 10 the eleventh request that comes at once is lost without a reply.
_REQUEST_QOS = QoSProfile(depth=256, reliability=ReliabilityPolicy.RELIABLE)
_OUTPUTS = (("segments", SegmentArray), ("overlay", Image), ("instances", Image))
_WARNING_SECONDS = 5.0


class PerceptionNode(ResilientLifecycleNode):
    """Wire topics, services and parameters to a perception session on one worker thread.

    configure loads and warms up the model, activate subscribes, deactivate stops and keeps the
    model, cleanup frees it.
    """

    def __init__(self, runtime_factory: RuntimeFactory = create_runtime, **kwargs: Any) -> None:
        super().__init__("perception", **kwargs)
        self._settings = settings.declare(self)
        self._statistics = Statistics()
        self._throttle = Throttle(_WARNING_SECONDS)
        self._problem = ""
        #: by camera, then by name
        self._outputs: dict[str, dict[str, LifecyclePublisher]] = {}
        self._pipeline = Pipeline(runtime_factory)
        waiting = self._settings.max_waiting_requests
        self._worker: Worker[Packet] = Worker(self._process, max_waiting=waiting)
        self._requests = RequestDesk(
            self._worker, self._pipeline, self._statistics, AuditTrail(self), self.get_logger()
        )
        self._watchdog = Watchdog(self._worker, self.fail)
        #: images, transitions, diagnostics, and each waiting, one running and one refused request
        self.threads = 3 + waiting + 2
        self._inputs = CameraInputs(self, self._statistics, self._worker.offer)
        self._spatial = SpatialOutputs(self)
        group = ReentrantCallbackGroup()
        for kind, name, answer in (
            (Refine, "refine", self._requests.refine),
            (Find, "find", self._requests.find),
            (Trigger, "clear_refinements", self._requests.clear),
        ):
            self.create_service(kind, name, answer, qos_profile=_REQUEST_QOS, callback_group=group)
        self.add_on_set_parameters_callback(self._review_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._clock_jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-JUMP_NS)),
            post_callback=self._on_clock_jump,
        )
        self._reporter = DiagnosticsReporter(self, self._statistics, self._describe)
        if self._settings.autostart:
            self._autostart = steady_timer(self, 0.0, self._start_once)

    def stop(self, timeout: float) -> bool:
        """Stop the worker; say whether it ended within ``timeout`` seconds."""
        self._requests.open = False
        self._watchdog.stop()
        return self._worker.stop(timeout)

    # Lifecycle

    def _start_once(self) -> None:
        self._autostart.cancel()
        if not self.start():
            self._problem = f"it could not start and is {self.state}; the log says why"

    @transition
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters, load the model and warm it up."""
        wanted = settings.read(self)
        wanted.check()
        for camera in wanted.cameras:
            self.resolve_topic_name(camera.image_topic)
        load = partial(
            self._pipeline.load, wanted.model, wanted.runtime, wanted.device, wanted.threads
        )
        with self._watchdog.paused():
            ready = self._worker.submit(load).result()
        self.get_logger().info(f"configured: {ready}")
        self._settings = wanted
        for camera in wanted.cameras:
            self._outputs[camera.name] = {
                name: self.create_lifecycle_publisher(
                    kind, wanted.output(camera.name, name), _OUTPUT_QOS
                )
                for name, kind in _OUTPUTS
            }
        self._spatial.create(wanted)
        return super().on_configure(state)

    @transition
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin a session and subscribe to the cameras."""
        wanted = self._settings = settings.read(self)
        self._statistics.start(wanted.cameras)
        self._worker.submit(partial(self._pipeline.open, wanted.options)).result()
        self._worker.open(wanted.names)
        self._apply_limits(wanted)
        result = super().on_activate(state)
        self._requests.open = True
        self._spatial.open(wanted)
        self._inputs.open(wanted)
        topics = (self.resolve_topic_name(camera.image_topic) for camera in wanted.cameras)
        self.get_logger().info(f"active: {', '.join(topics)}")
        return result

    @transition
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, finish what is being worked on and end the session; keep the model."""
        self._end()
        return super().on_deactivate(state)

    @transition
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        result = super().on_cleanup(state)
        self._free()
        return result

    @transition
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from whatever state."""
        result = super().on_shutdown(state)
        self._free()
        return result

    @transition
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything; the node is unconfigured again."""
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def _end(self) -> None:
        self._requests.open = False
        self._inputs.close()
        self._worker.close()
        self._worker.submit(self._pipeline.end).result()
        self._spatial.close()

    def _free(self) -> None:
        self._end()
        self._worker.submit(self._pipeline.close).result()
        for outputs in self._outputs.values():
            for publisher in outputs.values():
                self.destroy_lifecycle_publisher(publisher)
        self._outputs = {}
        self._spatial.destroy()

    # Frames

    def _process(self, frame: CameraFrame[Packet]) -> None:
        """Segment one frame and publish the result; on the worker's thread."""
        max_age = self._settings.max_age
        try:
            message = frame.message.open()
            if max_age and self._age(message.header.stamp) > max_age:
                self._statistics.stale(frame.camera)
                return
            self._spatial.expect(frame.camera, message.header)
            opened = CameraFrame(frame.camera, message, frame.received, frame.skipped)
            self._publish(self._pipeline.process(opened, self._worker.serve_requests))
            self._watchdog.succeeded()
        except ImageError as error:
            self._inputs.drop(frame.camera, error)
        except Exception as error:
            if not self.context.ok():
                return
            reason = one_line(f"{type(error).__name__}: {error}", MAX_TEXT_BYTES)
            self._statistics.failed(frame.camera, reason)
            self._watchdog.failed()
            if self._throttle.allows(frame.camera):
                self.get_logger().error(f"camera {frame.camera}: a frame failed: {reason}")
            self.get_logger().debug(traceback.format_exc())

    def _publish(self, processed: ProcessedFrame) -> None:
        result = processed.result
        if processed.clock_jumped:
            self._count_jump(f"camera {result.camera}: stamps", result.camera)
        outputs = self._outputs[result.camera]
        age = self._age(processed.header.stamp)
        message = conversions.segment_array(
            result,
            processed.header,
            model=processed.model,
            session_id=processed.session_id,
            frames_skipped=processed.frames_skipped,
            age=age,
            queue=processed.queue,
        )
        outputs["segments"].publish(message)
        self._statistics.processed(
            result.camera,
            age=age,
            inference=result.timing.inference,
            encoding=processed.encoding,
            resolution=f"{result.width}x{result.height}",
        )
        if outputs["overlay"].get_subscription_count():
            drawn = draw_overlay(processed.image, result)
            outputs["overlay"].publish(array_to_image(drawn, processed.header))
        if outputs["instances"].get_subscription_count():
            ids = instance_image(result.segments, result.height, result.width)
            outputs["instances"].publish(array_to_image(ids, processed.header))
        self._spatial.publish(processed, self._settings)

    def _age(self, stamp: Any) -> float:
        """Seconds since a stamp on the node's clock; NaN where one of the two does not tell."""
        stamp_ns = conversions.time_to_ns(stamp)
        now_ns = self.get_clock().now().nanoseconds
        return (now_ns - stamp_ns) * 1e-9 if stamp_ns and now_ns else math.nan

    def _on_clock_jump(self, jump: TimeJump) -> None:
        """Start identities anew when the node's clock went back; what is called must be quick."""
        if self.state == "active":
            self._worker.submit(partial(self._restart, time.monotonic()))

    def _restart(self, moment: float) -> None:
        if self._pipeline.restart("", moment):
            self._count_jump("the clock")

    def _count_jump(self, what: str, camera: str = "") -> None:
        self._statistics.clock_jumped(camera)
        if self._throttle.allows(what):
            self.get_logger().warning(f"{what} went back; identities start anew")

    # Parameters and diagnostics

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set all or none; unknown names are refused by name, which rclpy's refusal leaves out."""
        reason = settings.undeclared(self, (parameter.name for parameter in parameter_list))
        if reason is not None:
            return SetParametersResult(successful=False, reason=reason)
        return super().set_parameters_atomically(parameter_list)

    def _review_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return settings.review(changes, configured=self.state != "unconfigured")

    def _apply_parameters(self, changes: list[Parameter]) -> None:
        """Let changed values hold from the next frame on, all of them at once."""
        if any(parameter.name == "cameras" for parameter in changes):
            settings.declare_cameras(self)
        if self.state == "active":
            self._worker.submit(partial(self._apply, settings.read(self)))

    def _apply(self, wanted: settings.Settings) -> None:
        """Use other values; on the worker's thread, between two frames."""
        self._settings = wanted
        self._pipeline.set_options(wanted.options)
        self._apply_limits(wanted)

    def _apply_limits(self, wanted: settings.Settings) -> None:
        self._requests.default_timeout = wanted.refine_timeout_default
        self._requests.max_timeout = wanted.refine_timeout_max
        self._requests.refine_rate.rate = wanted.max_refine_rate
        self._watchdog.max_seconds = wanted.watchdog_seconds
        self._watchdog.max_failures = wanted.max_failures
        self._worker.set_max_rates({camera.name: camera.max_rate for camera in wanted.cameras})
        self._statistics.limit(wanted.cameras)

    def _describe(self, clock: str) -> NodeState:
        return NodeState(
            name=self.get_fully_qualified_name(),
            state=self.state,
            clock=clock,
            limits=settings.read(self).limits,
            model={"model": self._settings.model, **self._pipeline.description},
            alive=self._worker.is_alive,
            busy_seconds=self._worker.busy_seconds,
            problem=self._problem,
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(PerceptionNode, args)


if __name__ == "__main__":
    raise SystemExit(main())

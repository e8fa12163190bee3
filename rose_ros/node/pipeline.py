"""The model and what it remembers: everything that only the worker's thread may touch."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from rose_ros.errors import RequestError
from rose_ros.node.conversions import time_to_ns
from rose_ros.node.device import describe_gpu, describe_runtime
from rose_ros.node.images import compressed_to_rgb, image_to_rgb
from rose_ros.node.inputs import AnyImage
from rose_ros.node.timeline import Timeline
from rose_ros.node.worker import CameraFrame
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime.base import Runtime
from rose_ros.runtime.checked import CheckedRuntime

#: Called as ``rose_ros.runtime.create_runtime``.
RuntimeFactory = Callable[..., Runtime]

#: s: what goes back within this time after something else did, went back together with it.
_SAME_JUMP_SECONDS = 2.0
#: s: how often the device is looked at.
_DEVICE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProcessedFrame:
    """One segmented frame with what is needed to publish it.

    image: uint8 (height, width, 3), RGB, as ``encoding`` came. header: that of the image. queue:
    seconds that the frame waited. clock_jumped: identities started anew because the stamps went
    back.
    """

    result: SegmentedFrame
    image: NDArray[np.uint8]
    encoding: str
    header: Header
    model: str
    session_id: int
    frames_skipped: int
    queue: float
    clock_jumped: bool


class Pipeline:
    """A runtime, a session on it, and the way of a message through them.

    Every method runs on the worker's thread.
    """

    def __init__(self, create_runtime: RuntimeFactory) -> None:
        """Keep how a runtime is made."""
        self._create_runtime = create_runtime
        self._runtime: Runtime | None = None
        self._session: PerceptionSession | None = None
        self._session_id = 0
        self._options = SessionOptions()
        self._headers: dict[str, Header] = {}
        self._timelines: dict[str, Timeline] = {}
        self._skipped: dict[str, int] = {}
        self._skipped_before: dict[str, int] = {}
        self._restarted = -math.inf
        self._restarted_by = ""
        self._device_seen = -math.inf
        #: what is known of the model and its device, for diagnostics; replaced, never changed
        self.description: Mapping[str, str] = {}

    def load(self, model: str, runtime: str, device: str, threads: int = 0) -> str:
        """Load the model, warm it up and say what it runs on. Raises ``RoseError``."""
        loaded = self._create_runtime(model, runtime=runtime, device=device, threads=threads)
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        checked = CheckedRuntime(loaded)
        Perceiver(checked).segment(noise)
        self._runtime = checked
        self.description = describe_runtime(model, loaded)
        self._look_at_device()
        return f"{loaded.model_name} with {loaded.kind} on {loaded.device}"

    def open(self, options: SessionOptions) -> None:
        """Begin to work: a first session, and frames that are counted from 0."""
        self._skipped = {}
        self._restarted = -math.inf
        self.begin(options)

    def begin(self, options: SessionOptions) -> None:
        """Start a session: new identities, no corrections."""
        if self._runtime is None:
            raise RequestError("no model is loaded; configure the node first")
        self._options = options
        # 48 bits: exact also where numbers are floating point, as in JSON.
        self._session_id = secrets.randbits(48) + 1
        self._session = PerceptionSession(self._runtime, options, session_id=self._session_id)
        self._headers = {}
        self._timelines = {}
        self._skipped_before = dict(self._skipped)

    def restart(self, source: str, moment: float) -> bool:
        """Start a session anew because time went back; False when another source just showed it.

        source: a camera, or "" for the node's clock. moment: seconds on the monotonic clock.
        """
        if source != self._restarted_by and moment - self._restarted < _SAME_JUMP_SECONDS:
            return False
        self.begin(self._options)
        self._restarted, self._restarted_by = time.monotonic(), source
        return True

    def end(self) -> None:
        """Forget the session; the model stays."""
        self._session = None

    def close(self) -> None:
        """Free the model."""
        self.end()
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
            self.description = {}

    def set_options(self, options: SessionOptions) -> None:
        """Use other thresholds from the next frame on."""
        self._options = options
        if self._session is not None:
            self._session.options = options

    @property
    def session(self) -> PerceptionSession:
        """The session; raises ``RequestError`` while there is none."""
        if self._session is None:
            raise RequestError("the node is not active")
        return self._session

    def frame_id(self, camera: str) -> str:
        """Return the frame_id that came with the last frame of a camera."""
        header = self._headers.get(camera)
        return str(header.frame_id) if header is not None else ""

    def process(
        self, frame: CameraFrame[AnyImage], let_in: Callable[[], None] = lambda: None
    ) -> ProcessedFrame:
        """Segment one frame. Raises ``ImageError`` when the message cannot be decoded.

        ``let_in`` is called between the steps and may serve requests.
        """
        started = time.monotonic()
        header = frame.message.header
        compressed = isinstance(frame.message, CompressedImage)
        image = (compressed_to_rgb if compressed else image_to_rgb)(frame.message)
        converted = time.monotonic()
        stamp_ns = time_to_ns(header.stamp)
        self._skipped[frame.camera] = frame.skipped
        jumped = self._follow_jump(frame, stamp_ns)
        self._headers[frame.camera] = header
        timeline = self._timelines.setdefault(frame.camera, Timeline())
        result = self.session.process(
            image,
            camera=frame.camera,
            stamp_ns=stamp_ns,
            time_ns=timeline.advance(stamp_ns, frame.received),
            let_in=let_in,
        )
        self._look_at_device()
        preprocess = result.timing.preprocess + converted - started
        return ProcessedFrame(
            result=replace(result, timing=replace(result.timing, preprocess=preprocess)),
            image=image,
            encoding=frame.message.format if compressed else frame.message.encoding,
            header=header,
            model=self.session.model_name,
            session_id=self._session_id,
            frames_skipped=frame.skipped - self._skipped_before.get(frame.camera, 0),
            queue=started - frame.received + result.timing.waiting,
            clock_jumped=jumped,
        )

    def _follow_jump(self, frame: CameraFrame[AnyImage], stamp_ns: int) -> bool:
        """Start anew when the stamps went back; say whether this is the first to show it."""
        timeline = self._timelines.get(frame.camera)
        if timeline is None or not timeline.went_back(stamp_ns):
            return False
        if self.restart(frame.camera, frame.received):
            return True
        # A late frame of before the jump came after it; only this camera mixed the two.
        self.session.reset(frame.camera)
        del self._timelines[frame.camera]
        return False

    def _look_at_device(self) -> None:
        now = time.monotonic()
        if self._runtime is not None and now - self._device_seen > _DEVICE_SECONDS:
            self._device_seen = now
            self.description = {**self.description, **describe_gpu(str(self._runtime.device))}

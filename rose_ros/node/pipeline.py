"""The model and what it remembers: everything that only the worker's thread may touch."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from rose_ros.errors import RequestError
from rose_ros.node.conversions import time_to_ns
from rose_ros.node.images import compressed_to_rgb, image_to_rgb
from rose_ros.node.worker import CameraFrame
from rose_ros.perception.perceiver import Perceiver
from rose_ros.perception.segments import SegmentedFrame
from rose_ros.perception.session import PerceptionSession, SessionOptions
from rose_ros.runtime.base import Runtime

AnyImage: TypeAlias = Image | CompressedImage
#: (model, runtime, device) -> Runtime
RuntimeFactory = Callable[[str, str, str], Runtime]

#: ns: a stamp that goes back further means that the clock or a recording was set back.
_CLOCK_JUMP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ProcessedFrame:
    """One segmented frame with what is needed to publish it.

    image: uint8 (height, width, 3), RGB. header: that of the image. queue: seconds that the frame
    waited. clock_jumped: identities started anew because the stamps went back.
    """

    result: SegmentedFrame
    image: NDArray[np.uint8]
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

    def load(self, model: str, runtime: str, device: str) -> str:
        """Load the model, warm it up and say what it runs on. Raises ``RoseError``."""
        loaded = self._create_runtime(model, runtime, device)
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        Perceiver(loaded).segment(noise)
        self._runtime = loaded
        return f"{loaded.model_name} with {loaded.kind} on {loaded.device}"

    def begin(self, options: SessionOptions) -> None:
        """Start a session: new identities, no corrections."""
        if self._runtime is None:
            raise RequestError("no model is loaded; configure the node first")
        self._options = options
        # 48 bits: exact also where numbers are floating point, as in JSON.
        self._session_id = secrets.randbits(48) + 1
        self._session = PerceptionSession(self._runtime, options, session_id=self._session_id)
        self._headers = {}

    def end(self) -> None:
        """Forget the session; the model stays."""
        self._session = None

    def close(self) -> None:
        """Free the model."""
        self.end()
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None

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

    def process(self, frame: CameraFrame[AnyImage]) -> ProcessedFrame:
        """Segment one frame. Raises ``ImageError`` when the message cannot be decoded."""
        started = time.monotonic()
        header = frame.message.header
        compressed = isinstance(frame.message, CompressedImage)
        image = (compressed_to_rgb if compressed else image_to_rgb)(frame.message)
        converted = time.monotonic()
        jumped = self._clock_jumped(frame.camera, header)
        if jumped:
            self.begin(self._options)
        self._headers[frame.camera] = header
        result = self.session.process(image, camera=frame.camera, stamp_ns=time_to_ns(header.stamp))
        preprocess = result.timing.preprocess + converted - started
        return ProcessedFrame(
            result=replace(result, timing=replace(result.timing, preprocess=preprocess)),
            image=image,
            header=header,
            model=self.session.model_name,
            session_id=self._session_id,
            frames_skipped=frame.skipped,
            queue=started - frame.received,
            clock_jumped=jumped,
        )

    def _clock_jumped(self, camera: str, header: Header) -> bool:
        last = self._headers.get(camera)
        if last is None:
            return False
        stamp_ns = time_to_ns(header.stamp)
        # A stamp of zero means that the camera has no clock, not that it went back.
        return stamp_ns > 0 and time_to_ns(last.stamp) - stamp_ns > _CLOCK_JUMP_NS

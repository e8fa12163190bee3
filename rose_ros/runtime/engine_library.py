"""TensorRT itself: found, its messages kept, its results checked. Imported only when asked for.

The library returns False or None where something failed and says why in its log alone, so every
result is checked here or where it is made, and errors carry the last lines of the log.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rose_ros.errors import EngineError, RuntimeUnavailableError

if TYPE_CHECKING:
    import tensorrt as trt

#: The oldest release with everything that is used here; JetPack 6.1 has it.
OLDEST = (10, 3)
_LINES = 20

_log = logging.getLogger(__name__)

#: (phase, steps done, steps in all) -> whether to go on
Progress = Callable[[str, int, int], bool]


class Library:
    """The module tensorrt with a log that is kept."""

    def __init__(self) -> None:
        """Import TensorRT; raises ``RuntimeUnavailableError`` that says what is missing."""
        try:
            import tensorrt as trt
        except (ImportError, OSError) as error:
            raise RuntimeUnavailableError(
                f"the tensorrt runtime needs TensorRT's libraries and Python module: {error}; on a "
                "Jetson they come with JetPack, elsewhere: pip install tensorrt"
            ) from error
        self.trt = trt
        self.version: str = trt.__version__
        numbers = tuple(int(part) for part in self.version.split(".")[:2])
        if numbers < OLDEST:
            raise RuntimeUnavailableError(
                f"TensorRT {self.version} is installed; {OLDEST[0]}.{OLDEST[1]} or newer is needed"
            )
        self.major = numbers[0]
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.log = self._make_log()
        # The parser imports some operators through plugins, which engines then contain.
        if not trt.init_libnvinfer_plugins(self.log, ""):
            raise RuntimeUnavailableError(self.reason("TensorRT's plugins cannot be loaded"))

    def make_builder(self) -> trt.Builder:
        """Create a builder; raises ``RuntimeUnavailableError`` where there is no GPU."""
        api = self.trt
        return self._create(lambda: api.Builder(self.log))

    def make_runtime(self) -> trt.Runtime:
        """Create what loads engines; raises ``RuntimeUnavailableError`` where there is no GPU."""
        api = self.trt
        return self._create(lambda: api.Runtime(self.log))

    def make_monitor(self, progress: Progress) -> trt.IProgressMonitor:
        """Create what the builder tells how far it is; it may be told to stop."""
        api = self.trt
        monitor = api.IProgressMonitor

        class Monitor(monitor):  # type: ignore[valid-type,misc]
            """Sums the steps of the phases, which are nested and known only when they start."""

            def __init__(self) -> None:
                monitor.__init__(self)
                self._lock = threading.Lock()
                self._steps: dict[str, int] = {}

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                with self._lock:
                    self._steps[phase_name] = num_steps
                progress(phase_name, 0, num_steps)

            def phase_finish(self, phase_name: str) -> None:
                with self._lock:
                    steps = self._steps.pop(phase_name, 0)
                progress(phase_name, steps, steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return progress(phase_name, step + 1, self._steps.get(phase_name, step + 1))

        return Monitor()

    def reason(self, what: str) -> str:
        """Say what failed, with what TensorRT said about it."""
        said = "; ".join(self.lines)
        return f"{what}: {said}" if said else f"{what}; TensorRT gave no reason"

    def require(self, result: Any, what: str) -> Any:
        """Return a result that is neither None nor False; else raise ``EngineError``."""
        if result is None or result is False:
            raise EngineError(self.reason(what))
        return result

    def _create(self, make: Callable[[], Any]) -> Any:
        self.lines.clear()
        try:
            return make()
        except TypeError as error:  # the bindings turn a null pointer into this
            raise RuntimeUnavailableError(
                self.reason("TensorRT finds no NVIDIA GPU or driver that it can use")
            ) from error

    def _make_log(self) -> trt.ILogger:
        api, lines = self.trt, self.lines
        logger = api.ILogger
        levels = {
            api.ILogger.INTERNAL_ERROR: logging.ERROR,
            api.ILogger.ERROR: logging.ERROR,
            api.ILogger.WARNING: logging.WARNING,
        }

        class Log(logger):  # type: ignore[valid-type,misc]
            """Keeps the last errors; called from the builder's threads, too."""

            def __init__(self) -> None:
                logger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                level = levels.get(severity, logging.DEBUG)
                if level == logging.ERROR:
                    lines.append(msg.strip())
                _log.log(min(level, logging.WARNING), "TensorRT: %s", msg.strip())

        return Log()

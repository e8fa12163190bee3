"""The perception node with a stopwatch: ``python -m benchmarks.timed_node FILE --ros-args ...``.

It is the node that robots run; each frame's steps are written to FILE when it ends.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rclpy.lifecycle import LifecyclePublisher

from benchmarks.watch import PERCEPTION, Frame, Place, Stopwatch
from rose_ros.node import conversions, pipeline
from rose_ros.node.inputs import Packet
from rose_ros.node.perception_node import PerceptionNode
from rose_ros.node.running import run
from rose_ros.runtime import create_runtime
from rose_ros.runtime.base import Runtime

PLACES: tuple[Place, ...] = (
    *PERCEPTION,
    (Packet, "open", "decode"),
    (pipeline, "image_to_rgb", "decode"),
    (pipeline, "compressed_to_rgb", "decode"),
    (conversions, "segment_array", "message"),
    (LifecyclePublisher, "publish", "publish"),
)


class TimedNode(PerceptionNode):
    """Watches the work on each frame, from when it was received."""

    def __init__(self, watch: Stopwatch, file: Path) -> None:
        self._watch, self._file = watch, file

        def open_watched(model: str, **wanted: Any) -> Runtime:
            return watch.watch(create_runtime(model, **wanted))

        super().__init__(open_watched)

    def stop(self, timeout: float) -> bool:
        """Stop as the node does, then write what the frames took."""
        stopped = super().stop(timeout)
        frames = [asdict(frame) for frame in self._watch.frames]
        self._file.write_text(json.dumps(frames), encoding="utf-8")
        return stopped

    def _process(self, frame: Any) -> None:
        with self._watch.frame(frame.received):
            super()._process(frame)

    def _publish(self, processed: Any) -> None:
        self._watch.size = processed.image.shape[:2]
        super()._publish(processed)


def main(arguments: list[str]) -> int:
    """Run the node until it is told to end; ``arguments`` are the file and what ROS takes."""
    watch = Stopwatch()
    with watch.installed(PLACES):
        return run(lambda: TimedNode(watch, Path(arguments[0])))


def read_frames(file: Path) -> list[Frame]:
    """Read what a timed node wrote."""
    return [Frame(**values) for values in json.loads(file.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

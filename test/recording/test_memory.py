"""Two minutes at 30 Hz are segmented in constant memory."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from rose_ros.recording.segmenting import Job, segment_recording
from rose_ros.runtime.base import Runtime

_SPEC = importlib.util.spec_from_file_location(
    "recording_fixtures", Path(__file__).with_name("conftest.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
recordings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(recordings)

RATE, SECONDS = 30, 120
#: MB that may be held more than after a quarter of the frames, and while the result is written.
MAX_GROWTH = 20.0
#: s: between two looks at the memory.
LOOK = 0.05

pytestmark = pytest.mark.timeout(1200)


def memory_mb() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def watched() -> Iterator[list[tuple[int, float]]]:
    """Note (frames done, MB) all the time; whoever watches sets the frames in the last entry."""
    seen: list[tuple[int, float]] = [(0, memory_mb())]
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            seen.append((seen[-1][0], memory_mb()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def record(path: Path, paint: Callable[..., Any]) -> None:
    """Write a recording of two things that move, 320x240, without ever holding it in memory."""
    with Writer(path, version=9) as writer:
        kind = "sensor_msgs/msg/CompressedImage"
        images = writer.add_connection(recordings.TOPIC, kind, typestore=recordings.STORE)
        for i in range(RATE * SECONDS):
            stamp_ns = recordings.FIRST + i * 10**9 // RATE
            way = abs(i % 240 - 120)
            picture = paint(("red", 20 + way, 30, 60, 70), ("blue", 200, 40 + way, 50, 50))
            data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
            message = recordings.compressed_message(data, stamp_ns)
            writer.write(images, stamp_ns, recordings.STORE.serialize_cdr(message, kind))


def test_two_minutes_at_30_hz(paint: Callable[..., Any], runtime: Runtime, tmp_path: Path) -> None:
    source = tmp_path / "input"
    record(source, paint)
    frames = RATE * SECONDS
    job = Job(
        source=source,
        topic=recordings.TOPIC,
        out=tmp_path / "out",
        segments_topic="/rose/segments",
        camera="camera",
        model="scripted",
        coco=tmp_path / "coco.json",
    )
    with watched() as seen:
        summary = segment_recording(
            job, lambda: runtime, lambda done, _: seen.append((done, memory_mb()))
        )
    assert (summary.messages, summary.arrays) == (frames, frames)
    assert summary.segments == 2 * frames
    quarter = np.median([mb for done, mb in seen if frames // 4 <= done < frames // 2])
    working = max(mb for done, mb in seen if frames // 2 <= done < frames)
    writing = max(mb for done, mb in seen if done == frames)
    print(f"\n{quarter:.1f} MB, at the most {working:.1f} at work and {writing:.1f} at the end")
    assert working - quarter < MAX_GROWTH
    assert writing - quarter < MAX_GROWTH

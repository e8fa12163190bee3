"""Segment a recording: frames into a journal first, then the whole result at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer

from rose_ros import __version__
from rose_ros.errors import ImageError, RecordingError
from rose_ros.perception.session import PerceptionSession
from rose_ros.recording.coco import NumberedArray, write_coco
from rose_ros.recording.journal import Entry, Journal
from rose_ros.recording.messages import SEGMENT_ARRAY, read_array, typestore, write_array
from rose_ros.recording.reader import ImageTopic, RawFrame, open_topic, storage_of
from rose_ros.runtime.base import Runtime

#: ns: a stamp that goes back further means that the clock was set back; identities start anew.
_CLOCK_JUMP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to segment and where to; two jobs that are equal give the same result.

    source: a recording; topic: an image topic in it. out: the recording to make, with
    ``segments_topic``. camera: its name in the messages. model: as the user gave it. coco: also
    write this JSON file.
    """

    source: Path
    topic: str
    out: Path
    segments_topic: str
    camera: str
    model: str
    coco: Path | None = None

    @property
    def unfinished(self) -> Path:
        """The folder that holds what is done until everything is."""
        return self.out.with_name(f"{self.out.name}.partial")

    def describe(self) -> dict[str, Any]:
        """Say all that decides about the result; the files of the source by size and time."""
        files = sorted(self.source.iterdir()) if self.source.is_dir() else [self.source]
        stats = [(file.name, file.stat()) for file in files]
        return {
            "version": __version__,
            "source": str(self.source.resolve()),
            "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
            "topic": self.topic,
            "segments_topic": self.segments_topic,
            "camera": self.camera,
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """How a job went: messages on the topic, arrays and segments written.

    resumed: messages that an earlier, interrupted run had done. unusable: messages that no array
    could be made of; reason: of the first of them in this run.
    """

    messages: int
    resumed: int
    arrays: int
    segments: int
    unusable: int
    reason: str


def segment_recording(
    job: Job,
    create_runtime: Callable[[], Runtime],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Do a job, or what is left of it; ``progress`` is called with (done, total).

    Each frame is kept on disk as soon as it is done. A run after an interruption goes on with the
    next one; there the identities start anew, which a new session_id says. ``job.out`` comes into
    being at the end, complete. Raises ``RecordingError``.
    """
    if job.out.exists():
        raise RecordingError(f"{job.out} exists; delete it or give another --out")
    if job.coco is not None and job.out.resolve() in job.coco.resolve().parents:
        raise RecordingError(f"{job.coco} is inside the recording {job.out}; put it elsewhere")
    with open_topic(job.source, job.topic) as topic:
        if not topic.count:
            raise RecordingError(f"topic {job.topic} of {job.source} has no messages")
        with Journal(job.unfinished, job.describe()) as journal:
            resumed = journal.count
            reason = _segment_frames(job, topic, journal, create_runtime, progress)
            arrays, segments = _finish(job, journal, reason)
            messages = journal.count
    shutil.rmtree(job.unfinished)
    return Summary(messages, resumed, arrays, segments, messages - arrays, reason)


def _segment_frames(
    job: Job,
    topic: ImageTopic,
    journal: Journal,
    create_runtime: Callable[[], Runtime],
    progress: Callable[[int, int], None],
) -> str:
    """Work on the frames that the journal lacks; return why the first unusable one was."""
    progress(journal.count, topic.count)
    if journal.count >= topic.count:
        return ""
    reason = ""
    runtime = create_runtime()
    try:
        segmenter = _Segmenter(runtime, job.camera, journal.session_id)
        for raw in topic.frames(journal.count):
            payload = b""
            try:
                payload = segmenter.segment(raw)
            except ImageError as error:
                reason = reason or f"message {journal.count + 1}: {error}"
            journal.append(Entry(raw.recorded_ns, segmenter.session_id, payload))
            progress(journal.count, max(topic.count, journal.count))
    finally:
        runtime.close()
    return reason


class _Segmenter:
    """A session that follows the stamps of a recording."""

    def __init__(self, runtime: Runtime, camera: str, last_session_id: int) -> None:
        self._runtime = runtime
        self._camera = camera
        self._last_ns = 0
        self.session_id = last_session_id
        self._begin()

    def segment(self, raw: RawFrame) -> bytes:
        """Return the array of a frame as CDR; raises ``ImageError``."""
        started = time.perf_counter()
        stamp, image = raw.decode()
        decoding = time.perf_counter() - started
        # A stamp of zero means that the camera has no clock, not that it went back.
        if stamp.ns > 0 and self._last_ns - stamp.ns > _CLOCK_JUMP_NS:
            self._begin()
        self._last_ns = stamp.ns
        frame = self._session.process(image, camera=self._camera, stamp_ns=stamp.ns)
        timing = replace(frame.timing, preprocess=frame.timing.preprocess + decoding)
        frame = replace(frame, timing=timing)
        model = self._runtime.model_name
        return bytes(write_array(frame, stamp, model=model, session_id=self.session_id))

    def _begin(self) -> None:
        self.session_id += 1
        self._session = PerceptionSession(self._runtime, session_id=self.session_id)


def _finish(job: Job, journal: Journal, reason: str) -> tuple[int, int]:
    """Write everything from the journal; return the number of arrays and of segments."""

    def arrays() -> Iterator[NumberedArray]:
        for index, entry in enumerate(journal.entries()):
            if entry.payload:
                yield index, read_array(entry.payload)

    count = segments = 0
    for _, array in arrays():
        count += 1
        segments += len(array.segments)
    if not count:
        shutil.rmtree(job.unfinished)  # nothing in it is worth going on with
        raise RecordingError(
            f"none of the {journal.count} messages on {job.topic} could be used"
            + (f"; {reason}" if reason else "")
        )
    if job.coco is not None:
        write_coco(arrays, job.coco)
    # The file inside gets the folder's name, so the folder has its final name from the start.
    complete = job.unfinished / job.out.name
    shutil.rmtree(complete, ignore_errors=True)
    _write_recording(journal, complete, job.segments_topic, storage_of(job.source))
    complete.rename(job.out)
    return count, segments


def _write_recording(journal: Journal, path: Path, topic: str, storage: StoragePlugin) -> None:
    """Write the arrays at the times at which their images were recorded."""
    with Writer(path, version=Writer.VERSION_LATEST, storage_plugin=storage) as writer:
        connection = writer.add_connection(topic, SEGMENT_ARRAY, typestore=typestore())
        for entry in journal.entries():
            if entry.payload:
                writer.write(connection, entry.recorded_ns, entry.payload)

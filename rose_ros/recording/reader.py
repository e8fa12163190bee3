"""Read the images of one topic of a recording, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin
from rosbags.serde import SerdeError

from rose_ros.errors import ImageError, RecordingError
from rose_ros.imaging import compressed_to_rgb, image_to_rgb
from rose_ros.recording.messages import COMPRESSED_IMAGE, IMAGE, Stamp, stamp_of, typestore


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One message of an image topic: when it was recorded, and its bytes."""

    recorded_ns: int
    kind: str
    data: bytes

    def decode(self) -> tuple[Stamp, Any]:
        """Return its header and the image, RGB uint8 (height, width, 3). Raises ``ImageError``."""
        try:
            message: Any = typestore().deserialize_cdr(self.data, self.kind)
        except SerdeError as error:
            raise ImageError(f"a message of {len(self.data)} bytes is broken: {error}") from error
        to_rgb = image_to_rgb if self.kind == IMAGE else compressed_to_rgb
        return stamp_of(message), to_rgb(message)


class ImageTopic:
    """An image topic of an open recording."""

    def __init__(self, path: Path, reader: Reader, connections: list[Connection]) -> None:
        """Read ``connections``, which all are of one topic."""
        self._path = path
        self._reader = reader
        self._connections = connections

    @property
    def count(self) -> int:
        """Number of messages, as the recording's index says."""
        return sum(connection.msgcount for connection in self._connections)

    def frames(self, start: int = 0) -> Iterator[RawFrame]:
        """Yield the messages in the order of their recording, without the first ``start``.

        Holds one message (of an MCAP file one chunk) at a time. Raises ``RecordingError``.
        """
        try:
            messages = self._reader.messages(self._connections)
            for index, (connection, recorded_ns, data) in enumerate(messages):
                if index >= start:
                    yield RawFrame(recorded_ns, connection.msgtype, data)
        except Exception as error:  # whatever SQLite, zstd and lz4 make of a damaged file
            raise RecordingError(f"recording {self._path} is broken: {error}") from error


@contextmanager
def open_topic(path: Path, topic: str) -> Iterator[ImageTopic]:
    """Open a rosbag2 folder, .db3 or .mcap file; raises ``RecordingError`` with what is there."""
    if not path.exists():
        raise RecordingError(f"recording {path} does not exist")
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # the file is not ours: anything may be wrong with it
        raise RecordingError(
            f"{path} cannot be read as a recording: {error}; give a rosbag2 folder, a .db3 or "
            "an .mcap file"
        ) from error
    try:
        yield ImageTopic(path, reader, _image_connections(path, reader, topic))
    finally:
        reader.close()


def storage_of(path: Path) -> StoragePlugin:
    """Say how a recording is stored, so that its result can be stored alike."""
    files = path.iterdir() if path.is_dir() else iter([path])
    mcap = any(".mcap" in file.suffixes for file in files)
    return StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3


def _image_connections(path: Path, reader: Reader, topic: str) -> list[Connection]:
    images = [c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED_IMAGE)]
    chosen = [connection for connection in images if connection.topic == topic]
    if chosen:
        return chosen
    there = ", ".join(f"{c.topic} ({c.msgtype}, {c.msgcount})" for c in images) or "none"
    raise RecordingError(f"recording {path} has no image topic {topic!r}; image topics: {there}")

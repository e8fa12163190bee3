"""Small recordings, written the way robots write them, and the scripted model of perception."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
TOPIC = "/camera/image"
#: ns: the stamp of the first frame, and between two frames.
FIRST, PERIOD = 1_700_000_000_000_000_000, 100_000_000

PERCEPTION = Path(__file__).resolve().parents[1] / "perception" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("perception_fixtures", PERCEPTION)
assert _SPEC is not None
assert _SPEC.loader is not None
_FIXTURES = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _FIXTURES  # its dataclasses look themselves up there
_SPEC.loader.exec_module(_FIXTURES)
paint = _FIXTURES.paint
runtime = _FIXTURES.runtime


def header(stamp_ns: int) -> Any:
    """Make a header."""
    sec, nanosec = divmod(stamp_ns, 10**9)
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="lens")


def image_message(image: NDArray[np.uint8], stamp_ns: int, encoding: str = "rgb8") -> Any:
    """Make a sensor_msgs/Image."""
    return STORE.types["sensor_msgs/msg/Image"](
        header=header(stamp_ns),
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.shape[1] * 3,
        data=image.reshape(-1),
    )


def compressed_message(data: bytes, stamp_ns: int) -> Any:
    """Make a sensor_msgs/CompressedImage."""
    return STORE.types["sensor_msgs/msg/CompressedImage"](
        header=header(stamp_ns), format="png", data=np.frombuffer(data, np.uint8)
    )


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes messages into a recording and says where it is.

    ``record(messages, topic=..., storage=..., compress=..., name=...)``; the message number i was
    recorded 5 ms after FIRST + i * PERIOD.
    """

    def write(
        messages: Sequence[Any],
        topic: str = TOPIC,
        storage: StoragePlugin = StoragePlugin.SQLITE3,
        compress: CompressionMode = CompressionMode.NONE,
        name: str = "input",
    ) -> Path:
        path = tmp_path / name
        writer = Writer(path, version=9, storage_plugin=storage)
        writer.set_compression(compress, CompressionFormat.ZSTD)
        with writer:
            kind = messages[0].__msgtype__
            images = writer.add_connection(topic, kind, typestore=STORE)
            other = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=STORE)
            for i, message in enumerate(messages):
                moment = FIRST + i * PERIOD + 5_000_000
                writer.write(images, moment, STORE.serialize_cdr(message, kind))
                text = STORE.types["std_msgs/msg/String"](data=f"{i}")
                writer.write(other, moment, STORE.serialize_cdr(text, "std_msgs/msg/String"))
        return path

    return write

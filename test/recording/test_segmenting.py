"""A recording in, a recording of segments out: every kind of input, interruptions, COCO."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionMode, Reader, StoragePlugin

from rose_ros.errors import RecordingError
from rose_ros.perception.masks import decode_runs
from rose_ros.perception.session import PerceptionSession
from rose_ros.recording.messages import SEGMENT_ARRAY, mask_of, read_array
from rose_ros.recording.segmenting import Job, Summary, segment_recording
from rose_ros.runtime.base import Runtime

_SPEC = importlib.util.spec_from_file_location(
    "recording_fixtures", Path(__file__).with_name("conftest.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
recordings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(recordings)
FIRST, PERIOD, TOPIC = recordings.FIRST, recordings.PERIOD, recordings.TOPIC

#: pycocotools does not know the copy keyword of numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Messages = list[Any]


@pytest.fixture
def pictures(paint: Callable[..., Any]) -> list[Any]:
    """Six frames: a red thing that moves to the right, a blue one from the third frame on."""
    return [
        paint(
            ("red", 20 + 8 * i, 30, 60, 70),
            *((("blue", 200, 120, 50, 50),) if i >= 2 else ()),
        )
        for i in range(6)
    ]


@pytest.fixture
def messages(pictures: list[Any]) -> Messages:
    """The frames as raw images."""
    return [
        recordings.image_message(picture, FIRST + i * PERIOD) for i, picture in enumerate(pictures)
    ]


def job(source: Path, **changes: Any) -> Job:
    """Make a job that writes beside its source."""
    given: dict[str, Any] = {
        "source": source,
        "topic": TOPIC,
        "out": source.with_name("result"),
        "segments_topic": "/rose/segments",
        "camera": "front",
        "model": "fake",
    }
    return Job(**{**given, **changes})


def read(path: Path, topic: str = "/rose/segments") -> list[tuple[int, Any]]:
    """Read a result as any tool does, by the definitions inside it: (recorded, message)."""
    with AnyReader([path]) as reader:
        (connection,) = reader.connections
        assert (connection.topic, connection.msgtype) == (topic, SEGMENT_ARRAY)
        return [
            (moment, reader.deserialize(data, connection.msgtype))
            for connection, moment, data in reader.messages()
        ]


def stamp(message: Any) -> int:
    """Nanoseconds of a header."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda plugin: plugin.name.lower())
def test_the_result_is_what_a_session_makes_of_the_images(
    storage: StoragePlugin,
    record: Callable[..., Path],
    messages: Messages,
    pictures: list[Any],
    runtime: Runtime,
) -> None:
    source = record(messages, storage=storage)
    done: list[tuple[int, int]] = []
    summary = segment_recording(job(source), lambda: runtime, lambda *now: done.append(now))
    assert summary == Summary(6, 0, 6, 10, 0, "")
    assert done == [(i, 6) for i in range(7)]

    session = PerceptionSession(runtime)
    arrays = read(source.with_name("result"))
    assert [moment for moment, _ in arrays] == [FIRST + i * PERIOD + 5_000_000 for i in range(6)]
    for i, (_, array) in enumerate(arrays):
        expected = session.process(pictures[i], camera="front", stamp_ns=FIRST + i * PERIOD)
        assert (stamp(array), array.header.frame_id) == (FIRST + i * PERIOD, "lens")
        assert (array.camera, array.model, array.session_id) == ("front", "fake", 1)
        assert (array.height, array.width, array.sequence) == (240, 320, i + 1)
        assert math.isnan(array.timing.age)
        assert array.timing.preprocess > 0
        assert len(array.segments) == len(expected.segments) == (1 if i < 2 else 2)
        for segment, known in zip(array.segments, expected.segments, strict=True):
            assert (segment.id, segment.label.text) == (known.id, known.label.text)
            assert (segment.area, segment.truncated) == (known.area, known.truncated)
            assert (segment.anchor.x, segment.anchor.y) == known.anchor
            np.testing.assert_array_equal(
                decode_runs(mask_of(segment), 240, 320), decode_runs(known.mask, 240, 320)
            )
    assert {array.segments[0].id for _, array in arrays} == {1}
    suffix = {StoragePlugin.MCAP: ".mcap", StoragePlugin.SQLITE3: ".db3"}[storage]
    files = sorted(file.name for file in source.with_name("result").iterdir())
    assert files == ["metadata.yaml", f"result{suffix}"]
    assert not source.with_name("result.partial").exists()


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings_are_read(
    mode: CompressionMode, record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    summary = segment_recording(job(record(messages, compress=mode)), lambda: runtime)
    assert (summary.arrays, summary.segments) == (6, 10)


def test_a_single_file_is_a_recording_too(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages, storage=StoragePlugin.MCAP) / "input.mcap"
    summary = segment_recording(job(source), lambda: runtime)
    assert (summary.arrays, summary.segments) == (6, 10)
    assert (source.with_name("result") / "result.mcap").is_file()


def test_compressed_images_give_the_same_segments(
    record: Callable[..., Path], pictures: list[Any], runtime: Runtime
) -> None:
    topic = f"{TOPIC}/compressed"
    source = record(
        [
            recordings.compressed_message(
                cv2.imencode(".png", picture[..., ::-1])[1].tobytes(), FIRST + i * PERIOD
            )
            for i, picture in enumerate(pictures)
        ],
        topic=topic,
    )
    summary = segment_recording(job(source, topic=topic), lambda: runtime)
    assert (summary.arrays, summary.segments, summary.unusable) == (6, 10, 0)


def test_unusable_messages_are_left_out_and_counted(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    messages[1].encoding = "thermal"
    messages[3].step = 7
    source = record(messages)
    summary = segment_recording(job(source), lambda: runtime)
    assert (summary.messages, summary.arrays, summary.unusable) == (6, 4, 2)
    assert summary.reason.startswith("message 2: encoding 'thermal' is not supported")
    arrays = read(source.with_name("result"))
    assert [(stamp(array) - FIRST) // PERIOD for _, array in arrays] == [0, 2, 4, 5]


def test_nothing_usable_is_an_error(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    for message in messages:
        message.encoding = "thermal"
    source = record(messages)
    with pytest.raises(RecordingError, match=r"none of the 6 messages .*message 1: encoding"):
        segment_recording(job(source), lambda: runtime)
    assert list(source.parent.iterdir()) == [source]


def test_identities_start_anew_where_the_stamps_go_back(
    record: Callable[..., Path], pictures: list[Any], runtime: Runtime
) -> None:
    moments = [5.0, 5.1, 4.5, 2.0, 0.0, 2.1]
    source = record(
        [
            recordings.image_message(picture, round(moment * 10**9))
            for picture, moment in zip(pictures, moments, strict=True)
        ]
    )
    segment_recording(job(source), lambda: runtime)
    arrays = [array for _, array in read(source.with_name("result"))]
    assert [array.session_id for array in arrays] == [1, 1, 1, 2, 2, 2]
    assert [array.sequence for array in arrays] == [1, 2, 3, 1, 2, 3]
    assert [stamp(array) for array in arrays] == [round(moment * 10**9) for moment in moments]


class Interrupted(BaseException):
    """Ends a run as Ctrl-C does."""


def interrupt_after(count: int) -> Callable[[int, int], None]:
    """Make a progress that ends the run after ``count`` messages."""

    def progress(done: int, total: int) -> None:
        if done == count:
            raise Interrupted

    return progress


def test_an_interrupted_run_is_taken_up_again(
    record: Callable[..., Path], messages: Messages, runtime: Any
) -> None:
    source = record(messages)
    with pytest.raises(Interrupted):
        segment_recording(job(source), lambda: runtime, interrupt_after(4))
    assert not source.with_name("result").exists()
    runtime.calls.clear()
    summary = segment_recording(job(source), lambda: runtime)
    assert (summary.messages, summary.resumed, summary.arrays) == (6, 4, 6)
    assert len(runtime.calls) == 2
    arrays = [array for _, array in read(source.with_name("result"))]
    assert [stamp(array) for array in arrays] == [FIRST + i * PERIOD for i in range(6)]
    assert [array.session_id for array in arrays] == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("cut", "tail", "kept"),
    [
        (50, b"", 2),
        (50, bytes(50), 2),
        (50, b"\xff" * 90, 2),
        (0, b"\x07", 3),
        (0, bytes(100), 3),
        (0, b"\xff" * 100, 3),
    ],
)
def test_a_frame_cut_off_while_written_is_done_again(
    cut: int, tail: bytes, kept: int, record: Callable[..., Path], messages: Messages, runtime: Any
) -> None:
    source = record(messages)
    with pytest.raises(Interrupted):
        segment_recording(job(source), lambda: runtime, interrupt_after(3))
    with (source.with_name("result.partial") / "frames.journal").open("r+b") as file:
        size = file.seek(0, 2) - cut
        file.truncate(size)
        file.seek(size)
        file.write(tail)
    summary = segment_recording(job(source), lambda: runtime)
    assert (summary.resumed, summary.arrays, summary.segments) == (kept, 6, 10)


def test_a_finished_journal_needs_no_model(
    record: Callable[..., Path], messages: Messages, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = record(messages)

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("rose_ros.recording.segmenting._write_recording", full)
        with pytest.raises(OSError, match="no space left"):
            segment_recording(job(source), lambda: runtime)

    def no_model() -> Runtime:
        raise AssertionError("the model was loaded")

    summary = segment_recording(job(source), no_model)
    assert (summary.resumed, summary.arrays, summary.segments) == (6, 6, 10)
    assert len(read(source.with_name("result"))) == 6


def test_an_unfinished_result_of_another_job_is_kept(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages)
    with pytest.raises(Interrupted):
        segment_recording(job(source), lambda: runtime, interrupt_after(2))
    before = (source.with_name("result.partial") / "frames.journal").read_bytes()
    with pytest.raises(RecordingError, match=r"another job \(different: model\)"):
        segment_recording(job(source, model="other"), lambda: runtime)
    assert (source.with_name("result.partial") / "frames.journal").read_bytes() == before


def test_two_runs_at_once_do_not_mix(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages)

    def second_run(done: int, total: int) -> None:
        if done == 2:
            with pytest.raises(RecordingError, match="another process"):
                segment_recording(job(source), lambda: runtime)

    assert segment_recording(job(source), lambda: runtime, second_run).arrays == 6


def test_what_exists_is_never_overwritten(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages)
    with pytest.raises(RecordingError, match="exists; delete it"):
        segment_recording(job(source, out=source), lambda: runtime)


def test_coco_json_holds_every_mask_and_name(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    messages[0].encoding = "thermal"
    source = record(messages)
    path = source.with_name("coco") / "seen.json"
    segment_recording(job(source, coco=path), lambda: runtime)
    data = json.loads(path.read_text())
    assert [image["id"] for image in data["images"]] == [2, 3, 4, 5, 6]
    assert data["images"][0] == {
        "id": 2,
        "file_name": "000002.png",
        "width": 320,
        "height": 240,
        "stamp_ns": FIRST + PERIOD,
        "frame_id": "lens",
    }
    assert data["categories"] == [{"id": 1, "name": "red mug"}, {"id": 2, "name": "blue box"}]
    loaded = COCO(str(path))
    arrays = [array for _, array in read(source.with_name("result"))]
    segments = [(i, segment) for i, array in enumerate(arrays) for segment in array.segments]
    assert len(data["annotations"]) == len(segments) == 9
    for annotation, (i, segment) in zip(data["annotations"], segments, strict=True):
        assert annotation["image_id"] == i + 2
        name = loaded.loadCats(annotation["category_id"])[0]["name"]
        assert (name, annotation["track_id"]) == (segment.label.text, segment.id)
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        np.testing.assert_array_equal(mask, decode_runs(mask_of(segment), 240, 320))
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == list(coco_mask.toBbox(annotation["segmentation"]))


def test_coco_json_without_any_segment_is_complete(
    record: Callable[..., Path], paint: Callable[..., Any], runtime: Runtime
) -> None:
    source = record([recordings.image_message(paint(), FIRST)])
    path = source.with_name("seen.json")
    assert segment_recording(job(source, coco=path), lambda: runtime).arrays == 1
    data = json.loads(path.read_text())
    assert (len(data["images"]), data["annotations"], data["categories"]) == (1, [], [])


def test_a_coco_file_inside_the_result_is_refused(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages)
    path = source.with_name("result") / "seen.json"
    with pytest.raises(RecordingError, match="inside the recording"):
        segment_recording(job(source, coco=path), lambda: runtime)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"topic": "/nothing"}, r"no image topic '/nothing'; image topics: /camera/image \("),
        ({"topic": "/chatter"}, "no image topic '/chatter'"),
        ({"source": Path("/no/such/bag")}, "does not exist"),
    ],
)
def test_what_is_not_there_is_explained(
    change: dict[str, Any],
    reason: str,
    record: Callable[..., Path],
    messages: Messages,
    runtime: Runtime,
) -> None:
    source = record(messages)
    given = {"out": source.with_name("result"), **change}
    with pytest.raises(RecordingError, match=reason):
        segment_recording(job(given.pop("source", source), **given), lambda: runtime)
    assert not source.with_name("result.partial").exists()


@pytest.mark.parametrize("storage", list(StoragePlugin), ids=lambda plugin: plugin.name.lower())
def test_a_damaged_recording_is_explained(
    storage: StoragePlugin, record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages, storage=storage)
    (file,) = [path for path in source.iterdir() if path.suffix != ".yaml"]
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 3])
    with pytest.raises(RecordingError, match=r"cannot be read as a recording|is broken"):
        segment_recording(job(source), lambda: runtime)
    assert not source.with_name("result").exists()


def test_the_types_inside_are_those_of_the_interface(
    record: Callable[..., Path], messages: Messages, runtime: Runtime
) -> None:
    source = record(messages)
    segment_recording(job(source), lambda: runtime)
    with Reader(source.with_name("result")) as reader:
        (connection,) = reader.connections
        assert connection.digest.startswith("RIHS01_")
        _, _, data = next(reader.messages())
    assert read_array(data).camera == "front"


def test_recordings_need_neither_ros_nor_torch() -> None:
    code = (
        "import sys, rose_ros.recording.segmenting\n"
        "sys.exit(','.join({'rclpy', 'sensor_msgs', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

"""What is done of a long job, kept on disk frame by frame, so that it can be taken up again."""

from __future__ import annotations

import fcntl
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rose_ros.errors import RecordingError

#: nanoseconds of the recording, session, length and CRC-32 of the payload
_HEAD = struct.Struct("<qIII")
_JOB, _FRAMES = "job.json", "frames.journal"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that was worked on; the payload is empty when it could not be used.

    recorded_ns: when it was recorded. session_id: at least 1.
    """

    recorded_ns: int
    session_id: int
    payload: bytes


class Journal:
    """An append-only file of entries in a folder of its own, beside a description of the job.

    An entry that was cut off by the end of a process or of the power is dropped when the journal
    is opened again. ``count`` is the number of entries, ``session_id`` that of the last one.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        """Begin, or go on with what ``folder`` holds; raises ``RecordingError`` for another job.

        job: all that decides about the result, as JSON takes it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _FRAMES
        self._file = self._path.open("a+b")
        try:
            self._lock()
            _check_job(folder, job)
            self.count = self.session_id = 0
            whole = 0
            for entry, end in _read(self._path):
                self.count += 1
                self.session_id = entry.session_id
                whole = end
            self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """Use it as a context: it closes its file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; the entries stay."""
        self._file.close()

    def append(self, entry: Entry) -> None:
        """Write an entry through to the system, so that it outlives this process."""
        head = _HEAD.pack(
            entry.recorded_ns, entry.session_id, len(entry.payload), zlib.crc32(entry.payload)
        )
        self._file.write(head + entry.payload)
        self._file.flush()
        self.count += 1
        self.session_id = entry.session_id

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, one at a time."""
        for entry, _ in _read(self._path):
            yield entry

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordingError(
                f"another process is writing {self._path.parent}; wait for it or give another --out"
            ) from None


def _read(path: Path) -> Iterator[tuple[Entry, int]]:
    """Yield the whole entries of a file, each with the position after it."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            recorded_ns, session_id, length, checksum = _HEAD.unpack(head)
            payload = file.read(length)
            # After a loss of power the end of a file may be zeros: no session has the number 0.
            if len(payload) != length or zlib.crc32(payload) != checksum or not session_id:
                return
            yield Entry(recorded_ns, session_id, payload), file.tell()


def _check_job(folder: Path, job: dict[str, Any]) -> None:
    """Write down the job, or compare it with the one that was begun here."""
    path = folder / _JOB
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
        return
    except ValueError:
        begun = None
    # As JSON gives it back: tuples are lists there.
    wanted = json.loads(json.dumps(job))
    if begun == wanted:
        return
    other = begun if isinstance(begun, dict) else {}
    differs = [key for key in wanted if other.get(key) != wanted[key]] or ["its description"]
    raise RecordingError(
        f"{folder} holds an unfinished result of another job (different: {', '.join(differs)}); "
        "run that one again, delete the folder or give another --out"
    )

"""Engines on the disk: where they lie, what says what they are, and why one is refused.

An engine runs only on what it was built for: the graphs, the TensorRT release, the GPU, the driver.
All of that is in the JSON beside each engine; nothing here imports TensorRT or PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rose_ros.errors import EngineError
from rose_ros.runtime.cache import cache_folder
from rose_ros.runtime.engine_profiles import Profile
from rose_ros.runtime.manifest import Manifest

#: Raised whenever engines of before cannot be run by the code of now.
FORMAT = 1
ENGINE_SUFFIX, RECORD_SUFFIX = ".engine", ".json"
PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine is bound to, in words that people know from their tools."""

    tensorrt: str
    cuda: str
    driver: str
    gpu: str
    capability: str
    multiprocessors: int
    platform: str
    board: str


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a person chooses.

    precision: of matrix products and convolutions; sums, norms and softmax stay float32.
    regions: sizes of batches of regions; smaller batches are filled up, larger ones are split.
    level: effort of the builder, 0 to 5. workspace: most scratch memory of a layer, in MiB.
    """

    precision: str = "float16"
    regions: tuple[int, ...] = (4, 16, 64)
    level: int = 3
    workspace: int = 2048

    def __post_init__(self) -> None:
        """Refuse what cannot be built; raises ``EngineError``."""
        if self.precision not in PRECISIONS:
            raise EngineError(
                f"precision {self.precision!r} is not known; choose one of {', '.join(PRECISIONS)}"
            )
        if not self.regions or list(self.regions) != sorted(set(self.regions)):
            raise EngineError(f"regions {self.regions} must rise, such as 4,16,64")
        if self.regions[0] < 1:
            raise EngineError(f"regions {self.regions} must be 1 or more")
        if not 0 <= self.level <= 5:
            raise EngineError(f"level {self.level} must be 0 to 5")
        if self.workspace < 1:
            raise EngineError(f"workspace {self.workspace} must be 1 MiB or more")


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """Contents of the JSON beside an engine, which is written last.

    key: of all engines built together; sha256: of the engine; source: of the graphs it comes from;
    seconds: the build took; self_test: what was compared with ONNX Runtime, and how far it was.
    """

    format: int
    model: str
    graph: str
    key: str
    sha256: str
    source: str
    machine: Machine
    options: BuildOptions
    profiles: tuple[Profile, ...]
    seconds: float
    self_test: dict[str, float]


def source_digest(manifest: Manifest) -> str:
    """Return one SHA-256 for the graphs and their weights."""
    return _digest(sorted(manifest.files.items()))


def cache_key(
    source: str, machine: Machine, options: BuildOptions, profiles: dict[str, tuple[Profile, ...]]
) -> str:
    """Return the SHA-256 of everything that an engine depends on."""
    return _digest([FORMAT, source, asdict(machine), asdict(options), profiles])


def engine_root() -> Path:
    """Return the folder of all engines of this user."""
    return cache_folder() / "engines"


def engine_folder(model: str, key: str, root: Path | None = None) -> Path:
    """Return the folder of the engines that were built together."""
    return (root or engine_root()) / f"{model}-{key[:16]}"


def timing_file(machine: Machine, root: Path | None = None) -> Path:
    """Name the file of measured kernels: of one TensorRT on one kind of GPU."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{machine.tensorrt} {machine.gpu}").strip("-")
    return (root or engine_root()) / f"timings-{name}.bin"


def write_engine(folder: Path, record: EngineRecord, engine: bytes | memoryview) -> None:
    """Write an engine and then its record, each in one step."""
    write_bytes(folder / f"{record.graph}{ENGINE_SUFFIX}", engine)
    text = json.dumps(asdict(record), indent=2, allow_nan=False) + "\n"
    write_bytes(folder / f"{record.graph}{RECORD_SUFFIX}", text.encode())


def read_record(folder: Path, graph: str) -> EngineRecord:
    """Read what is said about an engine; raises ``EngineError`` with the reason."""
    path = folder / f"{graph}{RECORD_SUFFIX}"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        if given.get("format") != FORMAT:
            raise EngineError(
                f"{path} has format {given.get('format')}; this version reads format {FORMAT}"
            )
        options = {**given["options"], "regions": tuple(given["options"]["regions"])}
        given |= {
            "machine": Machine(**given["machine"]),
            "options": BuildOptions(**options),
            "profiles": tuple(
                {name: tuple(tuple(shape) for shape in shapes) for name, shapes in one.items()}
                for one in given["profiles"]
            ),
        }
        record = EngineRecord(**given)
    except FileNotFoundError as error:
        raise EngineError(f"{folder} holds no engine of the graph {graph}") from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise EngineError(f"cannot read {path}: {error}") from error
    if record.graph != graph:
        raise EngineError(f"{path} describes the graph {record.graph}")
    return record


def read_engine(folder: Path, record: EngineRecord) -> bytes:
    """Read an engine that is what its record says; raises ``EngineError``."""
    path = folder / f"{record.graph}{ENGINE_SUFFIX}"
    try:
        engine = path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error}") from error
    if hashlib.sha256(engine).hexdigest() != record.sha256:
        raise EngineError(f"{path} is damaged or was changed: its SHA-256 is not the one built")
    return engine


def read_set(folder: Path, manifest: Manifest, machine: Machine) -> dict[str, EngineRecord]:
    """Read the records of all engines of a folder, if they fit graphs and machine.

    Raises ``EngineError`` with the first thing that does not.
    """
    records = {graph: read_record(folder, graph) for graph in manifest.graphs}
    source = source_digest(manifest)
    for record in records.values():
        if record.source != source:
            raise EngineError(f"{folder} was built from other graphs than the model's own")
        for field in fields(Machine):
            built, now = getattr(record.machine, field.name), getattr(machine, field.name)
            if built != now:
                raise EngineError(f"{folder} was built for {field.name} {built!r}, here is {now!r}")
        if not record.self_test:
            raise EngineError(f"the engine {record.graph} in {folder} was never tested")
    if len({record.key for record in records.values()}) != 1:
        raise EngineError(f"{folder} mixes engines of several builds")
    return records


def find_engines(
    model: str, manifest: Manifest, machine: Machine, root: Path | None = None
) -> tuple[Path, dict[str, EngineRecord]]:
    """Find the newest engines of a model that fit; raises ``EngineError`` with all reasons."""
    root = root or engine_root()
    folders = [path for path in root.glob(f"{model}-*") if path.is_dir()]
    reasons = []
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            return folder, read_set(folder, manifest, machine)
        except EngineError as error:
            reasons.append(str(error))
    raise EngineError("; ".join(reasons) or f"there are no engines of {model} in {root}")


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

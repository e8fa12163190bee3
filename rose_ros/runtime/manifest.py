"""What says which checkpoint exported graphs belong to, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rose_ros.errors import ModelError
from rose_ros.model.processing import CONFIG_FILE, TOKENIZER_FILE

#: Raised whenever graphs of before cannot be run by the code of now.
FORMAT = 2
FILE = "manifest.json"
#: Below the checkpoint's folder.
FOLDER = "onnx"
GRAPHS = ("encode", "embed", "perceive", "decode", "sharpen", "region", "name")
#: What an image goes through once; the others take what these give.
ENCODERS = ("encode", "embed")
#: Only models that take a closer look have these.
OPTIONAL = {"sharpen"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """Contents of ``manifest.json``, which is written last.

    precision: "float32", or "int8" for what only a CPU runs.
    checkpoint: SHA-256 of every file of the checkpoint that the graphs depend on.
    files: SHA-256 of every file of the export.
    graphs: per graph its file and the types and shapes of its inputs and outputs; a dynamic
    dimension is the name of it.
    end_token_id, region_token_id: what the naming loop needs to know.
    parity: how far the graphs were from PyTorch when they were made.
    versions: what made them.
    """

    format: int
    model: str
    opset: int
    precision: str
    end_token_id: int
    region_token_id: int
    checkpoint: dict[str, str]
    files: dict[str, str]
    graphs: dict[str, Any]
    parity: dict[str, float]
    versions: dict[str, str]

    def save(self, folder: Path) -> None:
        """Write into the folder of the graphs."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")


def graphs_beside(checkpoint: Path) -> Path | None:
    """Return the folder of the graphs that come with a checkpoint, if it has any."""
    folder = checkpoint / FOLDER
    return folder if (folder / FILE).is_file() else None


def read_manifest(folder: Path) -> Manifest:
    """Read from the folder of the graphs; raises ``ModelError`` with the reason."""
    path = folder / FILE
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        found = given.get("format")
        if found != FORMAT:
            raise ModelError(f"{path} has format {found}; this version reads format {FORMAT}")
        manifest = Manifest(**given)
        missing = set(GRAPHS) - OPTIONAL - set(manifest.graphs)
        unchecked = {graph["file"] for graph in manifest.graphs.values()} - set(manifest.files)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if missing:
        raise ModelError(f"{path} lacks the graph {min(missing)}")
    if unchecked:
        raise ModelError(f"{path} has no checksum of {min(unchecked)}")
    outside = [name for name in manifest.files if Path(name).name != name]
    if outside:
        raise ModelError(f"{path} names {outside[0]}, which is not a file beside it")
    return manifest


def check_graphs(checkpoint: Path, folder: Path) -> Manifest:
    """Return the manifest of graphs that are whole and belong to the checkpoint.

    Raises ``ModelError`` that names the first file that does not fit.
    """
    manifest = read_manifest(folder)
    now = hash_checkpoint(checkpoint)
    for name in sorted(set(now) | set(manifest.checkpoint)):
        if now.get(name) != manifest.checkpoint.get(name):
            raise ModelError(
                f"the graphs in {folder} were exported from another checkpoint: {name} differs"
            )
    for name, digest in sorted(manifest.files.items()):
        path = folder / name
        if not path.is_file():
            raise ModelError(f"the graphs in {folder} are not complete: {name} is missing")
        if hash_file(path) != digest:
            raise ModelError(f"the graphs in {folder} are damaged: {name} is not what was exported")
    return manifest


def hash_checkpoint(folder: Path) -> dict[str, str]:
    """Hash what the graphs depend on: configuration, processor, tokenizer and weights."""
    names = ["config.json", CONFIG_FILE, TOKENIZER_FILE]
    paths = [folder / name for name in names] + sorted(folder.glob("*.safetensors"))
    return {path.name: hash_file(path) for path in paths if path.is_file()}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

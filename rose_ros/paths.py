"""Where shipped files lie: in a checkout, in colcon's install space or in a pip install."""

from __future__ import annotations

import os
from pathlib import Path

from rose_ros.errors import ModelError

#: What makes a folder a checkpoint.
CONFIG_FILE = "config.json"


def model_folders() -> list[Path]:
    """List the folders that may hold shipped models, existing or not, the first wins."""
    package = Path(__file__).resolve().parent
    return [package.parent / "models", package / "models", *_shared("models")]


def message_definitions() -> dict[str, str]:
    """Return the text of each message definition by name, e.g. "Segment"; empty if none is found.

    They are the files of msg/: beside the package, inside it, or in colcon's install space.
    """
    package = Path(__file__).resolve().parent
    # Not rose_ros/msg inside the package: that is where rosidl's generated code goes.
    for folder in (package.parent / "msg", package / "definitions", *_shared("msg")):
        if (folder / "SegmentArray.msg").is_file():
            files = sorted(folder.glob("*.msg"))
            return {file.stem: file.read_text(encoding="utf-8") for file in files}
    return {}


def _shared(name: str) -> list[Path]:
    """List the folders ``name`` that ROS prefixes may share for this package."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [Path(prefix) / "share" / "rose_ros" / name for prefix in prefixes if prefix]


def shipped_models() -> list[str]:
    """Name the models that are there, sorted."""
    names: set[str] = set()
    for folder in model_folders():
        names.update(config.parent.name for config in folder.glob(f"*/{CONFIG_FILE}"))
    return sorted(names)


def find_model(name_or_path: str | Path) -> Path:
    """Resolve a checkpoint folder, or the name of a shipped model, to an absolute folder.

    An existing folder goes before a shipped model of that name. Raises ``ModelError`` that says
    what was given, where it was looked for and which models are shipped.
    """
    given = os.fspath(name_or_path)
    if not given:
        raise ModelError(f"no model given; give a folder or one of {_choices()}")
    path = Path(given).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise ModelError(f"model {given!r} is a file; give the folder that holds {CONFIG_FILE}")

    looked = [path.absolute()]
    if given == path.name:  # a bare name, not a path
        candidates = [folder / given for folder in model_folders()]
        for candidate in candidates:
            if (candidate / CONFIG_FILE).is_file():
                return candidate.resolve()
        looked += candidates
    places = ", ".join(str(place) for place in looked)
    raise ModelError(
        f"model {given!r} does not exist; looked at {places}; give a folder or one of {_choices()}"
    )


def _choices() -> str:
    """Write the shipped names for people."""
    return "the shipped models: " + (", ".join(shipped_models()) or "none found")

"""Write ``tensorrt_api.json``: what the real bindings say of the names that rose_ros uses.

The bindings of each release (the package tensorrt_cu12_bindings or tensorrt_cu13_bindings) import
without TensorRT's libraries when empty ones with the nine C functions they look up are put in
their place. For each release, with the unpacked wheel on PYTHONPATH and the empty libraries on
LD_LIBRARY_PATH:

    python test/runtime/tensorrt_api.py test/runtime/tensorrt_api.json

adds the release to the file. The tests compare the code and the stand-in with the file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def used_names() -> list[str]:
    """Collect the names in the file and those of the code, which the tests know how to find."""
    path = Path(__file__).with_name("test_tensorrt_api.py")
    spec = importlib.util.spec_from_file_location("test_tensorrt_api", path)
    assert spec is not None
    assert spec.loader is not None
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    return sorted({*tests.names_in_code(), *tests.names_in_double()})


def describe(api: ModuleType, name: str) -> str | None:
    """Return signatures, or the kind of an attribute that is none; None where it does not exist."""
    found: Any = api
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    if isinstance(found, type):
        return "class"
    if isinstance(found, property):
        return "property"
    if not callable(found):
        return "value"
    # pybind11 writes signatures first; overloads follow, numbered.
    lines = [line.strip() for line in (found.__doc__ or "").splitlines()]
    word = name.rsplit(".", 1)[-1]
    signatures = [line.lstrip("0123456789. ") for line in lines if f"{word}(" in line]
    own = [line for line in signatures if line.startswith(f"{word}(") and "*args" not in line]
    prefix = f"{api.__name__}.tensorrt."
    return " | ".join(dict.fromkeys(own)).replace(prefix, "") or "callable"


def main() -> None:
    """Add the release that is importable to the file."""
    import tensorrt_bindings as api

    path = Path(sys.argv[1])
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[api.__version__] = {name: describe(api, name) for name in used_names()}
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

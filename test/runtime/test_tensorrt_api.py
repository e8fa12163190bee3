"""Every name of TensorRT's API that the code uses exists, as it is used, in the real bindings."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("tensorrt_api.json")
RUNTIME = ROOT / "rose_ros" / "runtime"
SOURCES = [*sorted(RUNTIME.glob("engine_*.py")), RUNTIME / "tensorrt.py"]
#: What the module is called in the code.
MODULES = ("trt", "api")
#: JetPack 6.1, JetPack 7.0, JetPack 7.2 and the newest.
RELEASES = ["10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106"]


class Names(ast.NodeVisitor):
    """Collects names of the module, and of objects whose class is annotated."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.fields: dict[str, str] = {}
        self.scopes: list[dict[str, str]] = [{}]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.scopes.append({arg.arg: name for arg in every if (name := _class(arg.annotation))})
        self.generic_visit(node)
        self.scopes.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if name := _class(node.annotation):
            if isinstance(node.target, ast.Attribute):
                self.fields[node.target.attr] = name
            elif isinstance(node.target, ast.Name):
                self.scopes[-1][node.target.id] = name
                self.fields.setdefault(node.target.id, name)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        if chain and chain[0] in MODULES:
            self.found.add(".".join(chain[1:]))
        elif owner := self._class_of(node.value):
            self.found.add(f"{owner}.{node.attr}")
        self.generic_visit(node)

    def _class_of(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return next((s[node.id] for s in reversed(self.scopes) if node.id in s), None)
        if isinstance(node, ast.Attribute):
            return self.fields.get(node.attr)
        return None


def _class(annotation: ast.expr | None) -> str | None:
    """Return X of an annotation trt.X or trt.X | None."""
    if isinstance(annotation, ast.BinOp):
        annotation = annotation.left
    chain = _chain(annotation)
    return chain[1] if len(chain) == 2 and chain[0] in MODULES else None


def _chain(node: ast.expr | None) -> list[str]:
    """Split a.b.c into its names; library.trt.X and self.trt.X begin at trt."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.insert(0, node.id)
    for place, part in enumerate(parts[:-1]):
        if part in MODULES:
            return parts[place:]
    return []


def names_in_code() -> set[str]:
    """Collect every name of TensorRT's API in the code."""
    found: set[str] = set()
    for path in SOURCES:
        names = Names()
        names.visit(ast.parse(path.read_text()))
        found |= names.found
    return found - {"__version__"}


def load_double() -> Any:
    path = Path(__file__).with_name("tensorrt_double.py")
    spec = importlib.util.spec_from_file_location("tensorrt_double_names", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def members_of_double() -> dict[str, Any]:
    """Return what the stand-in offers under the real names."""
    module = load_double().World().module()
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith("__"):
            continue
        found[name] = value
        if isinstance(value, type):
            for owner in [
                one for one in value.__mro__ if one.__module__ == "tensorrt_double_names"
            ]:
                found |= {
                    f"{name}.{key}": member
                    for key, member in vars(owner).items()
                    if not key.startswith("_")
                }
    return found


def names_in_double() -> set[str]:
    return set(members_of_double())


def known() -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = json.loads(DATA.read_text())
    return found


def test_the_data_is_of_the_releases_that_matter() -> None:
    assert sorted(known()) == sorted(RELEASES)


def test_names_are_found_in_the_code() -> None:
    """The search sees what is there: of the module, of arguments, of annotated names, of fields."""
    assert {
        "OnnxParser",
        "BuilderFlag.TF32",
        "ExecutionContextAllocationStrategy.USER_MANAGED",
        "Builder.build_serialized_network",
        "IBuilderConfig.progress_monitor",
        "INetworkDefinition.num_inputs",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.get_device_memory_size_for_profile_v2",
        "Runtime.deserialize_cuda_engine",
        "ITimingCache.serialize",
        "ParserError.node_operator",
    } <= names_in_code()


@pytest.mark.parametrize("release", RELEASES)
def test_every_name_in_the_code_exists(release: str) -> None:
    names = known()[release]
    assert [name for name in sorted(names_in_code()) if names.get(name) is None] == []


@pytest.mark.parametrize("release", RELEASES)
def test_the_stand_in_is_not_more_than_the_real_one(release: str) -> None:
    """Names and arguments: code that runs on the stand-in finds them in the real bindings."""
    names = known()[release]
    for name, member in members_of_double().items():
        assert names.get(name) is not None, f"{name} does not exist in TensorRT {release}"
        if not inspect.isfunction(member):
            continue
        mine = [arg for arg in inspect.signature(member).parameters if arg != "self"]
        said = names[name]
        assert said is not None
        if said == "callable":  # documented without a signature
            continue
        theirs = [
            [arg for arg in re.findall(r"(\w+): ", one.split(" -> ")[0]) if arg != "self"]
            for one in said.split(" | ")
        ]
        assert any(mine == one[: len(mine)] for one in theirs), f"{name}{mine} is not {said}"


def test_the_code_runs_on_nothing_that_the_stand_in_lacks() -> None:
    """Otherwise a method could be in the code, exist, and never have been run here."""
    lacking = names_in_code() - names_in_double()
    assert lacking == set()


def test_what_is_used_of_pytorch_exists() -> None:
    """The GPU's own code never runs on a machine without one; its names can be looked up."""
    import torch

    for name in (
        *("Stream", "CUDAGraph", "device", "stream", "is_available", "device_count"),
        *("mem_get_info", "empty_cache", "get_device_properties"),
    ):
        assert hasattr(torch.cuda, name), name
    parameters = inspect.signature(torch.cuda.graph.__init__).parameters
    assert {"stream", "capture_error_mode"} <= set(parameters)

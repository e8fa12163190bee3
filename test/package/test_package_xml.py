"""package.xml, CMakeLists.txt, setup.py and the requirements tell the same story."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()

# rosdep keys by the module they bring.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "rich": "python3-rich",
    "scipy": "python3-scipy",
    "yaml": "python3-yaml",
}
# What rosdep does not know, and every installation needs: pinned in requirements/core.txt.
FROM_PIP = {"embreex", "onnxruntime", "rosbags", "tokenizers", "trimesh"}
# What only PyTorch, training and export need: pinned in requirements/train.txt.
TO_TRAIN = {"onnx_ir", "torch", "transformers"}
# The only rooms that may import it.
OF_PYTORCH = ("model", "training", "runtime")
# What some commands offer on top, imported where it is used: pinned in requirements/dev.txt, or
# brought by the robot's own system.
OPTIONAL = {"pycocotools", "tensorrt", "torchmetrics"}


def imported_modules(folder: Path) -> dict[str, Path]:
    """Map each top-level module that is imported below ``folder`` to a file that does so."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        found.update(dict.fromkeys(imported_modules_of(path), path))
    return found


def imported_modules_of(path: Path) -> set[str]:
    """List the top-level modules that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


def dependencies() -> set[str]:
    """List what is there at run time, by rosdep key."""
    tags = ("depend", "exec_depend")
    return {element.text or "" for tag in tags for element in PACKAGE.findall(tag)}


def pinned(name: str) -> list[str]:
    """List the requirements of a file, without comments and options."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def requirement_names(name: str) -> set[str]:
    """List the packages of a requirements file, in lower case."""
    return {re.split(r"[\[=; ]", line)[0].lower() for line in pinned(name)}


def test_everything_imported_is_declared() -> None:
    modules = {**imported_modules(ROOT / "rose_ros"), **imported_modules(ROOT / "launch")}
    for module, path in sorted(modules.items()):
        if module in sys.stdlib_module_names or module in {"rose_ros", *OPTIONAL}:
            continue
        if module in FROM_PIP:
            assert module in requirement_names("core.txt")
        elif module in TO_TRAIN:
            assert module.replace("_", "-") in requirement_names("train.txt")
        else:
            key = ROSDEP_KEYS.get(module, module)
            assert key in dependencies(), f"{path} imports {module}: {key} is not in package.xml"


def test_what_runs_graphs_does_not_bring_pytorch() -> None:
    assert not {"torch", "transformers", "onnx"} & requirement_names("core.txt")
    for path in sorted((ROOT / "rose_ros").rglob("*.py")):
        if path.relative_to(ROOT / "rose_ros").parts[0] not in OF_PYTORCH:
            found = imported_modules_of(path)
            assert not TO_TRAIN & found, f"{path} imports {sorted(TO_TRAIN & found)}"


def test_pip_installs_the_same_packages() -> None:
    """setup.py asks for what requirements/core.txt pins; the world and ROS are not pip's."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )
    (asked,) = (word.value for word in call.keywords if word.arg == "install_requires")
    names = {re.split(r"[<>=]", text)[0].lower() for text in ast.literal_eval(asked)}
    assert names == requirement_names("core.txt") - {"embreex", "pyyaml", "trimesh"}


def test_everything_that_messages_use_is_declared() -> None:
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]:
        for package in re.findall(r"^(\w+)/\w+", path.read_text(), re.MULTILINE):
            assert package in dependencies() | {"rose_ros"}
            if package != "rose_ros":
                cmake = (ROOT / "CMakeLists.txt").read_text()
                assert f"find_package({package} REQUIRED)" in cmake


def test_versions_agree() -> None:
    text = (ROOT / "rose_ros" / "__init__.py").read_text()
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert match is not None
    assert PACKAGE.findtext("version") == match[1]


#: What a requirement may depend on.
MARKER = r'; (python_version (<|>=) "3\.11"|platform_machine == "x86_64")'


@pytest.mark.parametrize("name", ["core.txt", "train.txt", "dev.txt", "ros.txt", "constraints.txt"])
def test_every_requirement_is_pinned(name: str) -> None:
    for line in pinned(name):
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line.partition("; ")[0]), line
        condition = r'|python_version (<|>=) "3\.11"|platform_machine == "x86_64"'
        assert re.fullmatch(condition, line.partition("; ")[2]), line


@pytest.mark.parametrize("name", ["core.txt", "train.txt", "dev.txt", "ros.txt"])
def test_constraints_allow_what_is_required(name: str) -> None:
    constraints = {line.lower() for line in pinned("constraints.txt")}
    for line in pinned(name):
        # What has no wheel for a platform is constrained there all the same.
        plain = re.sub(r"\[.*\]|; platform_machine.*", "", line).lower()
        # torch brings GPU packages of its own and is left out of the constraints.
        assert plain in constraints or plain.startswith("torch=="), line


def test_programs_name_modules_with_a_main() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    match = re.search(r"foreach\(executable ([\w ]+)\)", cmake)
    assert match is not None
    for program in match[1].split():
        module = ROOT / "rose_ros" / "node" / f"{program}.py"
        functions = [
            node.name
            for node in ast.parse(module.read_text()).body
            if isinstance(node, ast.FunctionDef)
        ]
        assert "main" in functions, f"{module} has no main()"


def test_the_licence_is_there_in_full() -> None:
    licence = PACKAGE.find("license")
    assert licence is not None
    assert licence.text == "Apache-2.0"
    assert "TERMS AND CONDITIONS" in (ROOT / licence.attrib["file"]).read_text()

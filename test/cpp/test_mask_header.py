"""include/rose_ros/mask.hpp decodes and refuses exactly what the Python decoder does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rose_ros.errors import MaskError
from rose_ros.perception.masks import decode_box, decode_runs, encode_runs
from rose_ros.perception.segments import RunMask

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [Path(__file__).with_name(name) for name in ("decode_masks.cpp", "check_masks.cpp")]
FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
UINT32_MAX = 2**32 - 1


@dataclass(frozen=True)
class Case:
    """A mask as it may come over the wire; box is (x, y, width, height)."""

    height: int
    width: int
    box: tuple[int, int, int, int]
    runs: tuple[int, ...]

    @property
    def line(self) -> str:
        """As the program reads it."""
        numbers = (self.width, self.height, *self.box, len(self.runs), *self.runs)
        return " ".join(map(str, numbers))

    def expected(self) -> str:
        """What the Python decoder makes of it; "refused" without the reason."""
        mask = RunMask(*self.box, np.array(self.runs, np.uint32))
        try:
            box = decode_box(mask, self.height, self.width)
            image = decode_runs(mask, self.height, self.width)
        except MaskError:
            return "refused"
        return f"ok {image.sum()} {pixels(box)} {pixels(image)}"


def pixels(mask: np.ndarray) -> str:
    """Write a mask as 0 and 1, row by row."""
    return "".join("01"[int(value)] for value in mask.ravel()) or "-"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled once; with the sanitizers where the compiler has them."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine (c++, g++ or clang++)")
    target = tmp_path_factory.mktemp("cpp") / "decode_masks"
    command = [compiler, *FLAGS, f"-I{ROOT / 'include'}", *map(str, SOURCES), "-o", str(target)]
    result = subprocess.run([*command, *SANITIZE], capture_output=True, text=True, timeout=250)
    if result.returncode:
        result = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr
    return target


def decode(program: Path, cases: Sequence[Case]) -> list[str]:
    """Let the program answer all cases in one process."""
    text = "".join(case.line + "\n" for case in cases)
    result = subprocess.run([program], input=text, capture_output=True, text=True, timeout=250)
    assert result.returncode == 0, result.stderr
    answers = result.stdout.splitlines()
    assert len(answers) == len(cases)
    return answers


def assert_same(program: Path, cases: Sequence[Case]) -> list[str]:
    """Compare with the Python decoder, case by case; return the program's answers."""
    answers = decode(program, cases)
    for case, answer in zip(cases, answers, strict=True):
        shown = answer.split(" ", 1)[0] if answer.startswith("refused") else answer
        assert shown == case.expected(), f"{case}: {answer[:200]}"
    return answers


def encoded(mask: np.ndarray) -> Case:
    """Make the case of a mask bool (height, width)."""
    runs = encode_runs(mask)
    box = (runs.x, runs.y, runs.width, runs.height)
    return Case(*mask.shape, box, tuple(map(int, runs.runs)))


def damaged(case: Case, rng: np.random.Generator) -> Case:
    """Change a case in one way at random; sometimes it stays right."""
    runs, box = list(case.runs), list(case.box)
    at = int(rng.integers(len(runs))) if runs else 0
    value = int(rng.choice([0, 1, 2, 7, 2**31, UINT32_MAX]))
    how = int(rng.integers(6))
    if how == 0 and runs:
        runs[at] = value
    elif how == 1 and runs:
        del runs[at]
    elif how == 2:
        runs.insert(at, value)
    elif how == 3:
        box[int(rng.integers(4))] = value
    elif how == 4 and len(runs) > 1:
        runs[at], runs[at - 1] = runs[at - 1], runs[at]
    else:
        return Case(int(rng.integers(1, 30)), int(rng.integers(1, 30)), case.box, case.runs)
    return Case(case.height, case.width, (box[0], box[1], box[2], box[3]), tuple(runs))


def test_random_masks_decode_to_the_same_pixels(program: Path) -> None:
    rng = np.random.default_rng(7)
    cases = [encoded(rng.random(tuple(rng.integers(1, 30, 2))) < rng.random()) for _ in range(1500)]
    answers = assert_same(program, cases)
    assert all(answer.startswith("ok ") for answer in answers)


def test_a_mask_of_a_whole_frame_decodes_to_the_same_pixels(program: Path) -> None:
    y, x = np.mgrid[:480, :640]
    mask = ((x - 300) ** 2 + (y - 200) ** 2 < 150**2) & (x % 50 != 0)
    assert_same(program, [encoded(mask), encoded(np.ones((480, 640), bool))])


def test_damaged_masks_are_refused_or_not_alike(program: Path) -> None:
    rng = np.random.default_rng(8)
    cases = []
    for _ in range(3000):
        mask = rng.random(tuple(rng.integers(1, 20, 2))) < rng.random()
        cases.append(damaged(encoded(mask), rng))
    answers = assert_same(program, cases)
    refused = sum(answer.startswith("refused") for answer in answers)
    assert 1000 < refused < 2900


HOSTILE = {
    "sum too small": (Case(4, 4, (0, 0, 3, 2), (1, 2)), "add up to 3"),
    "sum too large": (Case(4, 4, (0, 0, 3, 2), (1, 6)), "add up to 7"),
    "no runs": (Case(4, 4, (0, 0, 3, 2), ()), "add up to 0"),
    "sum that wraps to the area": (
        Case(4, 4, (0, 0, 3, 2), (2**31, 2**31, 6)),
        f"run of {2**31} px",
    ),
    "two that wrap": (Case(4, 4, (0, 0, 3, 2), (7, UINT32_MAX)), "a run of 7 px"),
    "zero inside": (Case(4, 4, (0, 0, 3, 2), (2, 0, 4)), "a run of 0 px"),
    "zero at the end": (Case(4, 4, (0, 0, 3, 2), (2, 4, 0)), "a run of 0 px"),
    "box to the right": (Case(4, 4, (2, 0, 3, 2), (6,)), "lies outside"),
    "box below": (Case(4, 4, (0, 3, 3, 2), (6,)), "lies outside"),
    "box that wraps in x": (Case(4, 4, (UINT32_MAX, 0, 2, 2), (4,)), "lies outside"),
    "box that wraps in y": (Case(4, 4, (0, UINT32_MAX, 2, 2), (4,)), "lies outside"),
    "area that wraps to 0": (Case(4, 4, (0, 0, 65536, 65536), ()), "lies outside"),
    "more runs than pixels": (Case(4, 4, (0, 0, 1, 1), (0, 1, 0, 0, 0)), "5 runs"),
    "image without width": (Case(4, 0, (0, 0, 0, 0), ()), "an image of 0 x 4"),
    "image without height": (Case(0, 4, (0, 0, 0, 0), ()), "an image of 4 x 0"),
    "image too large": (Case(50_000, 1001, (0, 0, 1, 1), (0, 1)), "an image of 1001 x 50000"),
    "image that wraps": (Case(65536, 65536, (0, 0, 1, 1), (0, 1)), "an image of 65536"),
}


def test_hostile_masks_are_refused_with_the_reason(program: Path) -> None:
    answers = assert_same(program, [case for case, _ in HOSTILE.values()])
    for (name, (_, reason)), answer in zip(HOSTILE.items(), answers, strict=True):
        assert answer.startswith("refused "), name
        assert reason in answer, name


def test_what_is_odd_but_right_is_taken(program: Path) -> None:
    cases = [
        Case(4, 4, (0, 0, 0, 0), ()),
        Case(4, 4, (4, 4, 0, 0), ()),
        Case(4, 4, (1, 1, 3, 0), (0,)),
        Case(4, 4, (0, 0, 4, 4), (0, 16)),
        Case(4, 4, (0, 0, 4, 4), (16,)),
        Case(4, 4, (3, 3, 1, 1), (0, 1)),
    ]
    assert all(answer.startswith("ok ") for answer in assert_same(program, cases))


def test_the_header_is_installed() -> None:
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert "install(DIRECTORY include/" in cmake

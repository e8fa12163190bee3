"""What the pages say of the interface is so: links, parameters, statuses, encodings, keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rose_ros.imaging import SUPPORTED_ENCODINGS
from rose_ros.perception.segments import Scope, Status

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/*.md"))


def words(text: str) -> set[str]:
    """List what stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def anchors(page: Path) -> set[str]:
    """List the headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^ {4}.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)  # code
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_status_and_scope_is_explained() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "planner.md").read_text(), re.MULTILINE
    )
    assert rows == [scope.name for scope in Scope] + [status.name for status in Status]


def test_every_encoding_is_listed() -> None:
    text = (ROOT / "docs" / "cameras.md").read_text(encoding="utf-8")
    table = text[text.index("with these encodings") : text.index("16-bit values keep")]
    assert words(table) == set(SUPPORTED_ENCODINGS)


def test_what_pages_name_exists() -> None:
    parameters = words((ROOT / "docs" / "parameters.md").read_text(encoding="utf-8"))
    diagnostics = (ROOT / "rose_ros" / "node" / "diagnostics.py").read_text(encoding="utf-8")
    node = (ROOT / "rose_ros" / "node" / "perception_node.py").read_text(encoding="utf-8")
    interface = " ".join(path.read_text() for path in ROOT.glob("*/*.msg"))
    interface += " ".join(path.read_text() for path in ROOT.glob("*/*.srv"))
    known = {*parameters, *re.findall(r'"(\w+)"', diagnostics + node)}
    known |= set(re.findall(r"^[\w/]+(?:\[\])? (\w+)", interface, re.MULTILINE))
    # Words of ROS, of other programs and of files, with an underscore like a name of ours.
    known |= {"use_sim_time", "image_rect", "session_id", "image_id", "file_name", "track_id"}
    for name in ("cameras", "planner", "recordings", "troubleshooting"):
        text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for word in words(text):
            if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", word) and word not in SUPPORTED_ENCODINGS:
                assert word in known, f"{name}.md: {word}"

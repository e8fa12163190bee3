"""Finding models by folder and by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rose_ros import paths
from rose_ros.errors import ModelError


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A colcon prefix with one model, and no other place to look at."""
    models = tmp_path / "prefix" / "share" / "rose_ros" / "models"
    (models / "rose-small").mkdir(parents=True)
    (models / "rose-small" / "config.json").write_text("{}")
    (models / "not-a-model").mkdir()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'prefix'}")
    # As if the package were installed elsewhere, without a checkout around it.
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "lib" / "rose_ros" / "paths.py"))
    monkeypatch.chdir(tmp_path)
    return models


def test_a_folder_is_taken_as_it_is(share: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert paths.find_model(folder) == folder
    assert paths.find_model("mine") == folder
    assert paths.find_model("./mine") == folder


def test_the_home_folder_is_expanded(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.find_model("~/mine") == tmp_path / "mine"


def test_a_name_is_found_in_colcons_share(share: Path) -> None:
    assert paths.find_model("rose-small") == share / "rose-small"
    assert paths.shipped_models() == ["rose-small"]


def test_a_name_is_found_beside_the_package_and_inside_it(share: Path, tmp_path: Path) -> None:
    for parent in (tmp_path / "lib" / "rose_ros" / "models", tmp_path / "lib" / "models"):
        (parent / "rose-small").mkdir(parents=True)
        (parent / "rose-small" / "config.json").write_text("{}")
        assert paths.find_model("rose-small") == parent / "rose-small"


def test_an_existing_folder_goes_before_a_shipped_model(share: Path, tmp_path: Path) -> None:
    (tmp_path / "rose-small").mkdir()
    assert paths.find_model("rose-small") == tmp_path / "rose-small"


@pytest.mark.parametrize("given", ["rose-huge", "not-a-model", "some/rose-small"])
def test_a_missing_model_is_explained(share: Path, given: str) -> None:
    with pytest.raises(ModelError) as caught:
        paths.find_model(given)
    message = str(caught.value)
    assert repr(given) in message
    assert str(Path(given).absolute()) in message
    assert "rose-small" in message
    # A path is not looked for among the shipped models, a name is.
    assert (str(share / given) in message) == ("/" not in given)


def test_a_file_and_an_empty_name_are_refused(share: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_text("")
    with pytest.raises(ModelError, match=r"weights\.bin.*is a file"):
        paths.find_model("weights.bin")
    with pytest.raises(ModelError, match="no model given"):
        paths.find_model("")


def test_the_models_of_this_checkout_are_found() -> None:
    checkout = Path(__file__).resolve().parents[2] / "models"
    assert checkout in paths.model_folders()


def test_message_definitions_are_those_of_the_checkout() -> None:
    definitions = paths.message_definitions()
    folder = Path(__file__).resolve().parents[2] / "msg"
    assert definitions == {file.stem: file.read_text() for file in folder.glob("*.msg")}


def test_message_definitions_are_found_in_colcons_share(share: Path) -> None:
    assert paths.message_definitions() == {}
    folder = share.parent / "msg"
    folder.mkdir()
    (folder / "SegmentArray.msg").write_text("string camera\n")
    (folder / "SegmentArray.idl").write_text("module")
    assert paths.message_definitions() == {"SegmentArray": "string camera\n"}

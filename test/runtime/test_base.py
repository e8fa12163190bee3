"""What passes between a runtime and perception, and what all runtimes of a checkpoint share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from rose_ros.model.processing import ProcessorConfig, RoseProcessor
from rose_ros.runtime.base import Candidates, CheckpointRuntime, DecodedMasks, Encoding

WORDS = ["<end>", "<bos>", "What", "is", "red", "shiny", "mug", "kettle"]
END = 0


class Scripted(CheckpointRuntime):
    """Answers "red mug" by looks and "kettle" by shape, and notes what it is asked."""

    _end_token_id = END

    def __init__(self, folder: Path, *, by_shape: bool) -> None:
        super().__init__(folder)
        self.by_shape = by_shape
        self.asked: list[tuple[str, list[str]]] = []

    def perceive(self, *_: Any) -> Candidates:
        raise NotImplementedError

    def decode(self, *_: Any) -> DecodedMasks:
        raise NotImplementedError

    def _encode(self, pixels: np.ndarray, sam_pixels: np.ndarray) -> Any:
        return pixels.shape, sam_pixels.shape

    def _region_tokens(self, encoding: Any, logits: np.ndarray, embeddings: Any) -> dict[str, Any]:
        questions = ["name", "kind"] if self.by_shape else ["name"]
        return {question: [question] * len(logits) for question in questions}

    def _answer(self, regions: list[str], prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        words = {"name": ["red", "mug"], "kind": ["kettle", "<end>"]}[regions[0]]
        ids = np.array([[WORDS.index(word) for word in words]] * len(regions))
        return ids, np.full(len(regions), 0.5, np.float32)

    def _probability(
        self, regions: list[str], prompt: np.ndarray, answer: np.ndarray
    ) -> np.ndarray:
        self.asked.append((regions[0], [WORDS[token] for token in answer]))
        return np.full(len(regions), 0.5, np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder without a network, whose names have two words and their end."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<end>"])
    RoseProcessor(ProcessorConfig(8, 16, 4, 2, max_name_tokens=3), tokenizer).save_pretrained(
        tmp_path
    )
    return tmp_path


def asked(runtime: CheckpointRuntime, count: int, name: str) -> list[float]:
    logits, embeddings = np.zeros((count, 4, 4), np.float32), np.zeros((count, 2), np.float32)
    encoding = Encoding(4, 4, (1.0, 1.0), None, np.zeros((4, 4, 3), np.uint8))
    return [float(one) for one in runtime.likelihood(encoding, logits, embeddings, name)]


def test_an_encoding_holds_the_image_as_the_network_takes_it(folder: Path) -> None:
    encoding = Scripted(folder, by_shape=False).encode(np.zeros((30, 40, 3), np.uint8))
    assert (encoding.height, encoding.width, encoding.content) == (30, 40, (1.0, 1.0))
    assert encoding.features == ((1, 3, 8, 8), (1, 3, 16, 16))


@pytest.mark.parametrize(("by_shape", "name"), [(False, "red mug"), (True, "red kettle")])
def test_names_are_put_together_where_shapes_are_asked_for(
    folder: Path, by_shape: bool, name: str
) -> None:
    runtime = Scripted(folder, by_shape=by_shape)
    encoding = Encoding(4, 4, (1.0, 1.0), None, np.zeros((4, 4, 3), np.uint8))
    found = runtime.name(encoding, np.zeros((2, 4, 4), np.float32), np.zeros((2, 2), np.float32))
    assert [one.text for one in found] == [name] * 2
    assert runtime.name(encoding, np.zeros((0, 4, 4), np.float32), np.zeros((0, 2))) == []


def test_a_whole_name_ends(folder: Path) -> None:
    runtime = Scripted(folder, by_shape=False)
    assert asked(runtime, 2, "red mug") == [0.5, 0.5]
    assert runtime.asked == [("name", ["red", "mug", "<end>"])]


def test_adjectives_and_noun_are_asked_apart(folder: Path) -> None:
    runtime = Scripted(folder, by_shape=True)
    assert asked(runtime, 1, "shiny red mug") == [0.25]
    assert runtime.asked == [("name", ["shiny", "red"]), ("kind", ["mug", "<end>"])]


def test_what_is_too_long_for_a_name_is_not_asked(folder: Path) -> None:
    runtime = Scripted(folder, by_shape=False)
    assert asked(runtime, 2, "shiny red mug") == [0.0, 0.0]
    assert asked(runtime, 0, "mug") == []
    assert runtime.asked == []


def test_batches_of_masks_are_joined_in_order() -> None:
    parts = [
        DecodedMasks(np.full((n, 2, 2), n, np.float32), np.full(n, n, np.float32)) for n in (2, 1)
    ]
    joined = DecodedMasks.joined(parts)
    assert joined.logits[:, 0, 0].tolist() == [2.0, 2.0, 1.0]
    assert joined.quality.tolist() == [2.0, 2.0, 1.0]


def test_the_best_candidates_come_first_and_equals_stay_in_order() -> None:
    objectness = np.array([0.2, 0.9, 0.5, 0.9], np.float32)
    centres = np.arange(8, dtype=np.float32).reshape(4, 2)
    candidates = Candidates(objectness, centres, np.eye(4, dtype=np.float32), np.eye(4))
    assert candidates.best(3).centres[:, 0].tolist() == [2.0, 6.0, 4.0]
    assert len(candidates.best(9)) == 4

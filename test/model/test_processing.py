"""Images, masks and text to arrays and back."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from rose_ros.errors import ImageError, ModelError
from rose_ros.model.processing import ProcessorConfig, RoseProcessor, normalise


def padded(processor: RoseProcessor) -> RoseProcessor:
    config = ProcessorConfig(image_size=48, sam_image_size=96, mask_size=24, grid=3, fit="pad")
    return RoseProcessor(config, processor.tokenizer)


def test_pixels_are_normalised(processor: RoseProcessor) -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    pixels, sam_pixels = processor.pixel_values(image)
    assert pixels.shape == sam_pixels.shape == (1, 3, 48, 48)
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(sam_pixels[0, :, 5, 5], expected, atol=1e-5)


def test_stretch_fills_and_pad_keeps_the_aspect(processor: RoseProcessor) -> None:
    assert processor.content(60, 80) == (1.0, 1.0)
    keeps = padded(processor)
    assert keeps.content(60, 80) == (1.0, 0.75)
    image = np.full((60, 80, 3), 255, np.uint8)
    square = keeps.fit(image, 48)
    assert square[:36].min() == 255
    assert square[36:].max() == 0
    assert keeps.pixel_values(image)[1].shape == (1, 3, 96, 96)


def test_previous_mask_lands_where_the_image_does(processor: RoseProcessor) -> None:
    mask = np.zeros((60, 80), bool)
    mask[:20, 54:] = True  # the upper right ninth
    share, logits = processor.previous(mask)
    grid = share.reshape(3, 3)
    assert grid[0, 2] > 0.95
    assert grid[1:].max() == 0
    assert logits.shape == (1, 1, 24, 24)
    assert logits.max() == pytest.approx(10)
    assert logits.min() == pytest.approx(-10)
    assert padded(processor).previous(np.ones((60, 80), bool))[1][0, 0, 18:].max() == -10


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_odd_images_are_refused(processor: RoseProcessor, image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="height, width, 3"):
        processor.pixel_values(image)


@pytest.mark.parametrize("text", ["a red mug", "ein Löffel", "杯子", "🤖 x\ty"])
def test_any_text_encodes_and_comes_back(processor: RoseProcessor, text: str) -> None:
    ids = processor.encode_text(text)[0]
    assert processor.tokenizer.decode(ids.tolist()) == text


def test_special_tokens_have_the_ids_of_the_configuration(processor: RoseProcessor) -> None:
    assert list(processor.name_prompt_ids()).count(4) == 1
    assert processor.tokenizer.token_to_id("<eos>") == 2


def test_round_trip_and_broken_files(processor: RoseProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    assert RoseProcessor.from_pretrained(tmp_path).config == processor.config
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        RoseProcessor.from_pretrained(tmp_path)
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(ModelError, match=r"processor_config\.json"):
        RoseProcessor.from_pretrained(tmp_path)


def test_processor_needs_no_torch() -> None:
    code = "import sys, rose_ros.model.processing; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_normalise_moves_channels_first() -> None:
    images = np.zeros((2, 4, 5, 3), np.uint8)
    assert normalise(images, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).shape == (2, 3, 4, 5)

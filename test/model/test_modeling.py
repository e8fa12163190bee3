"""What the network computes, through its public methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rose_ros.model.configuration import RoseConfig
from rose_ros.model.encoding import ImageEncoding
from rose_ros.model.focal import sample_image, window_grid, windows
from rose_ros.model.heads import pool
from rose_ros.model.modeling import RoseModel

PATCHES, SUPER_PATCHES = 36, 9


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, 48, 48)


@pytest.fixture
def encoding(model: RoseModel, images: Tensor) -> ImageEncoding:
    with torch.no_grad():
        return model.encode(images, images)


def ask(model: RoseModel, encoding: ImageEncoding, ids: list[int], **more: Tensor):
    text = torch.tensor([ids] * len(encoding.patches))
    with torch.no_grad():
        return model.perceive(encoding, text, torch.ones_like(text, dtype=torch.bool), **more)


def test_encoding_holds_what_is_computed_once(model: RoseModel, encoding: ImageEncoding) -> None:
    assert encoding.patches.shape == (2, PATCHES, 24)
    assert encoding.embedding.shape == (2, 16, 6, 6)
    assert len(encoding.prefix) == 2
    assert encoding.prefix[0][0].shape == (2, 2, PATCHES, 12)


def test_every_super_patch_gets_three_answers(model: RoseModel, encoding: ImageEncoding) -> None:
    seen = ask(model, encoding, [10, 11, 12])
    assert seen.objectness.shape == (2, SUPER_PATCHES)
    assert seen.mask_embeddings.shape == (2, SUPER_PATCHES, 16)
    assert seen.category_embeddings.shape == (2, SUPER_PATCHES, 24)


def test_perception_depends_on_the_instruction(model: RoseModel, encoding: ImageEncoding) -> None:
    first, other = ask(model, encoding, [10, 11]), ask(model, encoding, [10, 99])
    assert not torch.allclose(first.objectness, other.objectness)


def test_padding_changes_nothing(model: RoseModel, encoding: ImageEncoding) -> None:
    plain = ask(model, encoding, [10, 11])
    padded = torch.tensor([[10, 11, 0, 0]] * 2)
    with torch.no_grad():
        same = model.perceive(encoding, padded, padded != 0)
    torch.testing.assert_close(same.objectness, plain.objectness)
    torch.testing.assert_close(same.mask_embeddings, plain.mask_embeddings)


def test_encoded_once_or_twice_is_the_same(model: RoseModel, encoding: ImageEncoding) -> None:
    """Several passes over one encoding leave it as it was."""
    before = ask(model, encoding, [10, 11])
    ask(model, encoding, [50, 51, 52])
    torch.testing.assert_close(ask(model, encoding, [10, 11]).objectness, before.objectness)


def test_repeated_images_keep_their_answers(model: RoseModel, encoding: ImageEncoding) -> None:
    once = ask(model, encoding, [10, 11]).objectness
    twice = ask(model, encoding.repeat(2), [10, 11]).objectness
    torch.testing.assert_close(twice, once.repeat_interleave(2, dim=0))


def test_an_encoding_survives_being_taken_apart(encoding: ImageEncoding) -> None:
    again = ImageEncoding.of(encoding.tensors)
    assert again.tensors == encoding.tensors
    assert again.prefix == encoding.prefix


@pytest.mark.parametrize("bidirectional", [True, False])
def test_placeholders_see_each_other_only_when_the_block_is_open(
    make_config: Callable[..., RoseConfig], bidirectional: bool
) -> None:
    """A change in the last super-patch reaches the first one only backwards through the block."""
    torch.manual_seed(0)
    model = RoseModel(make_config(bidirectional_patches=bidirectional)).eval()
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        encoding = model.encode(images, images)
        share = torch.zeros(1, SUPER_PATCHES)
        share[0, -1] = 1.0
        before = ask(model, encoding, [10], previous_share=torch.zeros_like(share)).objectness
        after = ask(model, encoding, [10], previous_share=share).objectness
    assert (before[0, -1] != after[0, -1]).all()
    assert torch.equal(before[0, 0], after[0, 0]) is not bidirectional


def test_previous_mask_changes_perception_and_decoding(
    model: RoseModel, encoding: ImageEncoding
) -> None:
    seen = ask(model, encoding, [10])
    share = torch.zeros(2, SUPER_PATCHES)
    share[:, 4] = 1.0
    assert not torch.allclose(
        ask(model, encoding, [10], previous_share=share).objectness, seen.objectness
    )
    centres = model.centres[None, :3].expand(2, -1, -1)
    previous = torch.full((2, 1, 24, 24), -10.0)
    previous[:, :, 6:12, 6:12] = 10.0
    with torch.no_grad():
        prompts = seen.mask_embeddings[:, :3]
        plain, _ = model.decode_masks(encoding.embedding, prompts, centres)
        revised, _ = model.decode_masks(encoding.embedding, prompts, centres, previous)
    assert plain.shape == (2, 3, 24, 24)
    assert not torch.allclose(plain, revised)


def test_masks_of_a_batch_equal_masks_one_by_one(model: RoseModel, encoding: ImageEncoding) -> None:
    prompts = ask(model, encoding, [10]).mask_embeddings
    centres = model.centres[None].expand(2, -1, -1)
    with torch.no_grad():
        together, quality = model.decode_masks(encoding.embedding, prompts, centres)
        alone, alone_quality = model.decode_masks(
            encoding.embedding[1:], prompts[1:, 5:6], centres[1:, 5:6]
        )
    torch.testing.assert_close(alone[0, 0], together[1, 5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone_quality[0, 0], quality[1, 5], atol=1e-5, rtol=1e-4)


def test_names_of_a_batch_equal_names_one_by_one(model: RoseModel) -> None:
    torch.manual_seed(2)
    regions = 3.0 * torch.randn(7, 24)
    prompt = torch.tensor([1, 20, 4, 21])
    ids, scores = model.name(regions, prompt, max_tokens=5)
    for index in range(7):
        one, score = model.name(regions[index : index + 1], prompt, max_tokens=5)
        assert torch.equal(one[0], ids[index])
        torch.testing.assert_close(score[0], scores[index], atol=1e-5, rtol=1e-4)
    assert len({tuple(row.tolist()) for row in ids}) > 1, "the region token has no influence"


def test_naming_in_training_and_greedy_decoding_agree(model: RoseModel) -> None:
    """The next token that training scores is the one that greedy decoding takes."""
    regions = torch.randn(3, 24)
    prompt = torch.tensor([1, 20, 4, 21])
    ids, _ = model.name(regions, prompt, max_tokens=3)
    full = torch.cat([prompt.expand(3, -1), ids], dim=1)
    with torch.no_grad():
        logits = model.name_hidden(regions, full, torch.zeros_like(full, dtype=torch.bool))
    assert torch.equal(logits[:, 3].argmax(-1), ids[:, 0])


def test_pool_averages_under_the_mask() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, :2, :2] = 1.0
    masks[0, 1, 6:, 4:] = 1.0
    assert pool(features, masks).flatten().tolist() == [0.0, 14.5]
    assert pool(features, torch.zeros(1, 1, 8, 8)).item() == 0.0


def test_a_window_is_where_the_mask_is() -> None:
    masks = torch.zeros(1, 1, 80, 80)
    masks[..., 20:40, 50:60] = 1.0
    centres, extent = windows(masks)
    torch.testing.assert_close(centres[0, 0], torch.tensor([55 / 80, 30 / 80]))
    assert 10 / 80 < extent.item() < 15 / 80
    seen = sample_image(masks, window_grid(centres, extent, 8)).reshape(8, 8)
    assert seen[3:5, 3:5].min() == 1.0
    assert seen[:, 0].max() < 0.5


@pytest.mark.parametrize("evidence", ["category", "pooled"])
def test_region_evidence_can_be_narrowed(
    make_config: Callable[..., RoseConfig], evidence: str
) -> None:
    torch.manual_seed(0)
    model = RoseModel(make_config(region_evidence=evidence)).eval()
    images, category = torch.randn(1, 3, 48, 48), torch.randn(1, 1, 24)
    masks = torch.ones(1, 1, 24, 24)
    other = torch.zeros_like(masks)
    other[..., :8, :8] = 1.0
    with torch.no_grad():
        encoding = model.encode(images, images)
        base = model.region_tokens(encoding, category, masks)
        moved = model.region_tokens(encoding, category, other)
        renamed = model.region_tokens(encoding, -category, masks)
    assert torch.equal(base, moved) is (evidence == "category")
    assert torch.equal(base, renamed) is (evidence == "pooled")


def test_save_and_load_give_the_same_model(
    model: RoseModel, encoding: ImageEncoding, images: Tensor, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    loaded = RoseModel.from_pretrained(tmp_path).eval()
    assert not list(tmp_path.glob("*.bin"))
    with torch.no_grad():
        again = loaded.encode(images, images)
    torch.testing.assert_close(again.embedding, encoding.embedding)
    first, second = ask(model, encoding, [10, 11]), ask(loaded, again, [10, 11])
    torch.testing.assert_close(second.objectness, first.objectness)


def test_an_uneven_super_patch_is_refused(make_config: Callable[..., RoseConfig]) -> None:
    with pytest.raises(ValueError, match="does not divide"):
        make_config(super_patch_size=4)

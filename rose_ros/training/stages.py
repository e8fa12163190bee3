"""What each stage of training learns: one function from a batch to named losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rose_ros.model.encoding import ImageEncoding
from rose_ros.model.focal import sample_masks
from rose_ros.model.modeling import PatchPerception, RoseModel
from rose_ros.training.losses import mask_loss, naming_loss, objectness_loss, quality_loss
from rose_ros.training.own_errors import own_corrections
from rose_ros.training.roughening import roughen
from rose_ros.training.samples import DECODED, IGNORED

Batch = dict[str, Tensor]
Losses = dict[str, Tensor]

#: Naming weighs more than its value: nouns are what takes longest to learn.
WEIGHTS = {"naming": 3.0}

#: Share of decoded regions named under their own mask, as they will be; the rest under the true.
OWN_MASKS = 0.9

#: Share of regions named without their category embedding, so that the image keeps its say.
CATEGORY_DROPOUT = 0.3

#: Share of answer words whose embedding is blanked, so that the noun is read from the region and
#: not guessed from its colour.
WORD_DROPOUT = 0.4


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its learning rate at the top and the losses it minimises."""

    name: str
    learning_rate: float
    losses: Callable[[RoseModel, Batch], Losses]


@dataclass(frozen=True, slots=True)
class LearnedPass:
    """What a perception pass gave: its losses, and logits (batch, k, side, side) of the masks of
    its first k instances.
    """

    losses: Losses
    perception: PatchPerception
    logits: Tensor


def learn_points(model: RoseModel, batch: Batch) -> Losses:
    """Teach the SAM part alone, on random points inside instances: no language model, cheap."""
    embedding = model.encode_sam(batch["sam_pixel_values"])
    prompts = model.point_prompts(batch["points"].shape[1])
    prompts = prompts.expand(len(embedding), -1, -1)
    logits, quality = model.decode_masks(embedding, prompts, batch["points"])
    losses, _ = _learn_masks(model, batch["pixel_values"], logits, quality, prompts, batch, "dense")
    return losses


def learn_shapes(model: RoseModel, batch: Batch) -> Losses:
    """Teach what shapes are called, under nearly true masks: the focal crops alone, very cheap.

    The words of a name are read straight off the crop's token with the language model's own
    output layer, in any order; the language model does not run.
    """
    focal = model.region_embedding.focal
    assert focal is not None, "this stage needs a model with a focal part"
    tokens = focal(batch["pixel_values"], roughen(batch["dense_masks"]))
    labels = batch["dense_labels"]
    words = (labels >= 0) & (labels != model.config.vlm_config.text_config.eos_token_id)
    words = words & batch["dense_valid"].unsqueeze(-1)
    found = model.vlm.lm_head(tokens).float().log_softmax(-1).gather(-1, labels.clamp(min=0))
    return {"shapes": -(found * words).sum() / words.sum().clamp(min=1)}


def learn_names(model: RoseModel, batch: Batch) -> Losses:
    """Teach names from the image under true masks: no perception pass, SAM as it is, cheap."""
    with torch.no_grad():
        embedding = model.encode_sam(batch["sam_pixel_values"])
    patches = model.encode_patches(batch["pixel_values"])
    category = patches.new_zeros(*batch["dense_patches"].shape, patches.shape[-1])
    encoding = ImageEncoding(patches, (), embedding, batch["pixel_values"])
    regions = model.region_tokens(
        encoding, category, batch["dense_masks"], batch["dense_shape_only"]
    )
    return _naming(model, batch, {"dense": regions})


def learn_perception(model: RoseModel, batch: Batch) -> Losses:
    """Teach "segment everything" and names."""
    encoding = model.encode(batch["pixel_values"], batch["sam_pixel_values"])
    found = _learn_pass(model, encoding, batch, "dense")
    regions = _regions(model, encoding, found, batch, "dense")
    return found.losses | _naming(model, batch, {"dense": regions})


def learn_conversation(model: RoseModel, batch: Batch) -> Losses:
    """Teach finding by description and refinement, and keep perception and names."""
    encoding = model.encode(batch["pixel_values"], batch["sam_pixel_values"])
    losses: Losses = {}
    regions: dict[str, Tensor] = {}
    for kind in ("dense", "find", "refine"):
        found = _learn_pass(model, encoding, batch, kind)
        losses |= found.losses
        regions[kind] = _regions(model, encoding, found, batch, kind)
        if kind == "dense":
            grid = model.config.super_patches_per_side
            batch = batch | own_corrections(batch, found.logits, grid)
    losses |= _learn_pass(model, encoding, batch, "own").losses
    losses["seek_objectness"] = _learn_to_seek(model, encoding, batch)
    return losses | _naming(model, batch, regions)


def start_from_points(model: RoseModel) -> None:
    """Let perception begin where ``points`` ended: every prompt is SAM's own point."""
    head = model.mask_head.out
    with torch.no_grad():
        head.bias.copy_(model.point_embedding[0])
        head.weight.mul_(0.1)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("points", 1e-3, learn_points),
        Stage("shapes", 2e-3, learn_shapes),
        Stage("names", 8e-4, learn_names),
        Stage("perceive", 8e-4, learn_perception),
        Stage("converse", 8e-4, learn_conversation),
    )
}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices, leave vectors and embeddings alone."""
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim < 2 or "embed" in name or name in ("placeholder", "previous")
        (keep if plain else decay).append(parameter)
    return [
        {"params": decay, "weight_decay": weight_decay},
        {"params": keep, "weight_decay": 0.0},
    ]


def _learn_pass(model: RoseModel, encoding: ImageEncoding, batch: Batch, kind: str) -> LearnedPass:
    """Run one perception pass over the images."""
    perception = model.perceive(
        encoding,
        batch[f"{kind}_text"],
        batch[f"{kind}_text_mask"],
        batch.get(f"{kind}_share"),
    )
    patches = batch[f"{kind}_patches"][:, :DECODED]
    prompts = _at(perception.mask_embeddings, patches)
    previous = batch.get(f"{kind}_previous")
    logits, quality = model.decode_masks(
        encoding.embedding, prompts, model.centres[patches], previous
    )
    losses, logits = _learn_masks(
        model, encoding.image, logits, quality, prompts, batch, kind, previous
    )
    losses[f"{kind}_objectness"] = objectness_loss(
        perception.objectness, batch[f"{kind}_heat"], batch[f"{kind}_positive"]
    )
    return LearnedPass(losses, perception, logits)


def _learn_to_seek(model: RoseModel, encoding: ImageEncoding, batch: Batch) -> Tensor:
    """Look for several descriptions in each image; return the loss of the objectness."""
    text, mask = batch["seek_text"], batch["seek_text_mask"]
    found = model.perceive(encoding.repeat(text.shape[1]), text.flatten(0, 1), mask.flatten(0, 1))
    heat, positive = batch["seek_heat"].flatten(0, 1), batch["seek_positive"].flatten(0, 1)
    return objectness_loss(found.objectness, heat, positive)


def _learn_masks(
    model: RoseModel,
    image: Tensor,
    logits: Tensor,
    quality: Tensor,
    prompts: Tensor,
    batch: Batch,
    kind: str,
    previous: Tensor | None = None,
) -> tuple[Losses, Tensor]:
    """Return the losses of decoded masks, and the logits as they would be published."""
    count = logits.shape[1]
    target, valid = batch[f"{kind}_masks"][:, :count], batch[f"{kind}_valid"][:, :count]
    coarse = functional.adaptive_avg_pool2d(target, model.config.mask_size)
    losses = {
        f"{kind}_mask": mask_loss(logits, coarse, valid),
        f"{kind}_quality": quality_loss(quality, logits, coarse, valid),
    }
    if model.sharpener is None:
        return losses, logits
    looks = model.sharpen(image, logits.detach(), prompts, previous)
    for number, sharp in enumerate(looks, start=1):
        here = sample_masks(target, sharp.grid, "zeros")
        losses[f"{kind}_sharp_{number}"] = mask_loss(sharp.crops, here, valid)
        losses[f"{kind}_sharp_quality_{number}"] = quality_loss(
            sharp.quality, sharp.crops, here, valid
        )
    return losses, looks[-1].logits


def _regions(
    model: RoseModel,
    encoding: ImageEncoding,
    found: LearnedPass,
    batch: Batch,
    kind: str,
) -> Tensor:
    """Make region tokens, of those decoded mostly under the decoded mask, else the true one."""
    patches, masks = batch[f"{kind}_patches"], batch[f"{kind}_masks"].clone()
    decoded = found.logits.detach().float().sigmoid()
    own = torch.rand(decoded.shape[:2], device=decoded.device)[..., None, None] < OWN_MASKS
    masks[:, :DECODED] = torch.where(own, decoded, masks[:, :DECODED])
    kept = torch.rand(patches.shape, device=patches.device).unsqueeze(-1) > CATEGORY_DROPOUT
    category = _at(found.perception.category_embeddings, patches) * kept
    return model.region_tokens(encoding, category, masks, batch[f"{kind}_shape_only"])


def _naming(model: RoseModel, batch: Batch, regions: dict[str, Tensor]) -> Losses:
    """Name the regions of all passes in one batch; only the valid ones count."""

    def joined(what: str) -> Tensor:
        return torch.cat([batch[f"{kind}_{what}"] for kind in regions], dim=1).flatten(0, 1)

    tokens = torch.cat(list(regions.values()), dim=1).flatten(0, 1)
    labels = joined("labels").masked_fill(~joined("valid").unsqueeze(-1), IGNORED)
    dropped = (labels >= 0) & (torch.rand(labels.shape, device=labels.device) < WORD_DROPOUT)
    return {"naming": naming_loss(model.name_hidden(tokens, joined("names"), dropped), labels)}


def _at(values: Tensor, patches: Tensor) -> Tensor:
    """Pick (batch, n, width) at super-patches (batch, n) of (batch, super_patches, width)."""
    return values.gather(1, patches.unsqueeze(-1).expand(-1, -1, values.shape[-1]))

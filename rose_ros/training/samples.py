"""Training samples: one augmented image with the passes the network makes over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rose_ros.data.corrections import correct
from rose_ros.data.descriptions import describe
from rose_ros.data.parts import describe_part
from rose_ros.data.views import MIN_AREA, LabelledView, NamedObject
from rose_ros.model.processing import RoseProcessor, previous_inputs
from rose_ros.model.prompts import EVERYTHING, KIND_PROMPT, find_prompt, refine_prompt
from rose_ros.training.own_errors import FAULTS, OWN_ROWS, sentences
from rose_ros.training.scenes import CachedScene, SceneCache
from rose_ros.training.targets import PatchTargets, centre_heat, low_resolution, patch_targets

Array = NDArray[Any]
Sample = dict[str, Array]

#: Instances per pass in training: those of a dense pass, all of which are named, of a description
#: and of a correction. Masks are what costs most, so only the first few of a pass are decoded.
DENSE_REGIONS, FIND_REGIONS, REFINE_REGIONS = 8, 4, 2
DECODED = 6
#: Descriptions per image of which only the objectness is learned: no masks, so they are cheap.
SEEKS = 2
POINTS = 8
NAME_TOKENS = 16
IGNORED = -100
#: Share of regions of which only the kind is asked.
SHAPE_ONLY = 0.5
#: Share of descriptions that are of parts: no segment of a dense pass is one.
PART_SHARE = 0.4
#: Values of noise kept ready.
_NOISE = 1 << 20


@dataclass(frozen=True, slots=True)
class Instance:
    """A mask (height, width) and what it is called, whole and in parts."""

    mask: NDArray[np.bool_]
    name: str
    noun: str = ""
    colour: str = ""


def augment(scene: CachedScene, rng: np.random.Generator) -> tuple[NDArray[np.uint8], LabelledView]:
    """Mirror, zoom and change light and sharpness; hues stay, for they are named."""
    image, ids, parts = scene.image, scene.ids, scene.parts
    size = image.shape[0]
    if rng.random() < 0.5:
        image, ids, parts = image[:, ::-1], ids[:, ::-1], parts[:, ::-1]
    if rng.random() < 0.6:
        side = int(size * rng.uniform(0.6, 1.0))
        x, y = rng.integers(0, size - side + 1, 2)
        window = np.s_[y : y + side, x : x + side]
        image = _resize(image[window], size, cv2.INTER_LINEAR)
        ids = _resize(ids[window], size, cv2.INTER_NEAREST)
        parts = _resize(parts[window], size, cv2.INTER_NEAREST)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.3, 0.9)
        image = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), sigma), np.uint8)
    pixels = _expose(np.ascontiguousarray(image), rng)
    labels = LabelledView(
        np.ascontiguousarray(ids), np.ascontiguousarray(parts), scene.part_names, scene.objects
    )
    return pixels, labels


def _expose(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change gain, white balance and gamma, by a table, and add noise."""
    gain = (rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3) / 255.0).astype(np.float32)
    levels = np.minimum(np.arange(256, dtype=np.float32)[:, None] * gain, 1.0)
    table = 255.0 * levels ** np.float32(rng.uniform(0.85, 1.2))
    noisy = cv2.LUT(image, table[None])
    start = int(rng.integers(_NOISE - image.size))
    noise = _noise()[start : start + image.size].reshape(image.shape)
    cv2.scaleAdd(noise, float(rng.uniform(0, 4)), noisy, noisy)
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


@cache
def _noise() -> NDArray[np.float32]:
    """Return normal noise to cut pieces from: drawing it anew took a third of a sample's time."""
    return np.random.default_rng(0).standard_normal(_NOISE, dtype=np.float32)


def _resize(array: Array, size: int, how: int) -> Array:
    return np.asarray(
        cv2.resize(np.ascontiguousarray(array), (size, size), interpolation=how), array.dtype
    )


class Samples(Dataset[Sample]):
    """Sample ``index`` is a function of (seed, stage, index) alone, so training can resume."""

    def __init__(
        self,
        cache: SceneCache,
        processor: RoseProcessor,
        stage: str,
        length: int,
        seed: int,
        mask_side: int,
    ) -> None:
        """Make ``length`` samples for ``stage``, with target masks of ``mask_side`` a side."""
        self.cache, self.processor = cache, processor
        self.stage, self.length, self.seed = stage, length, seed
        self.mask_side = mask_side

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, sum(self.stage.encode()), index])
        image, view = augment(self.cache.scene(int(rng.integers(len(self.cache)))), rng)
        instances = [
            Instance(view.mask(one.id), one.name, one.noun, one.colour) for one in view.visible
        ]
        sample: Sample = {"image": image}
        if self.stage == "points":
            return sample | self._points(instances, rng)
        dense, chosen = self._pass("dense", EVERYTHING, instances, DENSE_REGIONS, rng)
        sample |= dense
        if self.stage == "converse":
            sample |= self._find(view, rng) | self._refine(view, rng) | self._seek(view, rng)
            sample |= self._own(view, [view.visible[which] for which in chosen], rng)
        return sample

    def _points(self, instances: Sequence[Instance], rng: np.random.Generator) -> Sample:
        side = self.mask_side
        large = [one for one in instances if np.count_nonzero(one.mask) >= MIN_AREA]
        points = np.zeros((POINTS, 2), np.float32)
        masks = np.zeros((POINTS, side, side), np.uint8)
        chosen = rng.permutation(len(large))[:POINTS]
        for row, which in enumerate(chosen):
            mask = large[which].mask
            inside = np.flatnonzero(mask)
            y, x = divmod(int(inside[rng.integers(len(inside))]), mask.shape[1])
            points[row] = (x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]
            masks[row] = low_resolution(mask, side)
        valid = np.arange(POINTS) < len(chosen)
        return {"points": points, "dense_masks": masks, "dense_valid": valid}

    def _find(self, view: LabelledView, rng: np.random.Generator) -> Sample:
        text, instances = _described(view, rng)
        return self._pass("find", find_prompt(text), instances, FIND_REGIONS, rng)[0]

    def _seek(self, view: LabelledView, rng: np.random.Generator) -> Sample:
        """Make targets of objectness alone for some more descriptions."""
        passes = []
        for _ in range(SEEKS):
            text, instances = _described(view, rng)
            masks = [one.mask for one in instances]
            targets = patch_targets(masks, self.processor.config.grid, MIN_AREA)
            ids, mask = self._instruction(find_prompt(text))
            passes.append((targets.heat, targets.positive, ids, mask))
        keys = ("seek_heat", "seek_positive", "seek_text", "seek_text_mask")
        stacked = [np.stack(one) for one in zip(*passes, strict=True)]
        return dict(zip(keys, stacked, strict=True))

    def _refine(self, view: LabelledView, rng: np.random.Generator) -> Sample:
        correction = correct(view, rng)
        if correction is None:  # nothing in view to correct: look for something from nothing
            text, instances = _described(view, rng)
            label, previous = "", np.zeros(view.shape, bool)
        else:
            label, text, previous = correction.label, correction.text, correction.previous_mask
            instances = [
                Instance(mask, name)
                for mask, name in zip(correction.target_masks, correction.target_names, strict=True)
            ]
        sample, _ = self._pass("refine", refine_prompt(label, text), instances, REFINE_REGIONS, rng)
        config = self.processor.config
        share = low_resolution(previous, config.mask_size) / np.float32(255)
        shares, logits = previous_inputs(share[None], config.grid)
        return sample | {"refine_share": shares[0], "refine_previous": logits[0]}

    def _pass(
        self,
        kind: str,
        text: str,
        instances: Sequence[Instance],
        regions: int,
        rng: np.random.Generator,
    ) -> tuple[Sample, list[int]]:
        """Make the targets of one perception pass and of the names of what it finds.

        Returns them, and which instances were chosen.
        """
        config = self.processor.config
        targets = patch_targets([one.mask for one in instances], config.grid, MIN_AREA)
        homes = np.flatnonzero(targets.home >= 0)
        chosen = rng.permutation(homes)[:regions]
        patches = np.zeros(regions, np.int64)
        masks = np.zeros((regions, self.mask_side, self.mask_side), np.uint8)
        names = np.zeros((regions, NAME_TOKENS), np.int64)
        labels = np.full((regions, NAME_TOKENS), IGNORED, np.int64)
        shape_only = np.zeros(regions, bool)
        names[:, 0] = self.processor.token("<region>")
        for row, which in enumerate(chosen):
            patches[row] = _near_home(targets, int(which), rng)
            masks[row] = low_resolution(instances[which].mask, self.mask_side)
            names[row], labels[row], shape_only[row] = self._naming(instances[which], rng)
        ids, mask = self._instruction(text)
        return {
            f"{kind}_heat": targets.heat,
            f"{kind}_positive": targets.positive,
            f"{kind}_patches": patches,
            f"{kind}_masks": masks,
            f"{kind}_valid": np.arange(regions) < len(chosen),
            f"{kind}_names": names,
            f"{kind}_labels": labels,
            f"{kind}_shape_only": shape_only,
            f"{kind}_text": ids,
            f"{kind}_text_mask": mask,
        }, chosen.tolist()

    def _own(
        self, view: LabelledView, targets: Sequence[NamedObject], rng: np.random.Generator
    ) -> Sample:
        """Say what may be wrong with the model's own masks of the first few targets."""
        grid = self.processor.config.grid
        heat = np.zeros((OWN_ROWS, grid * grid), np.float32)
        ids = np.zeros((OWN_ROWS, len(FAULTS), TEXT_TOKENS), np.int64)
        mask = np.zeros(ids.shape, bool)
        for row, target in enumerate(targets[:OWN_ROWS]):
            heat[row] = centre_heat(view.mask(target.id), grid)
            for fault, text in enumerate(sentences(view, target, rng)):
                prompt = refine_prompt(target.name, text)
                ids[row, fault], mask[row, fault] = self._instruction(prompt)
        return {"own_heats": heat, "own_texts": ids, "own_texts_mask": mask}

    def _instruction(self, text: str) -> tuple[Array, Array]:
        """Tokenise and pad: int64 (TEXT_TOKENS,), and which of them are there."""
        ids = self.processor.encode_text(text)[0][:TEXT_TOKENS]
        padded = np.zeros(TEXT_TOKENS, np.int64)
        padded[: len(ids)] = ids
        return padded, np.arange(TEXT_TOKENS) < len(ids)

    def _naming(self, instance: Instance, rng: np.random.Generator) -> tuple[Array, Array, bool]:
        """Tokenise one question and its answer; only the answer is learned.

        What kind of thing a region is must be told from its shape alone, so that no noun can
        depend on the colour it was seen with.
        """
        question, answer = self.processor.config.name_prompt, instance.name
        kind = rng.random()
        shape_only = bool(instance.noun) and (self.stage == "shapes" or kind < SHAPE_ONLY)
        if shape_only:
            question, answer = KIND_PROMPT, instance.noun
        elif instance.colour and kind > 0.9:
            question, answer = "<bos>What colour is <region>?", instance.colour
        encode = self.processor.encode_text
        asked = encode(question)[0]
        answered = np.append(encode(" " + answer)[0], self.processor.token("<eos>"))
        ids = np.concatenate([asked, answered])[:NAME_TOKENS]
        tokens = np.zeros(NAME_TOKENS, np.int64)
        labels = np.full(NAME_TOKENS, IGNORED, np.int64)
        tokens[: len(ids)] = ids
        labels[len(asked) : len(ids)] = ids[len(asked) :]
        return tokens, labels, shape_only


def _described(view: LabelledView, rng: np.random.Generator) -> tuple[str, list[Instance]]:
    """Describe something at random and return the instances that are meant."""
    part = describe_part(view, rng) if rng.random() < PART_SHARE else None
    if part is not None:
        named = zip(part.masks, part.names, strict=True)
        return part.text, [Instance(mask, name) for mask, name in named]
    description = describe(view, rng)
    meant = [one for one in view.visible if one.id in description.ids]
    return description.text, [
        Instance(view.mask(one.id), one.name, one.noun, one.colour) for one in meant
    ]


#: Instructions in training are cut here; none of the generators writes longer ones.
TEXT_TOKENS = 32


def _near_home(targets: PatchTargets, which: int, rng: np.random.Generator) -> int:
    """Choose the instance's own super-patch, or at times a central neighbour of it."""
    home = int(targets.home[which])
    if rng.random() < 0.7:
        return home
    own = targets.own_heat[which]
    rivals = np.delete(targets.own_heat, which, axis=0).max(axis=0, initial=0.0)
    near = np.flatnonzero((own > 0.6) & (own >= rivals))
    return int(rng.choice(near)) if len(near) else home


def to_tensors(samples: Sequence[Sample], *, cut: bool = True) -> dict[str, torch.Tensor]:
    """Stack samples; texts are cut to the longest of the batch, unless all are to be alike."""
    batch = {key: torch.from_numpy(np.stack([one[key] for one in samples])) for key in samples[0]}
    if not cut:
        return batch
    for key in [key for key in batch if f"{key}_mask" in batch]:
        longest = int(batch[f"{key}_mask"].sum(-1).max())
        batch[key] = batch[key][..., :longest]
        batch[f"{key}_mask"] = batch[f"{key}_mask"][..., :longest]
    answers = [key for key in batch if key.endswith("_labels")]
    ends = [(batch[key] != IGNORED).flatten(0, 1).any(0).nonzero() for key in answers]
    longest = max((int(one.max()) + 1 for one in ends if len(one)), default=1)
    for key in answers:
        names = key.removesuffix("labels") + "names"
        batch[key], batch[names] = batch[key][..., :longest], batch[names][..., :longest]
    return batch

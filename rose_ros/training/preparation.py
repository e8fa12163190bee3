"""The processor of a new model, with a tokenizer of the words it will meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rose_ros.data.corrections import correct
from rose_ros.data.descriptions import describe
from rose_ros.data.parts import describe_part
from rose_ros.model.configuration import RoseConfig
from rose_ros.model.processing import ProcessorConfig, RoseProcessor
from rose_ros.model.prompts import EVERYTHING, find_prompt, refine_prompt
from rose_ros.model.tokenizer import train_tokenizer
from rose_ros.training.scenes import SceneCache


def make_processor(config: RoseConfig, cache: SceneCache, seed: int) -> RoseProcessor:
    """Make the processor that belongs to a configuration, with a tokenizer of the world's words."""
    vlm, sam = config.vlm_config, config.sam_config
    tokenizer = train_tokenizer(_corpus(cache, seed), vlm.text_config.vocab_size)
    settings = ProcessorConfig(
        image_size=vlm.vision_config.image_size,
        sam_image_size=sam.vision_config.image_size,
        mask_size=config.mask_size,
        grid=config.super_patches_per_side,
    )
    return RoseProcessor(settings, tokenizer)


def _corpus(cache: SceneCache, seed: int) -> Iterator[str]:
    """Yield instructions and names as training will see them."""
    rng = np.random.default_rng([seed, 1])
    yield from [EVERYTHING, "What is ?", "What colour is ?", "What kind of thing is ?"]
    for index in rng.integers(len(cache), size=2000):
        _, view = cache[int(index)]
        yield from (f" {one.name}" for one in view.objects)
        yield find_prompt(describe(view, rng).text)
        part = describe_part(view, rng)
        if part is not None:
            yield find_prompt(part.text)
        correction = correct(view, rng)
        if correction is not None:
            yield refine_prompt(correction.label, correction.text)

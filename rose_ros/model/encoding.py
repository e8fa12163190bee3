"""What the model computes once per image, and keeps while a planner may still ask about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

KeyValues = tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class ImageEncoding:
    """What is computed once per image.

    patches: (batch, patches, llm_width), the projected patches of the vision tower.
    prefix: per layer of the language model its keys and values (batch, heads, patches, head_dim).
    embedding: (batch, prompt_width, grid, grid), SAM's image embedding.
    image: (batch, 3, size, size), the normalised image itself, for a closer look.
    """

    patches: Tensor
    prefix: KeyValues
    embedding: Tensor
    image: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in an order that ``of`` understands."""
        layers = [one for layer in self.prefix for one in layer]
        return (self.patches, self.embedding, self.image, *layers)

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> ImageEncoding:
        """Put ``tensors`` together again."""
        patches, embedding, image, *layers = tensors
        return cls(patches, tuple(zip(layers[::2], layers[1::2], strict=True)), embedding, image)

    def repeat(self, times: int) -> ImageEncoding:
        """Repeat each image, for as many passes over it."""

        def repeated(values: Tensor) -> Tensor:
            return values.repeat_interleave(times, dim=0)

        return ImageEncoding(
            repeated(self.patches),
            tuple((repeated(keys), repeated(values)) for keys, values in self.prefix),
            repeated(self.embedding),
            repeated(self.image),
        )

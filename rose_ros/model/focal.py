"""A closer look at single regions: crops of the image around a mask, read by small convolutions.

The towers see the whole image in coarse patches, in which a small thing is one or two tokens. A
crop shows every region at its own scale, as in the focal prompt of Describe Anything (Lian et al.,
arXiv 2504.16072); the mask is corrected in it as in CascadePSP (Cheng et al., arXiv 2005.02551).
Neither is part of what is published of ROSE.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Pixels a side of the crops: of the one that a mask is corrected in, of the one that is named.
SHARPEN_SIDE, FOCAL_SIDE = 48, 48
#: Half sides of the crops, in half sides of ``windows``; and the least, in sides of the image.
SHARPEN_MARGIN, FOCAL_MARGIN, LEAST_HALF = 1.4, 1.15, 0.05
#: How often each mask is corrected: the first time its window is still that of the coarse mask.
CLOSER_LOOKS = 2
#: Coarse logits are told from each other up to here; they only say where to look.
_LIMIT = 8.0


@dataclass(frozen=True)
class SharpMasks:
    """Masks corrected in their crops.

    crops: (batch, n, SHARPEN_SIDE, SHARPEN_SIDE), logits within each window.
    grid: (batch, n, SHARPEN_SIDE, SHARPEN_SIDE, 2), where those are in the image, in [-1, 1].
    logits: (batch, n, side, side) over the whole image, twice as fine as what was given.
    quality: (batch, n), predicted IoU.
    """

    crops: Tensor
    grid: Tensor
    logits: Tensor
    quality: Tensor


class MaskSharpener(nn.Module):
    """Correct coarse masks in a crop of the image around each."""

    def __init__(self, prompt_width: int) -> None:
        super().__init__()
        self.fine = _block(6, 16, 1)
        self.middle = _block(16, 32, 2)
        self.coarse = _block(32, 64, 2)
        self.prompt = nn.Linear(prompt_width, 64)
        self.deep = nn.Sequential(_block(64, 64, 1), _block(64, 64, 1))
        self.to_middle, self.up_middle = nn.Conv2d(64, 32, 1), _block(32, 32, 1)
        self.to_fine, self.up_fine = nn.Conv2d(32, 16, 1), _block(16, 16, 1)
        self.out = nn.Conv2d(16, 1, 1)
        self.quality = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(
        self, image: Tensor, logits: Tensor, prompts: Tensor, previous: Tensor
    ) -> SharpMasks:
        """Correct masks (batch, n, side, side), given as logits over the whole image.

        image: (batch, 3, height, width), normalised; prompts: (batch, n, prompt_width), what the
        masks were decoded from, which knows whether a part or the whole is meant; previous:
        (batch, 1, side, side), logits of the mask that is revised, zeros when there is none.
        """
        batch, count = logits.shape[:2]
        centres, half = windows((4.0 * logits.float()).sigmoid())
        half = (SHARPEN_MARGIN * half).clamp(min=LEAST_HALF)
        grid = window_grid(centres, half, SHARPEN_SIDE)
        seen = sample_image(image, grid).flatten(0, 1)
        coarse = _cut(logits, centres, half, SHARPEN_SIDE, "border")
        coarse = coarse.clamp(-_LIMIT, _LIMIT).flatten(0, 1)
        revised = _cut(previous, centres, half, SHARPEN_SIDE, "zeros").flatten(0, 1)
        given = torch.stack([coarse.sigmoid() * 2 - 1, coarse / 4, revised.tanh()], dim=1)
        fine = self.fine(torch.cat([seen, given], dim=1))
        middle = self.middle(fine)
        deep = self.coarse(middle) + self.prompt(prompts).flatten(0, 1)[..., None, None]
        deep = deep + self.deep(deep)
        middle = self.up_middle(middle + _double(self.to_middle(deep)))
        fine = self.up_fine(fine + _double(self.to_fine(middle)))
        change = self.out(fine).float().unflatten(0, (batch, count)).squeeze(2)
        pasted = _paste(change, centres, half, 2 * logits.shape[-1])
        return SharpMasks(
            change + coarse.unflatten(0, (batch, count)),
            grid,
            _double(logits.float().clamp(-_LIMIT, _LIMIT)) + pasted,
            self.quality(deep.mean((2, 3))).float().sigmoid().view(batch, count),
        )


class FocalEncoder(nn.Module):
    """Read the shape of regions from grey crops: colours are left to the rest of the evidence.

    Without colour there is no pair of colour and noun that this part could have learned by heart.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            _block(3, 32, 2),
            _block(32, 64, 2),
            _block(64, 64, 1),
            _block(64, 128, 2),
            _block(128, 128, 1),
            _block(128, 128, 2),
            nn.Flatten(),
        )
        self.out = nn.Linear(128 * (FOCAL_SIDE // 16) ** 2, width)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """(batch, 3, height, width) and masks (batch, n, any, any) in [0, 1] -> (batch, n, width).

        Brightness and contrast under each mask are made the same for all.
        """
        centres, half = windows(masks)
        half = (FOCAL_MARGIN * half).clamp(min=LEAST_HALF / 2)
        grid = window_grid(centres, half, FOCAL_SIDE)
        grey = sample_image(image.float().mean(1, keepdim=True), grid).squeeze(2)
        inside = sample_masks(masks, grid, "zeros")
        total = inside.sum((2, 3), keepdim=True).clamp(min=1.0)
        grey = grey - (grey * inside).sum((2, 3), keepdim=True) / total
        spread = ((grey**2 * inside).sum((2, 3), keepdim=True) / total).sqrt()
        grey = (grey / (spread + 0.1)).clamp(-3.0, 3.0)
        crops = torch.stack([grey, grey * inside, 2 * inside - 1], dim=2)
        return self.out(self.trunk(crops.flatten(0, 1))).unflatten(0, masks.shape[:2])


def windows(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each mask is: centres (batch, n, 2) and half sides (batch, n, 1) in [0, 1].

    From the moments of the mask (batch, n, height, width), so that no box has to be searched for;
    the square window holds two standard deviations of the longer axis on either side.
    """
    total = masks.sum((-2, -1)).clamp(min=1e-4)
    means, variances = [], []
    for axis in (-1, -2):
        profile = masks.sum(-2 if axis == -1 else -1) / total.unsqueeze(-1)
        length = profile.shape[-1]
        places = (torch.arange(length, device=masks.device, dtype=masks.dtype) + 0.5) / length
        mean = (profile * places).sum(-1)
        means.append(mean)
        variances.append((profile * places**2).sum(-1) - mean**2)
    spread = torch.stack(variances, dim=-1).amax(-1, keepdim=True).clamp(min=1e-6).sqrt()
    return torch.stack(means, dim=-1), 2.0 * spread + 0.01


def window_grid(centres: Tensor, half: Tensor, side: int) -> Tensor:
    """Return the sampling points (batch, n, side, side, 2) of windows, in [-1, 1]."""
    steps = (torch.arange(side, device=centres.device, dtype=torch.float32) + 0.5) / side
    y, x = torch.meshgrid(2 * steps - 1, 2 * steps - 1, indexing="ij")
    offsets = torch.stack([x, y], dim=-1)
    centre, reach = centres.float()[..., None, None, :], half.float()[..., None, None, :]
    return 2 * (centre + reach * offsets) - 1


def sample_image(image: Tensor, grid: Tensor) -> Tensor:
    """Sample (batch, channels, height, width) in windows: (batch, n, channels, side, side)."""
    seen = functional.grid_sample(
        image.float(), grid.flatten(1, 2), padding_mode="border", align_corners=False
    )
    return seen.unflatten(2, grid.shape[1:3]).transpose(1, 2)


def sample_masks(masks: Tensor, grid: Tensor, outside: str) -> Tensor:
    """Sample each mask (batch, n, height, width) in its own window: (batch, n, side, side).

    outside: what is beyond the image, "zeros" or as at its "border".
    """
    seen = functional.grid_sample(
        masks.float().flatten(0, 1).unsqueeze(1),
        grid.flatten(0, 1),
        padding_mode=outside,
        align_corners=False,
    )
    return seen.squeeze(1).unflatten(0, masks.shape[:2])


def _cut(masks: Tensor, centres: Tensor, half: Tensor, size: int, outside: str) -> Tensor:
    """Sample masks (batch, n or 1, side, side) in windows: (batch, n, size, size).

    The same as ``sample_masks`` at their ``window_grid``: a window is upright, so rows and columns
    are interpolated one after the other, as products of matrices.
    """
    side = masks.shape[-1]
    steps = (torch.arange(size, device=masks.device, dtype=torch.float32) + 0.5) / size
    # (batch, n, 2, size): where each column or row of the crop is in the mask, in its cells.
    places = centres.float().unsqueeze(-1) + half.float().unsqueeze(-1) * (2 * steps - 1)
    places = places * side - 0.5
    if outside == "border":
        places = places.clamp(0, side - 1)
    columns, rows = _bilinear(places, side).unbind(2)
    return rows @ masks.float() @ columns.transpose(-2, -1)


def _bilinear(places: Tensor, count: int) -> Tensor:
    """Return what each of ``count`` cells counts at places (..., n), in cells: (..., n, count)."""
    cells = torch.arange(count, device=places.device, dtype=torch.float32)
    # A cell counts for what is less than one cell away.
    return (1 - (places.unsqueeze(-1) - cells).abs()).clamp(min=0)


def _paste(crops: Tensor, centres: Tensor, half: Tensor, side: int) -> Tensor:
    """Put crops (batch, n, s, s) back into the image (batch, n, side, side), zero elsewhere."""
    size = crops.shape[-1]
    places = (torch.arange(side, device=crops.device, dtype=torch.float32) + 0.5) / side
    # (batch, n, 2, side): where each row or column of the image is in the crop, in its pixels.
    inside = (places - centres.float().unsqueeze(-1)) / half.float().unsqueeze(-1)
    inside = (inside + 1) * (size / 2) - 0.5
    columns, rows = _bilinear(inside, size).unbind(2)
    return rows @ crops @ columns.transpose(-2, -1)


def _double(maps: Tensor) -> Tensor:
    return functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.GELU()
    )

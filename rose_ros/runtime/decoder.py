"""SAM's mask decoder rearranged for many prompts on one image; the same numbers in less time.

Every prompt has a handful of tokens and meets the whole image embedding. transformers projects the
image to keys, values and queries for each prompt; here the few tokens are projected to the image's
space instead, which is the same product in another order. The upscaling convolutions do not
overlap, so they are matrix products with the channels last, and only the mask that is returned is
computed. Weights are read from the stock modules; nothing is trained in this form.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, cat, nn


def decode(
    decoder: Any, embedding: Tensor, grid: Tensor, prompts: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Decode the first mask of each prompt.

    decoder: a ``SamMaskDecoder``; embedding, grid and dense: (1, width, side, side), the image,
    its positions and SAM's mask prompt; prompts: (n, width).
    Returns logits (1, n, 4 side, 4 side) and predicted IoU (1, n).
    """
    count, side = prompts.shape[0], embedding.shape[-1]
    own = cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    points = cat([own.expand(count, -1, -1), prompts[:, None]], dim=1)
    image = (embedding + dense).flatten(2).transpose(1, 2)
    places = grid.flatten(2).transpose(1, 2)

    tokens = points
    for layer in decoder.transformer.layers:
        tokens, image = _block(layer, tokens, image, points, places)
    last = decoder.transformer.final_attn_token_to_image
    read = _read_image(last, tokens + points, image + places, image)
    tokens = decoder.transformer.layer_norm_final_attn(tokens + read)

    upscaled = decoder.activation(
        nn.functional.layer_norm(
            _upscale(decoder.upscale_conv1, image),
            decoder.upscale_layer_norm.normalized_shape,
            decoder.upscale_layer_norm.weight,
            decoder.upscale_layer_norm.bias,
            decoder.upscale_layer_norm.eps,
        )
    )
    upscaled = decoder.activation(_upscale(decoder.upscale_conv2, upscaled.flatten(1, 2)))
    weights = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    logits = upscaled.flatten(1, 2) @ weights[:, :, None]
    # Cells of the embedding, then of the first and of the second upscaling: each (y, x).
    cells = logits.reshape(count, side, side, 2, 2, 2, 2)
    masks = cells.permute(0, 1, 3, 5, 2, 4, 6).reshape(1, count, 4 * side, 4 * side)
    return masks, decoder.iou_prediction_head(tokens[:, 0])[None, :, 0]


def _block(
    layer: Any, tokens: Tensor, image: Tensor, points: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Run one two-way block: tokens (n, tokens, width), image (1 or n, cells, width)."""
    own, query = layer.self_attn, tokens + points
    if layer.skip_first_layer_pe:
        tokens = own(query=tokens[None], key=tokens[None], value=tokens[None])[0][0]
    else:
        tokens = tokens + own(query=query[None], key=query[None], value=tokens[None])[0][0]
    tokens = layer.layer_norm1(tokens)
    placed = image + places
    read = _read_image(layer.cross_attn_token_to_image, tokens + points, placed, image)
    tokens = layer.layer_norm2(tokens + read)
    tokens = layer.layer_norm3(tokens + layer.mlp(tokens))
    written = _read_tokens(layer.cross_attn_image_to_token, placed, tokens + points, tokens)
    return tokens, layer.layer_norm4(image + written)


def _read_image(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Let tokens (n, tokens, width) attend to the image (1 or n, cells, width).

    A bias of the keys adds the same to all scores of a token, which a softmax does not see; one
    of the values comes through as it is, because the weights add up to 1.
    """
    heads = attention.num_attention_heads
    asked = _heads(attention.q_proj(query), heads) * attention.scaling
    asked = asked @ _per_head(attention.k_proj, heads)
    seen = asked.flatten(1, 2) @ key.transpose(1, 2)
    found = seen.softmax(-1) @ value
    found = found.unflatten(1, (heads, query.shape[1]))
    found = found @ _per_head(attention.v_proj, heads).transpose(1, 2)
    joined = found.transpose(1, 2).flatten(2) + attention.v_proj.bias
    out: Tensor = attention.out_proj(joined)
    return out


def _read_tokens(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Let the image (1 or n, cells, width) attend to tokens (n, tokens, width)."""
    heads, tokens = attention.num_attention_heads, key.shape[1]
    keys = _heads(attention.k_proj(key), heads) * attention.scaling
    bias = keys @ attention.q_proj.bias.view(heads, -1, 1)
    keys = (keys @ _per_head(attention.q_proj, heads)).flatten(1, 2)
    seen = query @ keys.transpose(1, 2) + bias.flatten(1)[:, None]
    weights = seen.unflatten(2, (heads, tokens)).softmax(-1).flatten(2)
    out = attention.out_proj.weight.view(-1, heads, _head_width(attention)).permute(1, 2, 0)
    values = (_heads(attention.v_proj(value), heads) @ out).flatten(1, 2)
    return weights @ values + attention.out_proj.bias


def _head_width(attention: Any) -> int:
    """Return the width of one head."""
    return int(attention.internal_dim // attention.num_attention_heads)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """(n, tokens, heads * width) -> (n, heads, tokens, width)."""
    return tokens.unflatten(2, (heads, tokens.shape[2] // heads)).transpose(1, 2)


def _per_head(linear: nn.Linear, heads: int) -> Tensor:
    """Return the weights of a projection as (heads, head_width, width)."""
    return linear.weight.view(heads, -1, linear.in_features)


def _upscale(convolution: nn.ConvTranspose2d, cells: Tensor) -> Tensor:
    """Split each cell (n, cells, width) into its 2 x 2: (n, cells, 4, smaller width)."""
    weights = convolution.weight.permute(0, 2, 3, 1)
    assert convolution.bias is not None
    # The bias is added to long rows: short ones take a processor twenty times as long.
    split = cells @ weights.flatten(1) + convolution.bias.repeat(4)
    return split.unflatten(2, (4, convolution.out_channels))

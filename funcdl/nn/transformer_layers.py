"""Transformer encoder and decoder layers: attention, then a feedforward network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from funcdl.nn.attention import multihead_attention
from funcdl.nn.children import child_keys
from funcdl.nn.dropout_layers import dropout as dropout_layer
from funcdl.nn.initializers import Initializer
from funcdl.nn.initializers.layer_parameters import norm_weight_and_bias, weight_and_bias
from funcdl.nn.layer import Buffers, Layer, Params
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.normalization import normalize_last
from funcdl.nn.validation import check_numbers, check_sizes, entry
from funcdl.tree import Tree

Activation = Literal["relu", "gelu"] | Callable[[Tensor], Tensor]
Attend = Callable[[str, Tensor, Tensor | None], Tensor]

ENCODER_INPUTS = ("src", "src_mask", "src_key_padding_mask")
DECODER_INPUTS = ("tgt", "memory", "tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask")


def transformer_encoder_layer(
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: float = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    *,
    is_causal: bool = False,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Self-attention, then a feedforward network at each position, both with a residual connection and layer norm.

    `x = norm1(x + attention(x))`, then `y = norm2(x + linear2(activation(linear1(x))))`; with `norm_first`
    `x = x + attention(norm1(x))`, then `y = x + linear2(activation(linear1(norm2(x))))`.

    Args:
        nhead: the number of heads; divides E, the size of a position.
        dim_feedforward: the hidden size of the feedforward network.
        dropout: the probability of a zero in training: in the attention weights, after the activation, and in both
            residual branches.
        activation: "relu", "gelu" or a function of a tensor.
        layer_norm_eps: added to the variance.
        batch_first: whether sequences are (batch, time, E) instead of (time, batch, E).
        norm_first: whether to normalize the inputs of attention and feedforward network instead of the sums.
        bias: whether the linear layers and normalizations have a bias.
        is_causal: whether each position attends only to itself and earlier ones, in addition to the masks.
        weight_init: draws the weights; as in `multihead_attention` and `linear` by default.
        bias_init: draws the biases; likewise.

    Inputs, as a tensor, a tuple or a dict: `src` (time, batch, E) or (time, E); `src_mask` (time, time) or (batch *
    nhead, time, time), True where masked, or floating and added to the scores; `src_key_padding_mask` (batch, time)
    likewise. Output as `src`.

    Raises:
        ValueError: an argument is impossible; raised by `init` and `apply` if E is not divisible by `nhead` or a shape
            is wrong, or the dropout has no key.
        TypeError: raised by `apply` if the input has another dtype than the parameters.

    Source: Vaswani et al., "Attention is all you need", 2017. Equals `torch.nn.TransformerEncoderLayer`, whose
    `is_causal` in `forward` also needs the mask.

    >>> import torch
    >>> from funcdl import random
    >>> layer = transformer_encoder_layer(2, 16, batch_first=True, is_causal=True)
    >>> params, buffers = layer.init(random.key(0), torch.empty(5, 7, 4, device="meta"))
    >>> layer(params, torch.ones(5, 7, 4), key=random.key(1), train=True).shape
    torch.Size([5, 7, 4])
    """
    name = f"transformer_encoder_layer({nhead})"
    attention = _attention(nhead, dropout, bias, batch_first, is_causal, weight_init, bias_init)
    init_block, apply_block = _block(
        name, {"self_attn": attention}, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias,
        weight_init, bias_init,
    )  # fmt: skip

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        return init_block(key, [named_inputs(name, x, ENCODER_INPUTS)["src"]]), {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, Buffers]:
        inputs = named_inputs(name, x, ENCODER_INPUTS)
        masks = _masks(inputs, "src")

        def attend(branch: str, x: Tensor, key: Tensor | None) -> Tensor:
            return attention.apply(entry(name, params, branch), {}, {"query": x, **masks}, key=key, train=train)[0]

        return apply_block(params, inputs["src"], attend, key, train), buffers

    return Layer(init, apply)


def transformer_decoder_layer(
    nhead: int,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    layer_norm_eps: float = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    *,
    tgt_is_causal: bool = False,
    memory_is_causal: bool = False,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Like `transformer_encoder_layer`, with cross-attention to a memory between self-attention and feedforward.

    Args:
        nhead: the number of heads of both attentions. The other arguments are as in `transformer_encoder_layer`.
        dim_feedforward: likewise.
        dropout: likewise.
        activation: likewise.
        layer_norm_eps: likewise.
        batch_first: likewise.
        norm_first: likewise.
        bias: likewise.
        tgt_is_causal: whether each position of the target attends only to itself and earlier ones.
        memory_is_causal: whether position i of the target attends only to positions 0 to i of the memory.
        weight_init: as in `transformer_encoder_layer`.
        bias_init: likewise.

    Inputs, as a tuple or a dict: `tgt` (time, batch, E) or (time, E); `memory` (source, batch, E) or (source, E), an
    encoder's output; `tgt_mask`, `memory_mask`, `tgt_key_padding_mask`, `memory_key_padding_mask`, like those of
    `multihead_attention`. Output as `tgt`.

    Raises:
        ValueError: as in `transformer_encoder_layer`.
        TypeError: likewise.

    Equals `torch.nn.TransformerDecoderLayer`.

    >>> import torch
    >>> from funcdl import random
    >>> layer = transformer_decoder_layer(2, 16, tgt_is_causal=True)
    >>> x = torch.ones(7, 5, 4), torch.ones(9, 5, 4)
    >>> params, buffers = layer.init(random.key(0), x)
    >>> layer(params, x).shape
    torch.Size([7, 5, 4])
    """
    name = f"transformer_decoder_layer({nhead})"
    attentions = {
        branch: _attention(nhead, dropout, bias, batch_first, is_causal, weight_init, bias_init)
        for branch, is_causal in (("self_attn", tgt_is_causal), ("multihead_attn", memory_is_causal))
    }
    init_block, apply_block = _block(
        name, attentions, dim_feedforward, dropout, activation, layer_norm_eps, norm_first, bias, weight_init, bias_init
    )

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        inputs = named_inputs(name, x, DECODER_INPUTS, required=2)
        return init_block(key, [inputs["tgt"], (inputs["tgt"], inputs["memory"])]), {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, Buffers]:
        inputs = named_inputs(name, x, DECODER_INPUTS, required=2)
        others = {
            "self_attn": _masks(inputs, "tgt"),
            "multihead_attn": {"key": inputs["memory"], **_masks(inputs, "memory")},
        }

        def attend(branch: str, x: Tensor, key: Tensor | None) -> Tensor:
            return attentions[branch].apply(
                entry(name, params, branch), {}, {"query": x, **others[branch]}, key=key, train=train
            )[0]

        return apply_block(params, inputs["tgt"], attend, key, train), buffers

    return Layer(init, apply)


def _attention(
    nhead: int,
    dropout: float,
    bias: bool,
    batch_first: bool,
    is_causal: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Layer:
    return multihead_attention(
        nhead, dropout, bias, batch_first=batch_first, need_weights=False, is_causal=is_causal,
        weight_init=weight_init, bias_init=bias_init,
    )  # fmt: skip


def _masks(inputs: dict[str, Tree], which: str) -> dict[str, Tree]:
    """The masks of `src`, `tgt` or `memory`, by their names in `multihead_attention`."""
    names = {"attn_mask": f"{which}_mask", "key_padding_mask": f"{which}_key_padding_mask"}
    return {name: inputs[given] for name, given in names.items() if given in inputs}


def _block(
    name: str,
    attentions: dict[str, Layer],
    dim_feedforward: int,
    dropout: float,
    activation: Activation,
    eps: float,
    norm_first: bool,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> tuple[
    Callable[[Tensor, Sequence[Tree]], Params],
    Callable[[Params, Tensor, Attend, Tensor | None, bool], Tensor],
]:
    """Returns `init` and `apply` of attention branches in sequence, then a feedforward network.

    Each branch i has a residual connection and a layer norm with the parameters `norm<i>`.
    """
    if isinstance(activation, str) and activation not in ("relu", "gelu"):
        raise ValueError(f"{name}: expected activation relu, gelu or a function, got {activation!r}")
    check_sizes(name, 1, dim_feedforward=dim_feedforward)
    check_numbers(name, 0, layer_norm_eps=eps)
    activate: Callable[[Tensor], Tensor] = getattr(F, activation) if isinstance(activation, str) else activation
    drop = dropout_layer(dropout)
    branches = [*attentions, "feedforward"]

    def init(key: Tensor, inputs: Sequence[Tree]) -> Params:
        keys = child_keys(key, 2 * len(branches) + 1)
        x = inputs[0]
        params = {
            branch: layer.init(keys.pop(), example)[0]
            for (branch, layer), example in zip(attentions.items(), inputs, strict=True)
        }
        size = x.shape[-1]
        for linear, shape in (("linear1", (dim_feedforward, size)), ("linear2", (size, dim_feedforward))):
            params[linear] = weight_and_bias(
                keys.pop(), shape, x.dtype, bias=bias, weight_init=weight_init, bias_init=bias_init
            )
        for number in range(1, len(branches) + 1):
            params[f"norm{number}"] = norm_weight_and_bias(keys.pop(), (size,), x.dtype, bias=bias)
        return params

    def apply(params: Params, x: Tensor, attend: Attend, key: Tensor | None, train: bool) -> Tensor:
        inner_keys, outer_keys = (child_keys(k, len(branches)) for k in child_keys(key, 2))
        for number, branch in enumerate(branches):
            norm = entry(name, params, f"norm{number + 1}")
            y = normalize(name, x, norm, eps, bias) if norm_first else x
            if branch == "feedforward":
                y = activate(_affine(name, y, entry(name, params, "linear1"), bias))
                y, _ = drop.apply({}, {}, y, key=inner_keys[number], train=train)
                y = _affine(name, y, entry(name, params, "linear2"), bias)
            else:
                y = attend(branch, y, inner_keys[number])
            y, _ = drop.apply({}, {}, y, key=outer_keys[number], train=train)
            x = x + y if norm_first else normalize(name, x + y, norm, eps, bias)
        return x

    return init, apply


def normalize(name: str, x: Tensor, params: Params, eps: float, bias: bool) -> Tensor:
    """Layer normalization over the last dimension."""
    weight, offset = _weight_and_bias(name, params, bias)
    return normalize_last(x, x.shape[-1:], weight, offset, eps)


def _affine(name: str, x: Tensor, params: Params, bias: bool) -> Tensor:
    return F.linear(x, *_weight_and_bias(name, params, bias))


def _weight_and_bias(name: str, params: Params, bias: bool) -> tuple[Tensor, Tensor | None]:
    return entry(name, params, "weight"), entry(name, params, "bias") if bias else None

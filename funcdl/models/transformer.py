"""A transformer that classifies sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from funcdl import nn
from funcdl.nn import Layer
from funcdl.nn.children import Children, apply_child, child_keys, init_child, on_meta
from funcdl.nn.layer import Buffers, Params
from funcdl.tree import Tree

_PADDING = 0


def transformer_classifier(
    vocabulary: int,
    classes: int,
    *,
    d_model: int = 64,
    nhead: int = 4,
    num_layers: int = 2,
    dim_feedforward: int = 128,
    dropout: float = 0.1,
    max_length: int = 512,
) -> Layer:
    """A transformer encoder of tokens with learned positions, and a linear classifier of the mean: logits out.

    Args:
        vocabulary: the number of different tokens, including the padding token 0, which is masked in attention and left
            out of the mean.
        classes: the number of classes.
        d_model: the size of an embedding; `nhead` divides it.
        nhead: the number of heads.
        num_layers: the number of encoder layers.
        dim_feedforward: the width inside each layer.
        dropout: the probability of a zero in the encoder.
        max_length: the number of position embeddings.

    Input (batch, time), integers in [0, vocabulary), at least one of them not 0 in each sequence; output (batch,
    classes). Parameters: `embedding`, `position`, `encoder.layers.0`, ..., `fc`.

    Raises:
        ValueError: raised by `init` and `apply` if a sequence is longer than `max_length`, or what the layers raise.

    Source: Vaswani et al., "Attention is all you need", 2017: its encoder, with learned positions.

    >>> from funcdl import random
    >>> model, tokens = transformer_classifier(100, 5), torch.tensor([[7, 9, 3], [8, 0, 0]])
    >>> params, buffers = model.init(random.key(0), tokens)
    >>> model(params, tokens).shape
    torch.Size([2, 5])
    """
    block = nn.transformer_encoder_layer(nhead, dim_feedforward, dropout, batch_first=True)
    children: Children = [
        ("embedding", nn.embedding(vocabulary, d_model)),
        ("position", nn.embedding(max_length, d_model)),
        ("encoder", nn.transformer_encoder(block, num_layers)),
        ("fc", nn.linear(classes)),
    ]

    def forward(tokens: Tensor, call: Callable[[int, Tree], Tensor]) -> Tensor:
        time = tokens.shape[-1]
        if time > max_length:
            raise ValueError(
                f"transformer_classifier: expected sequences of at most {max_length} tokens, got {time}; "
                f"pass max_length={time} or more"
            )
        padded = tokens == _PADDING
        x = call(0, tokens) + call(1, torch.arange(time, device=tokens.device))
        x = call(2, {"src": x, "src_key_padding_mask": padded})
        mask = (~padded).unsqueeze(-1).to(x.dtype)
        return call(3, (x * mask).sum(1) / mask.sum(1))

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        keys = child_keys(key, len(children))
        forward(on_meta(x), lambda i, part: init_child(*children[i], params, buffers, keys[i], part))
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, Buffers]:
        keys = child_keys(key, len(children))
        y = forward(x, lambda i, part: apply_child(*children[i], params, buffers, {}, part, keys[i], train))
        return y, buffers

    return Layer(init, apply)

"""Transformer stacks: encoder, decoder, and both together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from funcdl.nn.children import apply_child, child_keys, init_child, on_meta
from funcdl.nn.initializers import xavier_uniform
from funcdl.nn.initializers.layer_parameters import norm_weight_and_bias
from funcdl.nn.layer import Buffers, Layer, Params, parametric
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.transformer_layers import (
    DECODER_INPUTS,
    Activation,
    normalize,
    transformer_decoder_layer,
    transformer_encoder_layer,
)
from funcdl.nn.validation import check_whole, entry
from funcdl.tree import Tree

INPUTS = (
    "src", "tgt", "src_mask", "tgt_mask", "memory_mask", "src_key_padding_mask", "tgt_key_padding_mask",
    "memory_key_padding_mask",
)  # fmt: skip


def transformer_encoder(encoder_layer: Layer, num_layers: int, norm: Layer | None = None) -> Layer:
    """A stack of `num_layers` encoder layers, and an optional final normalization.

    Args:
        encoder_layer: a `transformer_encoder_layer`. Each layer of the stack has its own parameters.
        num_layers: the number of layers, at least 1.
        norm: the final layer, such as `layer_norm(d_model)`.

    Inputs, as a tensor, a tuple or a dict: `src`, `mask`, `src_key_padding_mask`, like those of the layer, where `mask`
    is called `src_mask`. Output as `src`.

    Raises:
        ValueError: `num_layers` is less than 1; by `init` and `apply`, what the layers raise.

    Equals `torch.nn.TransformerEncoder`, which initializes all layers as copies of one.

    >>> import torch
    >>> from funcdl import random
    >>> encoder = transformer_encoder(transformer_encoder_layer(2, 16), num_layers=2)
    >>> params, buffers = encoder.init(random.key(0), torch.empty(7, 5, 4, device="meta"))
    >>> list(params["layers"])
    ['0', '1']
    """
    return _stack("transformer_encoder", encoder_layer, num_layers, norm, ("src", "mask", "src_key_padding_mask"), 1)


def transformer_decoder(decoder_layer: Layer, num_layers: int, norm: Layer | None = None) -> Layer:
    """A stack of `num_layers` decoder layers, and an optional final normalization.

    Args:
        decoder_layer: a `transformer_decoder_layer`. Each layer of the stack has its own parameters.
        num_layers: the number of layers, at least 1.
        norm: the final layer, such as `layer_norm(d_model)`.

    Inputs, as a tuple or a dict: those of the layer. Output as `tgt`.

    Raises:
        ValueError: `num_layers` is less than 1; by `init` and `apply`, what the layers raise.

    Equals `torch.nn.TransformerDecoder`, which initializes all layers as copies of one.

    >>> import torch
    >>> from funcdl import random
    >>> decoder = transformer_decoder(transformer_decoder_layer(2, 16), num_layers=2)
    >>> x = torch.ones(7, 5, 4), torch.ones(9, 5, 4)
    >>> params, buffers = decoder.init(random.key(0), x)
    >>> decoder(params, x).shape
    torch.Size([7, 5, 4])
    """
    return _stack("transformer_decoder", decoder_layer, num_layers, norm, DECODER_INPUTS, 2)


def transformer(
    nhead: int = 8,
    num_encoder_layers: int = 6,
    num_decoder_layers: int = 6,
    dim_feedforward: int = 2048,
    dropout: float = 0.1,
    activation: Activation = "relu",
    *,
    layer_norm_eps: float = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    src_is_causal: bool = False,
    tgt_is_causal: bool = False,
    memory_is_causal: bool = False,
) -> Layer:
    """A transformer: an encoder, and a decoder that attends to its output, both with a final layer norm.

    Args:
        nhead: the number of heads of every layer. The other arguments are as in `transformer_encoder_layer`.
        num_encoder_layers: the number of encoder layers, at least 1.
        num_decoder_layers: the number of decoder layers, at least 1.
        dim_feedforward: as in `transformer_encoder_layer`.
        dropout: likewise.
        activation: likewise.
        layer_norm_eps: likewise.
        batch_first: likewise.
        norm_first: likewise.
        bias: likewise.
        src_is_causal: whether a position of the source attends only to itself and earlier ones.
        tgt_is_causal: the same for the target, instead of the usual `tgt_mask`.
        memory_is_causal: whether position i of the target attends only to positions 0 to i of the encoder's output.

    Inputs, as a tuple or a dict: `src` (source, batch, E), `tgt` (time, batch, E), or both without the batch;
    `src_mask`, `tgt_mask`, `memory_mask`, `src_key_padding_mask`, `tgt_key_padding_mask`, `memory_key_padding_mask`,
    like those of `multihead_attention`. Output as `tgt`. All weights are drawn by `xavier_uniform()`.

    Raises:
        ValueError: an argument is impossible; by `init` and `apply`, what the layers raise.
        TypeError: raised by `apply` if an input has another dtype than the parameters.

    Source: Vaswani et al., "Attention is all you need", 2017. Equals `torch.nn.Transformer` without its
    `custom_encoder` and `custom_decoder`.

    >>> import torch
    >>> from funcdl import random
    >>> model = transformer(2, 1, 1, 16, tgt_is_causal=True)
    >>> x = torch.ones(9, 5, 4), torch.ones(7, 5, 4)
    >>> params, buffers = model.init(random.key(0), x)
    >>> model(params, x).shape
    torch.Size([7, 5, 4])
    """
    options: dict[str, Any] = {
        "dim_feedforward": dim_feedforward, "dropout": dropout, "activation": activation,
        "layer_norm_eps": layer_norm_eps, "batch_first": batch_first, "norm_first": norm_first, "bias": bias,
        "weight_init": xavier_uniform(),
    }  # fmt: skip
    norm = _final_norm(layer_norm_eps, bias)
    encoder_layer = transformer_encoder_layer(nhead, **options, is_causal=src_is_causal)
    decoder_layer = transformer_decoder_layer(
        nhead, **options, tgt_is_causal=tgt_is_causal, memory_is_causal=memory_is_causal
    )
    encoder = transformer_encoder(encoder_layer, num_encoder_layers, norm)
    decoder = transformer_decoder(decoder_layer, num_decoder_layers, norm)
    name = f"transformer({nhead})"

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        params: Params = {}
        buffers: Buffers = {}
        inputs = named_inputs(name, on_meta(x), INPUTS, required=2)
        check_sizes(inputs["src"], inputs["tgt"])
        encoder_key, decoder_key = child_keys(key, 2)
        init_child("encoder", encoder, params, buffers, encoder_key, encoder_inputs(inputs))
        init_child("decoder", decoder, params, buffers, decoder_key, decoder_inputs(inputs, inputs["src"]))
        return params, buffers

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, Buffers]:
        inputs = named_inputs(name, x, INPUTS, required=2)
        check_sizes(inputs["src"], inputs["tgt"])
        encoder_key, decoder_key = child_keys(key, 2)
        memory = apply_child("encoder", encoder, params, {}, {}, encoder_inputs(inputs), encoder_key, train)
        y = apply_child("decoder", decoder, params, {}, {}, decoder_inputs(inputs, memory), decoder_key, train)
        return y, buffers

    def check_sizes(src: Tensor, tgt: Tensor) -> None:
        if src.shape[-1] != tgt.shape[-1]:
            raise ValueError(
                f"{name}: expected src and tgt of one size E, got shapes {tuple(src.shape)} and {tuple(tgt.shape)}"
            )

    def encoder_inputs(inputs: dict[str, Tree]) -> dict[str, Tree]:
        return _renamed(inputs, {"src": "src", "src_mask": "mask", "src_key_padding_mask": "src_key_padding_mask"})

    def decoder_inputs(inputs: dict[str, Tree], memory: Tensor) -> dict[str, Tree]:
        return {**_renamed(inputs, {name: name for name in DECODER_INPUTS}), "memory": memory}

    return Layer(init, apply)


def _stack(
    name: str, layer: Layer, num_layers: int, norm: Layer | None, names: tuple[str, ...], required: int
) -> Layer:
    """A stack of layers "layers.0", "layers.1", ... for the first input; all layers get the other inputs."""
    check_whole(name, num_layers=num_layers)
    if num_layers < 1:
        raise ValueError(f"{name}: expected num_layers of at least 1, got {num_layers}")
    layer_names = [str(index) for index in range(num_layers)]

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        inputs = read(on_meta(x))
        keys = child_keys(key, num_layers + 1)
        layers: Params = {}
        params: Params = {"layers": layers}
        for child, child_key in zip(layer_names, keys, strict=False):
            init_child(child, layer, layers, {}, child_key, inputs)
        if norm is not None:
            init_child("norm", norm, params, {}, keys[-1], inputs[first])
        return params, {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tensor, Buffers]:
        inputs = read(x)
        keys = child_keys(key, num_layers + 1)
        y = inputs.pop(first)
        for child, child_key in zip(layer_names, keys, strict=False):
            y = apply_child(child, layer, entry(name, params, "layers"), {}, {}, {first: y, **inputs}, child_key, train)
        if norm is not None:
            y = apply_child("norm", norm, params, {}, {}, y, keys[-1], train)
        return y, buffers

    first = names[0]

    def read(x: Tree) -> dict[str, Tree]:
        return _renamed(named_inputs(name, x, names, required), {given: _OF_LAYER.get(given, given) for given in names})

    return Layer(init, apply)


_OF_LAYER = {"mask": "src_mask"}  # an encoder's name of a mask, and its layers' name, as in torch


def _renamed(inputs: dict[str, Tree], names: dict[str, str]) -> dict[str, Tree]:
    return {new: inputs[old] for old, new in names.items() if old in inputs}


def _final_norm(eps: float, bias: bool) -> Layer:
    def init(key: Tensor, x: Tensor) -> Params:
        return norm_weight_and_bias(key, x.shape[-1:], x.dtype, bias=bias)

    return parametric(init, lambda params, x: normalize("layer_norm", x, params, eps, bias))

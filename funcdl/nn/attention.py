"""Multi-head attention."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl import random
from funcdl.context import first_order_only, functorch_is_active, in_graph, is_recorded
from funcdl.nn.dropout_layers import dropout as dropout_layer
from funcdl.nn.initializers import Initializer, xavier_normal, xavier_uniform, zeros
from funcdl.nn.initializers.layer_parameters import weight_and_bias
from funcdl.nn.layer import Buffers, Layer, Params
from funcdl.nn.named_inputs import named_inputs
from funcdl.nn.validation import check_dtype, check_whole, entry
from funcdl.tree import Tree

INPUTS = ("query", "key", "value", "key_padding_mask", "attn_mask")


def multihead_attention(
    num_heads: int,
    dropout: float = 0.0,
    bias: bool = True,
    add_bias_kv: bool = False,
    add_zero_attn: bool = False,
    batch_first: bool = False,
    *,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    r"""Multi-head attention: averages values, weighted by how well their keys match a query, in each head.

    Queries, keys and values are projected to E features, the size of a query, and split among the heads, each of
    size d = E / num_heads. A head computes `softmax(q k^T / sqrt(d) + mask) v`; the concatenated heads are projected.

    Args:
        num_heads: the number of heads; divides E.
        dropout: the probability of a zero among the weights, while training.
        bias: whether the projections add a bias.
        add_bias_kv: whether to add a learned key and value to each sequence.
        add_zero_attn: whether to add a key and value of zeros to each sequence.
        batch_first: whether sequences are (batch, time, E) instead of (time, batch, E).
        need_weights: whether the weights are returned too. Without them it uses `F.scaled_dot_product_attention`, which
            is faster and needs less memory (except in training with dropout, whose mask is drawn from the key).
        average_attn_weights: whether these weights are averaged over the heads.
        is_causal: whether query i attends only to keys 0 to i, in addition to the masks.
        weight_init: draws the weights, each of shape (outputs, inputs); by default `xavier_uniform()` for the inner
            projections (one matrix for query, key and value if they have the same size) and
            U(-1/sqrt(E), 1/sqrt(E)) for the outer.
        bias_init: draws the biases; zeros by default.

    Inputs, as a tuple or a dict, or a tensor that is query, key and value:
        - `query` (L, batch, E), `key` (S, batch, kdim), `value` (S, batch, vdim), or all without the batch; `key` is
          the query and `value` the key by default;
        - `key_padding_mask` (batch, S), True where a key is ignored;
        - `attn_mask` (L, S) or (batch * num_heads, L, S), likewise. Floating masks are added to the scores instead.

    A query that attends to no key has weights of zero: its heads are zero, and no gradient flows through it.

    Returns `(output, weights)`, (L, batch, E) and (batch, L, S), or (batch, num_heads, L, S) if not averaged; the
    output alone unless `need_weights`.

    Raises:
        ValueError: an argument is impossible; raised by `init` and `apply` if E is not divisible by `num_heads` or a
            shape is wrong, or the dropout has no key.
        TypeError: raised by `apply` if an input has another dtype than the parameters, or a mask is of integers.

    Source: Vaswani et al., "Attention is all you need", 2017. Equals `torch.nn.MultiheadAttention`, whose `forward`
    takes these options, and whose `is_causal` also needs a mask. Without weights, a gradient that is already computed
    cannot be differentiated again, because the fused kernel has only a first derivative; see `rnn`.

    >>> layer = multihead_attention(2, batch_first=True, need_weights=False, is_causal=True)
    >>> params, buffers = layer.init(random.key(0), torch.empty(5, 7, 4, device="meta"))
    >>> {name: tuple(leaf.shape) for name, leaf in params.items() if name != "out_proj"}
    {'in_proj_weight': (12, 4), 'in_proj_bias': (12,)}
    >>> layer(params, torch.ones(5, 7, 4)).shape
    torch.Size([5, 7, 4])
    """
    name = f"multihead_attention({num_heads})"
    check_whole(name, num_heads=num_heads)
    if num_heads < 1:
        raise ValueError(f"{name}: expected num_heads of at least 1")
    drop = dropout_layer(dropout)

    def init(key: Tensor, x: Tree) -> tuple[Params, Buffers]:
        query, keys, values, _ = read(x)
        size, dtype = query.shape[-1], query.dtype if query.dtype.is_floating_point else torch.get_default_dtype()
        draw, draw_bias = weight_init or xavier_uniform(), bias_init or zeros
        param_keys = random.split(key, 7).unbind()
        params: Params = {}
        if keys.shape[-1] == values.shape[-1] == size:
            params["in_proj_weight"] = draw(param_keys[0], (3 * size, size), dtype)
        else:
            for letter, param_key, part in zip("qkv", param_keys, (query, keys, values), strict=False):
                params[f"{letter}_proj_weight"] = draw(param_key, (size, part.shape[-1]), dtype)
        if bias:
            params["in_proj_bias"] = draw_bias(param_keys[3], (3 * size,), dtype)
        params["out_proj"] = weight_and_bias(
            param_keys[4], (size, size), dtype, bias=bias, weight_init=weight_init, bias_init=draw_bias
        )
        if add_bias_kv:
            for letter, param_key in zip("kv", param_keys[5:], strict=True):
                params[f"bias_{letter}"] = xavier_normal()(param_key, (1, 1, size), dtype)
        return params, {}

    def apply(
        params: Params, buffers: Buffers, x: Tree, *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Tree, Buffers]:
        query, keys, values, masks = read(x)
        out_weight = entry(name, entry(name, params, "out_proj"), "weight")
        for part in (query, keys, values):
            check_dtype(name, part, out_weight)
        batched = query.ndim == 3
        size = out_weight.shape[0]
        in_bias = entry(name, params, "in_proj_bias") if bias else None
        q, k, v = _project(name, params, in_bias, query, keys, values)
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
        elif not batch_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
        mask = _joined_mask(name, masks, q, k, num_heads, is_causal)
        if add_bias_kv:
            k, v = (
                torch.cat([a, entry(name, params, b).expand(len(q), 1, size)], 1)
                for a, b in ((k, "bias_k"), (v, "bias_v"))
            )
        q, k, v = (a.unflatten(-1, (num_heads, -1)).transpose(1, 2) for a in (q, k, v))  # (batch, heads, time, d)
        if add_zero_attn:
            k, v = (F.pad(a, (0, 0, 0, 1)) for a in (k, v))
        if mask is not None:
            mask = F.pad(mask, (0, k.shape[2] - mask.shape[-1]))  # the added keys are never masked
        fully_masked = None  # queries that attend to no key
        if mask is not None and any(each is not None for each in masks):
            fully_masked = (mask == -torch.inf).all(-1, keepdim=True)
            mask = mask.masked_fill(fully_masked, 0)
        drops = train and dropout > 0
        if need_weights or drops or not first_order_only() or _is_recorded_below_grad(q, k, v):
            scores = (q * math.sqrt(num_heads / size)) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, -1)
            weights = weights if fully_masked is None else weights.masked_fill(fully_masked, 0)
            weights, _ = drop.apply({}, {}, weights, key=key, train=train)
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask)
            y = y if fully_masked is None else y.masked_fill(fully_masked, 0)
        time_first = batched and not batch_first
        y = y.permute((2, 0, 1, 3) if time_first else (0, 2, 1, 3)).flatten(-2)
        y = F.linear(y, out_weight, entry(name, params["out_proj"], "bias") if bias else None)
        y = y if batched else y.squeeze(0)
        if not need_weights:
            return y, buffers
        weights = weights.mean(1) if average_attn_weights else weights
        return (y, weights if batched else weights.squeeze(0)), buffers

    def read(x: Tree) -> tuple[Tensor, Tensor, Tensor, list[Tensor | None]]:
        inputs = named_inputs(name, x, INPUTS)
        query = inputs["query"]
        keys: Tensor = inputs.get("key", query)
        values: Tensor = inputs.get("value", keys)
        shapes = " and ".join(str(tuple(part.shape)) for part in (query, keys, values))
        order = "(batch, time, E)" if batch_first else "(time, batch, E)"
        if query.ndim not in (2, 3) or keys.ndim != query.ndim or keys.shape[:-1] != values.shape[:-1]:
            raise ValueError(f"{name}: expected query, key and value {order} or all (time, E), got {shapes}")
        batch_dim = 0 if batch_first else 1
        if query.ndim == 3 and query.shape[batch_dim] != keys.shape[batch_dim]:
            raise ValueError(f"{name}: expected query and key {order} of one batch size, got {shapes}")
        if query.shape[-1] % num_heads:
            raise ValueError(f"{name}: expected a query of a size divisible by num_heads, got {query.shape[-1]}")
        return query, keys, values, [inputs.get("attn_mask"), inputs.get("key_padding_mask")]

    return Layer(init, apply)


def _project(
    name: str, params: Params, bias: Tensor | None, query: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Projects query, key and value. If they are the same tensor, one matrix product is used for them."""
    if "in_proj_weight" not in params:
        missing = "q_proj_weight" not in params
        names = ["in_proj_weight"] if missing else [f"{letter}_proj_weight" for letter in "qkv"]
        weights = [entry(name, params, each) for each in names]
    elif query is keys is values:
        _check_sizes(name, (query,), (params["in_proj_weight"],))
        q, k, v = F.linear(query, params["in_proj_weight"], bias).chunk(3, -1)
        return q, k, v
    else:
        weights = list(params["in_proj_weight"].chunk(3))
    _check_sizes(name, (query, keys, values), weights)
    biases = [None] * 3 if bias is None else list(bias.chunk(3))
    if keys is values and "in_proj_weight" in params:
        size = query.shape[-1]
        both = F.linear(keys, params["in_proj_weight"][size:], None if bias is None else bias[size:])
        k, v = both.chunk(2, -1)
        return F.linear(query, weights[0], biases[0]), k, v
    q, k, v = (F.linear(*parts) for parts in zip((query, keys, values), weights, biases, strict=True))
    return q, k, v


def _check_sizes(name: str, inputs: tuple[Tensor, ...], weights: tuple[Tensor, ...] | list[Tensor]) -> None:
    for what, x, weight in zip(("query", "key", "value"), inputs, weights, strict=False):
        if x.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"{name}: expected a {what} (..., {weight.shape[1]}), as in init(), got shape {tuple(x.shape)}"
            )


def _is_recorded_below_grad(*tensors: Tensor) -> bool:
    """Whether the fused kernel would be differentiated by `grad` and by plain autograd around it."""
    return not in_graph() and functorch_is_active() and is_recorded(*tensors)


def _joined_mask(
    name: str, masks: list[Tensor | None], q: Tensor, k: Tensor, num_heads: int, is_causal: bool
) -> Tensor | None:
    """Returns the mask to add to the scores, broadcast to (batch, heads, L, S): minus infinity where masked."""
    batch, length, source = *q.shape[:2], k.shape[1]
    attn_mask, padding_mask = (None if mask is None else _additive(name, mask, q.dtype) for mask in masks)
    parts: list[Tensor] = []
    if attn_mask is not None:
        if attn_mask.shape not in ((length, source), (batch * num_heads, length, source)):
            raise ValueError(
                f"{name}: expected attn_mask {(length, source)} or {(batch * num_heads, length, source)}, got shape "
                f"{tuple(attn_mask.shape)}"
            )
        parts.append(attn_mask if attn_mask.ndim == 2 else attn_mask.unflatten(0, (batch, num_heads)))
    if padding_mask is not None:
        if padding_mask.shape not in ((batch, source), (source,) if batch == 1 else (batch, source)):
            raise ValueError(
                f"{name}: expected key_padding_mask {(batch, source)}, got shape {tuple(padding_mask.shape)}"
            )
        parts.append(padding_mask.reshape(batch, 1, 1, source))
    if is_causal:
        later = torch.ones(length, source, dtype=torch.bool, device=q.device).triu(1)
        parts.append(_additive(name, later, q.dtype))
    return sum(parts[1:], start=parts[0]) if parts else None


def _additive(name: str, mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf)
    if not mask.dtype.is_floating_point:
        raise TypeError(f"{name}: expected masks of torch.bool or of a floating dtype, got {mask.dtype}")
    return mask.to(dtype)

"""A mode in which the random functions that a module calls draw from a key instead of torch's global generator."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from funcdl import random

_ALPHA = 1.7580993408473766  # minus the value SELU saturates at, as in torch


class KeyedRandomMode(TorchFunctionMode):
    """While it is active, torch's random functions draw from a key: call i uses `fold_in(key, i)`.

    It replaces all kinds of dropout (including attention dropout), `rand`, `randn`, `bernoulli` and similar functions.
    Other random functions raise an error. Random numbers inside custom kernels are not intercepted.
    """

    def __init__(self, key: Tensor | None) -> None:
        super().__init__()
        self.key = key
        self.calls = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls `function`, or its replacement that draws from the key."""
        kwargs = kwargs or {}
        if function in _REPLACED:
            return _REPLACED[function](self, *args, **kwargs)
        if function in _REFUSED and _REFUSED[function](*args, **kwargs):
            raise NotImplementedError(
                f"from_module: expected a module whose random functions are dropout, rand, randn or bernoulli, got one "
                f"that calls {function.__name__}, which cannot draw from a key; write this part with funcdl.nn"
            )
        if getattr(function, "__name__", None) == "unflatten":
            function = torch.unflatten  # the method calls super(), which Dynamo of torch 2.11 cannot trace here
        return function(*args, **kwargs)

    def next_key(self, function: str) -> Tensor:
        """Returns the key of the next draw."""
        if self.key is None:
            raise ValueError(f"from_module: the module calls {function}, which needs a key; pass key= to apply()")
        self.calls += 1
        return random.fold_in(self.key, self.calls - 1)


def _drop(mode: KeyedRandomMode, x: Tensor, p: float, mask_shape: Sequence[int], inplace: bool) -> Tensor:
    """Dropout with one draw per element of `mask_shape`."""
    keep = random.bernoulli(mode.next_key("dropout"), 1 - p, mask_shape)
    factor = keep.to(x.dtype) * (1 / (1 - p) if p < 1 else 0.0)
    return x.mul_(factor) if inplace else x * factor


def _alpha_drop(mode: KeyedRandomMode, x: Tensor, p: float, mask_shape: Sequence[int]) -> Tensor:
    """Dropout to SELU's saturation value, scaled to keep mean and variance."""
    if p == 1:
        return x * 0
    keep = random.bernoulli(mode.next_key("alpha_dropout"), 1 - p, mask_shape)
    scale = 1 / math.sqrt((1 - p) * (1 + p * _ALPHA**2))
    return scale * torch.where(keep, x, -_ALPHA) + scale * p * _ALPHA


def _channels(x: Tensor, batched: bool = True) -> tuple[int, ...]:
    """Returns the shape of a mask with one draw per channel."""
    leading = 2 if batched else 1
    return (*x.shape[:leading], *[1] * (x.ndim - leading))


def _dropout(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    return _drop(mode, input, p, input.shape, inplace) if training and p else input


def _dropout1d(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    return _drop(mode, input, p, _channels(input, input.ndim == 3), inplace) if training and p else input


def _dropout2d(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    return _drop(mode, input, p, _channels(input), inplace) if training and p else input


def _dropout3d(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    return _drop(mode, input, p, _channels(input, input.ndim == 5), inplace) if training and p else input


def _alpha_dropout(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    y = _alpha_drop(mode, input, p, input.shape) if training and p else input
    return input.copy_(y) if inplace else y


def _feature_alpha_dropout(
    mode: KeyedRandomMode, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    y = _alpha_drop(mode, input, p, _channels(input)) if training and p else input
    return input.copy_(y) if inplace else y


def _attention(
    mode: KeyedRandomMode,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention with dropout of its weights, as defined in the documentation of torch's function."""
    if not dropout_p:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    weights = scores.softmax(-1)
    return _drop(mode, weights, dropout_p, weights.shape, inplace=False) @ value


# `F.multi_head_attention_forward` without its own dispatch to the mode, so that the functions that it calls are
# dispatched instead.
_attention_layer = types.FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.__dict__, "has_torch_function": lambda tensors: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


def _multi_head_attention(mode: KeyedRandomMode, *args: Any, **kwargs: Any) -> Any:
    with mode:
        return _attention_layer(*args, **kwargs)


def _like(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def drawn(mode: KeyedRandomMode, input: Tensor, *, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        return draw(mode.next_key("rand_like or randn_like"), input.shape, dtype=dtype or input.dtype)

    return drawn


def _of_shape(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def drawn(mode: KeyedRandomMode, *size: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
        shape = options.get("size", size[0] if len(size) == 1 and not isinstance(size[0], int) else size)
        return draw(mode.next_key("rand or randn"), tuple(shape), dtype=dtype or torch.get_default_dtype())

    return drawn


def _bernoulli(mode: KeyedRandomMode, input: Tensor, p: float | None = None, **options: Any) -> Tensor:
    uniform = random.uniform(mode.next_key("bernoulli"), input.shape)
    return (uniform < (input if p is None else p)).to(input.dtype)


def _bernoulli_(mode: KeyedRandomMode, input: Tensor, p: float | Tensor = 0.5, **options: Any) -> Tensor:
    return input.copy_(random.uniform(mode.next_key("bernoulli_"), input.shape) < p)


def _uniform_(mode: KeyedRandomMode, input: Tensor, a: float = 0.0, b: float = 1.0, **options: Any) -> Tensor:
    return input.copy_(random.uniform(mode.next_key("uniform_"), input.shape, low=a, high=b, dtype=input.dtype))


def _normal_(mode: KeyedRandomMode, input: Tensor, mean: float = 0.0, std: float = 1.0, **options: Any) -> Tensor:
    return input.copy_(random.normal(mode.next_key("normal_"), input.shape, mean=mean, std=std, dtype=input.dtype))


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    F.dropout: _dropout,
    torch.dropout: lambda mode, input, p, train: _dropout(mode, input, p, train),
    F.dropout1d: _dropout1d,
    F.dropout2d: _dropout2d,
    F.dropout3d: _dropout3d,
    F.alpha_dropout: _alpha_dropout,
    F.feature_alpha_dropout: _feature_alpha_dropout,
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _multi_head_attention,
    torch.rand: _of_shape(random.uniform),
    torch.randn: _of_shape(random.normal),
    torch.rand_like: _like(random.uniform),
    torch.randn_like: _like(random.normal),
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _bernoulli_,
    Tensor.uniform_: _uniform_,
    Tensor.normal_: _normal_,
}


def _always(*args: Any, **kwargs: Any) -> bool:
    return True


def _drops_between_layers(*args: Any, **kwargs: Any) -> bool:
    """Whether a recurrent operator trains with dropout: arguments 5 and 6, or 6 and 7 with packed input."""
    first = 6 if isinstance(args[2], (Tensor, tuple)) and isinstance(args[3], (list, tuple)) else 5
    return bool(args[first] and args[first + 1])


_REFUSED: dict[Callable[..., Any], Callable[..., bool]] = {
    **dict.fromkeys(
        (
            F.gumbel_softmax,
            F.fractional_max_pool2d_with_indices,
            F.fractional_max_pool3d_with_indices,
            torch.randint,
            torch.randint_like,
            torch.randperm,
            torch.normal,
            torch.multinomial,
            torch.poisson,
            torch.binomial,
            Tensor.multinomial,
            Tensor.random_,
            Tensor.exponential_,
            Tensor.geometric_,
            Tensor.cauchy_,
            Tensor.log_normal_,
        ),
        _always,
    ),
    **dict.fromkeys((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu), _drops_between_layers),
    F.rrelu: lambda input, lower=0, upper=0, training=False, inplace=False: training,
}

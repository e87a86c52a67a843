"""Initializers whose variance is scaled by the size of the weight: Xavier (Glorot) and Kaiming (He)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from funcdl import random
from funcdl.nn.initializers.basic import Initializer

Fan = Literal["fan_in", "fan_out"]


def xavier_uniform(gain: float = 1.0) -> Initializer:
    """Draws from U(-b, b) with `b = gain * sqrt(6 / (fan_in + fan_out))`. Equals `torch.nn.init.xavier_uniform_`.

    The initializer raises a ValueError for a shape of fewer than 2 dimensions, and so do the next three.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.

    >>> weight = xavier_uniform()(random.key(0), (2, 4), torch.float32)
    >>> bool((weight.abs() <= 1).all())
    True
    """
    return _uniform_with_std("xavier_uniform", lambda fan_in, fan_out: gain * math.sqrt(2 / (fan_in + fan_out)))


def xavier_normal(gain: float = 1.0) -> Initializer:
    """Draws from N(0, s²) with `s = gain * sqrt(2 / (fan_in + fan_out))`. Equals `torch.nn.init.xavier_normal_`.

    Source: as in `xavier_uniform`.

    >>> xavier_normal(calculate_gain("tanh"))(random.key(0), (2, 4), torch.float32).shape
    torch.Size([2, 4])
    """
    return _normal_with_std("xavier_normal", lambda fan_in, fan_out: gain * math.sqrt(2 / (fan_in + fan_out)))


def kaiming_uniform(a: float = 0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu") -> Initializer:
    """Draws from U(-b, b) with `b = gain * sqrt(3 / fan)`. Equals `torch.nn.init.kaiming_uniform_`.

    Args:
        a: the negative slope, where the nonlinearity is "leaky_relu".
        mode: "fan_in" preserves the variance of activations, "fan_out" that of gradients.
        nonlinearity: one that `calculate_gain` accepts.

    Source: He et al., "Delving deep into rectifiers", 2015.

    >>> weight = kaiming_uniform(nonlinearity="relu")(random.key(0), (2, 6), torch.float32)
    >>> bool((weight.abs() <= 1).all())
    True
    """
    return _uniform_with_std("kaiming_uniform", _kaiming_std("kaiming_uniform", a, mode, nonlinearity))


def kaiming_normal(a: float = 0, mode: Fan = "fan_in", nonlinearity: str = "leaky_relu") -> Initializer:
    """Draws from N(0, s²) with `s = gain / sqrt(fan)`. Equals `torch.nn.init.kaiming_normal_`.

    Arguments and source as in `kaiming_uniform`.

    >>> kaiming_normal(mode="fan_out")(random.key(0), (2, 4, 3, 3), torch.float32).shape
    torch.Size([2, 4, 3, 3])
    """
    return _normal_with_std("kaiming_normal", _kaiming_std("kaiming_normal", a, mode, nonlinearity))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Returns the recommended gain of the initial weights for a nonlinearity. Equals `torch.nn.init.calculate_gain`.

    Args:
        nonlinearity: "linear" or the name of a convolution, "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the negative slope of "leaky_relu"; 0.01 by default.

    Raises:
        ValueError: the nonlinearity is unknown.

    >>> calculate_gain("relu") ** 2
    2.0000000000000004
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    gains |= {f"conv{transpose}{rank}d": 1.0 for transpose in ("", "_transpose") for rank in (1, 2, 3)}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: expected one of leaky_relu, {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def _uniform_with_std(name: str, std_of: Callable[[int, int], float]) -> Initializer:
    def initializer(key: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        bound = math.sqrt(3) * std_of(*_fans(name, shape))
        return random.uniform(key, shape, low=-bound, high=bound, dtype=dtype)

    return initializer


def _normal_with_std(name: str, std_of: Callable[[int, int], float]) -> Initializer:
    return lambda key, shape, dtype: random.normal(key, shape, std=std_of(*_fans(name, shape)), dtype=dtype)


def _kaiming_std(name: str, a: float, mode: str, nonlinearity: str) -> Callable[[int, int], float]:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'{name}: expected mode "fan_in" or "fan_out", got {mode!r}')
    gain = calculate_gain(nonlinearity, a)
    return lambda fan_in, fan_out: gain / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(
            f"{name}: expected a shape (outputs, inputs, ...) of at least 2 dimensions, got {tuple(shape)}; for a bias "
            "use zeros, uniform() or normal()"
        )
    kernel = math.prod(shape[2:])
    return max(1, shape[1] * kernel), max(1, shape[0] * kernel)  # an empty weight has no values

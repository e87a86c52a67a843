"""Piecewise linear activations of each element: rectifiers, shrinkage, thresholds; hardswish is quadratic in part."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from funcdl import random
from funcdl.context import differentiated_once
from funcdl.nn.layer import Buffers, Layer, Params, parametric, stateless
from funcdl.nn.validation import check_dtype, check_numbers, check_sizes, entry, is_whole


def relu() -> Layer:
    """Replaces negative elements with zero: `max(x, 0)`. Equals `torch.nn.ReLU`.

    >>> relu()({}, torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return stateless(torch.relu)


def relu6() -> Layer:
    """Clamps to [0, 6]: `min(max(x, 0), 6)`. Equals `torch.nn.ReLU6`.

    >>> relu6()({}, torch.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    return stateless(F.relu6)


def leaky_relu(negative_slope: float = 0.01) -> Layer:
    """Multiplies negative elements by `negative_slope`. Equals `torch.nn.LeakyReLU`.

    Raises:
        ValueError: `negative_slope` is not a finite number.

    Source: Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013.

    >>> leaky_relu(0.1)({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.1000,  2.0000])
    """
    check_numbers("leaky_relu", negative_slope=negative_slope)
    return stateless(lambda x: F.leaky_relu(x, negative_slope))


def prelu(num_parameters: int = 1, init: float = 0.25) -> Layer:
    """Multiplies negative elements by a learned slope, the parameter `weight` of shape (num_parameters,).

    Args:
        num_parameters: 1, or the number of channels (dimension 1 of the input), for a slope for each of them.
        init: the initial slope.

    Input (batch, ...) with one slope, else (batch, channels, ...); output likewise. It should have no
    weight decay.

    Raises:
        ValueError: `num_parameters` is less than 1; raised by `init` and `apply` if it is not the number of channels.
        TypeError: raised by `apply` if the input has another dtype than the parameter.

    Source: He et al., "Delving deep into rectifiers", 2015. Equals `torch.nn.PReLU`.

    >>> layer = prelu()
    >>> params, buffers = layer.init(random.key(0), torch.empty(2, 3))
    >>> layer(params, torch.tensor([-1.0, 2.0]))
    tensor([-0.2500,  2.0000])
    """
    name = f"prelu({num_parameters})"
    if is_whole(num_parameters) and num_parameters < 1:
        raise ValueError(f"{name}: expected at least 1 parameter")
    check_sizes(name, 1, num_parameters=num_parameters)
    check_numbers(name, init=init)

    def init_weight(key: Tensor, x: Float[Tensor, " ..."]) -> Params:
        check_channels(x)
        dtype = x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()
        return {"weight": torch.full((num_parameters,), init, dtype=dtype, device=key.device)}

    def f(params: Params, x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
        check_channels(x)
        check_dtype(name, x, entry(name, params, "weight"))
        return F.prelu(x, entry(name, params, "weight"))

    def check_channels(x: Tensor) -> None:
        if num_parameters > 1 and (x.ndim < 2 or x.shape[1] != num_parameters):
            raise ValueError(f"{name}: expected (batch, {num_parameters}, ...), got shape {tuple(x.shape)}")

    return parametric(init_weight, f)


def rrelu(lower: float = 1 / 8, upper: float = 1 / 3) -> Layer:
    """While training, multiplies each negative element by a random slope from `lower` to `upper`, else by their mean.

    Args:
        lower: the smallest slope.
        upper: the largest slope.

    Raises:
        ValueError: `lower` is above `upper`; raised by `apply` if training without a key.

    Source: Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015. Equals
    `torch.nn.RReLU` except that the slopes are drawn from `key`.

    >>> rrelu(0.0, 0.5)({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.2500,  2.0000])
    """
    name = f"rrelu({lower}, {upper})"
    check_numbers(name, lower=lower, upper=upper)
    if lower > upper:
        raise ValueError(f"{name}: expected lower <= upper")

    def apply(
        params: Params, buffers: Buffers, x: Float[Tensor, " ..."], *, key: Tensor | None = None, train: bool = False
    ) -> tuple[Float[Tensor, " ..."], Buffers]:
        if not train or lower == upper:
            return F.leaky_relu(x, (lower + upper) / 2), buffers
        if key is None:
            raise ValueError(f"{name}: train=True needs a key; pass key=random.key(seed) to apply()")
        slope = random.uniform(key, x.shape, dtype=x.dtype).mul_(upper - lower).add_(lower)
        return x * slope.masked_fill(x > 0, 1), buffers  # a backward pass of one product

    return Layer(lambda key, x: ({}, {}), apply)


def hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Layer:
    """Clamps to [min_val, max_val]. Equals `torch.nn.Hardtanh`.

    Raises:
        ValueError: `min_val` is not below `max_val`.

    >>> hardtanh(-0.5, 2.0)({}, torch.tensor([-1.0, 1.0, 3.0]))
    tensor([-0.5000,  1.0000,  2.0000])
    """
    if not min_val < max_val:
        raise ValueError(f"hardtanh({min_val}, {max_val}): expected min_val < max_val")
    return stateless(lambda x: F.hardtanh(x, min_val, max_val))


def hardsigmoid() -> Layer:
    """Approximates the sigmoid by three lines: `min(max(x + 3, 0), 6) / 6`. Equals `torch.nn.Hardsigmoid`.

    >>> hardsigmoid()({}, torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """

    def f(x: Tensor) -> Tensor:
        return F.hardsigmoid(x) if differentiated_once(x) else F.relu6(x + 3) / 6  # the kernel has no second derivative

    return stateless(f)


def hardswish() -> Layer:
    """Multiplies by the hard sigmoid: `x * min(max(x + 3, 0), 6) / 6`. Equals `torch.nn.Hardswish`.

    Source: Howard et al., "Searching for MobileNetV3", 2019.

    >>> hardswish()({}, torch.tensor([-4.0, 1.5, 4.0]))
    tensor([-0.0000,  1.1250,  4.0000])
    """
    return stateless(F.hardswish)


def hardshrink(lambd: float = 0.5) -> Layer:
    """Replaces elements between `-lambd` and `lambd` with zero. Equals `torch.nn.Hardshrink`.

    Raises:
        ValueError: `lambd` is negative.

    >>> hardshrink()({}, torch.tensor([-1.0, 0.2, 3.0]))
    tensor([-1.,  0.,  3.])
    """
    check_numbers("hardshrink", 0, lambd=lambd)
    return stateless(lambda x: F.hardshrink(x, lambd))


def softshrink(lambd: float = 0.5) -> Layer:
    """Moves elements towards zero by `lambd`, but not beyond it. Equals `torch.nn.Softshrink`.

    Raises:
        ValueError: `lambd` is negative.

    >>> softshrink()({}, torch.tensor([-1.0, 0.2, 3.0]))
    tensor([-0.5000,  0.0000,  2.5000])
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink({lambd}): expected lambd of at least 0")
    return stateless(lambda x: F.softshrink(x, lambd))


def threshold(threshold: float, value: float) -> Layer:
    """Replaces elements not above `threshold` with `value`. Equals `torch.nn.Threshold`.

    >>> threshold(0.1, 20.0)({}, torch.tensor([-1.0, 0.2, 3.0]))
    tensor([20.0000,  0.2000,  3.0000])
    """
    return stateless(lambda x: F.threshold(x, threshold, value))

"""Smooth activations of each element, and the gated linear unit."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl.context import differentiated_once
from funcdl.nn.layer import Layer, stateless
from funcdl.nn.validation import check_numbers


def elu(alpha: float = 1.0) -> Layer:
    """Replaces negative elements with `alpha * (exp(x) - 1)`. Equals `torch.nn.ELU`.

    Raises:
        ValueError: `alpha` is not a finite number.

    Source: Clevert et al., "Fast and accurate deep network learning by exponential linear units", 2015.

    >>> elu()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    check_numbers("elu", alpha=alpha)
    return stateless(lambda x: F.elu(x, alpha))


def celu(alpha: float = 1.0) -> Layer:
    """Replaces negative elements with `alpha * (exp(x / alpha) - 1)`. Equals `torch.nn.CELU`.

    Raises:
        ValueError: `alpha` is zero or not finite.

    Source: Barron, "Continuously differentiable exponential linear units", 2017.

    >>> celu(0.5)({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.4323,  2.0000])
    """
    check_numbers("celu", alpha=alpha)
    if alpha == 0:
        raise ValueError("celu(0): expected alpha other than 0, which divides")
    return stateless(lambda x: F.celu(x, alpha))


def selu() -> Layer:
    """Multiplies by 1.0507, after replacing negative elements by `1.6733 * (exp(x) - 1)`. Equals `torch.nn.SELU`.

    With these constants mean 0 and variance 1 are preserved from layer to layer; use it with `alpha_dropout`.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> selu()({}, torch.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return stateless(torch.selu)


def gelu(approximate: Literal["none", "tanh"] = "none") -> Layer:
    """Multiplies by the standard normal distribution function: `x * Phi(x)`. Equals `torch.nn.GELU`.

    Args:
        approximate: "tanh" for `Phi(x) = (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x³))) / 2`.

    Raises:
        ValueError: `approximate` is neither "none" nor "tanh".

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    >>> gelu()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: expected approximate "none" or "tanh", got {approximate!r}')
    return stateless(lambda x: F.gelu(x, approximate=approximate))


def silu() -> Layer:
    """Multiplies by the sigmoid: `x / (1 + exp(-x))`, also called swish. Equals `torch.nn.SiLU`.

    >>> silu()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return stateless(F.silu)


def mish() -> Layer:
    """Multiplies by the tanh of the softplus: `x * tanh(log(1 + exp(x)))`. Equals `torch.nn.Mish`.

    Source: Misra, "Mish: a self regularized non-monotonic neural activation function", 2019.

    >>> mish()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """

    def f(x: Tensor) -> Tensor:
        if differentiated_once(x):
            return F.mish(x)
        return x * torch.tanh(-F.logsigmoid(-x))  # torch's second derivative of mish is NaN where exp(x) overflows

    return stateless(f)


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Layer:
    """A smooth rectifier: `log(1 + exp(beta * x)) / beta`. Equals `torch.nn.Softplus`.

    Args:
        beta: the larger, the closer to the rectifier.
        threshold: where `beta * x` is above it, the result is `x`.

    Raises:
        ValueError: `beta` is zero or not finite.

    >>> softplus()({}, torch.tensor([-1.0, 2.0]))
    tensor([0.3133, 2.1269])
    """
    check_numbers("softplus", beta=beta)
    if beta == 0:
        raise ValueError("softplus: expected beta other than 0, which divides")
    return stateless(lambda x: F.softplus(x, beta, threshold))


def softsign() -> Layer:
    """Like tanh, but approaches ±1 more slowly: `x / (1 + |x|)`. Equals `torch.nn.Softsign`.

    >>> softsign()({}, torch.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """
    return stateless(F.softsign)


def sigmoid() -> Layer:
    """Maps to (0, 1): `1 / (1 + exp(-x))`. Equals `torch.nn.Sigmoid`.

    >>> sigmoid()({}, torch.tensor([-1.0, 2.0]))
    tensor([0.2689, 0.8808])
    """
    return stateless(torch.sigmoid)


def log_sigmoid() -> Layer:
    """Takes the logarithm of the sigmoid: `-log(1 + exp(-x))`. Equals `torch.nn.LogSigmoid`.

    >>> log_sigmoid()({}, torch.tensor([-1.0, 2.0]))
    tensor([-1.3133, -0.1269])
    """
    return stateless(F.logsigmoid)


def tanh() -> Layer:
    """Maps to (-1, 1): `(exp(x) - exp(-x)) / (exp(x) + exp(-x))`. Equals `torch.nn.Tanh`.

    >>> tanh()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.7616,  0.9640])
    """
    return stateless(torch.tanh)


def tanhshrink() -> Layer:
    """Subtracts the tanh: `x - tanh(x)`. Equals `torch.nn.Tanhshrink`.

    >>> tanhshrink()({}, torch.tensor([-1.0, 2.0]))
    tensor([-0.2384,  1.0360])
    """
    return stateless(F.tanhshrink)


def glu(dim: int = -1) -> Layer:
    """Splits into halves `a` and `b` along `dim` and gates the first by the second: `a * sigmoid(b)`.

    Raises:
        ValueError: raised by `apply` if the size along `dim` is odd.

    Source: Dauphin et al., "Language modeling with gated convolutional networks", 2016. Equals `torch.nn.GLU`.

    >>> glu()({}, torch.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """

    def f(x: Tensor) -> Tensor:
        if x.shape[dim] % 2:
            raise ValueError(f"glu(dim={dim}): expected an even size along it, got shape {tuple(x.shape)}")
        if differentiated_once(x):
            return F.glu(x, dim)
        a, b = x.chunk(2, dim)
        return a * torch.sigmoid(b)  # torch's forward derivative of glu has no backward derivative

    return stateless(f)

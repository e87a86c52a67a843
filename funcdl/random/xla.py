"""Functions with the rounding errors of XLA, for draws that have to equal those of `jax.random` up to the last bits.

XLA compiles each of them to polynomials with fused multiply-adds. These functions have the errors of its CPU kernels:
90 ulp for the inverse error function of float32 near -1 and 1, 130 ulp for the logarithm of float64 near 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

# All lists of coefficients begin with that of the highest power.
# fmt: off

# erf(x) / x as a rational function of x^2, with the coefficients of StableHLO
_ERF_ABOVE = (
    0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861, 0.18520832239976145, 1.128379143519084,
)
_ERF_BELOW = (
    -1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885, 0.014070470171167667, 0.11098505178285362,
    0.49746925110067538, 1.0,
)
_ERF_END = 3.832506856900711  # from here on erf is 1 in float32

# M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011)
_CENTRE32 = (
    2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
)
_TAIL32 = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
)
_CENTRE64 = (
    -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18, 1.115787767802518096e-17,
    -1.333171662854620906e-16, 2.0972767875968561637e-17, 6.6376381343583238325e-15, -4.0545662729752068639e-14,
    -8.1519341976054721522e-14, 2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
    1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08, 4.2347877827932403518e-07,
    -1.3654692000834678645e-06, -1.3882523362786468719e-05, 0.0001867342080340571352, -0.00074070253416626697512,
    -0.0060336708714301490533, 0.24015818242558961693, 1.6536545626831027356,
)
_TAIL64 = (
    2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07, 1.8239629214389227755e-08,
    1.5027403968909827627e-06, -4.013867526981545969e-06, 2.9234449089955446044e-06, 1.2475304481671778723e-05,
    -4.7318229009055733981e-05, 6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
    0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066, -0.0037512085075692412107,
    0.005370914553590063617, 1.0052589676941592334, 3.0838856104922207635,
)
_END64 = (
    -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09, -3.7894654401267369937e-09,
    7.6157012080783393804e-09, -1.4960026627149240478e-08, 2.9147953450901080826e-08, -6.7711997758452339498e-08,
    2.2900482228026654717e-07, -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
    7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026, 1.0103004648645343977,
    4.8499064014085844221,
)

# S. L. Moshier's Cephes, `log1p`
_LOG_ABOVE = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969, 29.911919328553073277375,
    60.949667980987787057556, 57.112963590585538103336, 20.039553499201281259648,
)
_LOG_BELOW = (
    1.0, 15.062909083469192043167, 83.047565967967209469434, 221.76239823732856465394, 309.09872225312059774938,
    216.42788614495947685003, 60.118660497603843919306,
)
# fmt: on


def to_float32(number: float) -> float:
    """Rounds to the nearest float32 in arithmetic that Dynamo can trace."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(math.ldexp(mantissa, 24)), exponent - 24)


def multiply_add(x: Tensor, factor: float, term: float) -> Tensor:
    """Returns `x * factor + term` for x = k 2^-52 in [0, 1), rounded only once (except for some near ties)."""
    if math.frexp(factor)[0] == 0.5:  # the product with a power of two is exact
        return x * factor + term
    if x.dtype == torch.float32:
        return ((x.to(torch.float64) * factor).add_(term)).to(torch.float32)
    product = x * factor
    # The rounding error of the product, from halves of 26 bits, whose products are exact (Dekker).
    mantissa, exponent = math.frexp(factor)
    upper = math.ldexp(round(math.ldexp(mantissa, 26)), exponent - 26)
    lower = factor - upper
    x_upper = (x * 2.0**26).floor() * 2.0**-26
    x_lower = x - x_upper
    error = ((x_upper * upper - product) + x_upper * lower + x_lower * upper) + x_lower * lower
    # The rounding error of the sum (Knuth).
    total = product + term
    part = total - product
    return total + ((product - (total - part)) + (term - part) + error)


def cumsum(x: Tensor) -> Tensor:
    """Returns the cumulative sums of a vector, computed in rows of 16 and then recursively over the rows."""
    rows = torch.nn.functional.pad(x, (0, -len(x) % 16)).view(-1, 16)
    sums = [rows[:, 0]]
    for column in rows[:, 1:].unbind(1):
        sums.append(sums[-1] + column)
    total = torch.stack(sums, dim=1)
    if len(rows) > 1:
        total = total + torch.nn.functional.pad(cumsum(sums[-1])[:-1], (1, 0)).unsqueeze(1)
    return total.flatten()[: len(x)]


def erf_of_normal(x: float, dtype: torch.dtype) -> float:
    """Returns erf(x / sqrt(2)), computed in float32 or float64."""
    if dtype == torch.float64:
        return math.erf(x / math.sqrt(2))
    x = max(-9.0, min(9.0, x))  # infinity has no float32 mantissa
    x = to_float32(to_float32(x) / to_float32(math.sqrt(2)))
    x = max(-to_float32(_ERF_END), min(to_float32(_ERF_END), x))
    square, above, below = to_float32(x * x), 0.0, 0.0
    for coefficient in _ERF_ABOVE:
        above = to_float32(above * square + to_float32(coefficient))
    for coefficient in _ERF_BELOW:
        below = to_float32(below * square + to_float32(coefficient))
    return to_float32(to_float32(x * above) / below)


def erfinv(x: Tensor) -> Tensor:
    """Returns the inverse error function of x in [-1, 1].

    With w = -log(1 - x^2) it is x times a polynomial in w minus a constant, or for large w in sqrt(w) minus a constant.
    """
    w = -log1p(-x * x)
    root = w.sqrt()
    if x.dtype == torch.float32:
        p = torch.where(w < 5.0, _polynomial(_CENTRE32, w - 2.5), _polynomial(_TAIL32, root - 3.0))
    else:
        p = torch.where(w < 16.0, _polynomial(_TAIL64, root - 3.25), _polynomial(_END64, root - 5.0))
        p = torch.where(w < 6.25, _polynomial(_CENTRE64, w - 3.125), p)
    return torch.where(x.abs() == 1.0, x * math.inf, p * x)


def log1p(x: Tensor) -> Tensor:
    """Returns log(1 + x), which for float64 in (1 - sqrt(2), sqrt(2) - 1) is x - x^2 / 2 + x^3 P(x) / Q(x)."""
    if x.dtype == torch.float32:
        return torch.log1p(x)
    square = x * x
    near = x * (square * _polynomial(_LOG_ABOVE, x) / _polynomial(_LOG_BELOW, x))
    return torch.where(x.abs() < math.sqrt(2) - 1, x + (near - 0.5 * square), torch.log(1.0 + x))


def _polynomial(coefficients: Iterable[float], x: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for coefficient in coefficients:
        total = total.mul_(x).add_(coefficient)
    return total

"""Readings of a thermometer in unknown units, and the temperatures in degrees Celsius."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def thermometer(dtype: torch.dtype = torch.float32) -> tuple[Float[Tensor, " 11"], Float[Tensor, " 11"]]:
    """Returns 11 readings in unknown units, and the temperatures in degrees Celsius measured at the same time.

    The unknown scale is Fahrenheit's with errors of reading: Celsius is 0.5556 t - 17.78.

    >>> readings, celsius = thermometer()
    >>> readings[0], celsius[0]
    (tensor(35.7000), tensor(0.5000))
    """
    readings = torch.tensor([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4], dtype=dtype)
    celsius = torch.tensor([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0], dtype=dtype)
    return readings, celsius

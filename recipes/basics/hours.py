"""Hours of bicycle hire by a formula, in place of the tutorial's file."""

from __future__ import annotations

import math

import torch

from funcdl import data

HOURS = 24  # of a day


def made_up_hours(days: int) -> data.Table:
    """Days with a cool morning, rain on every third, and rides to work and home."""
    day, hour = torch.arange(days).repeat_interleave(HOURS), torch.arange(HOURS).repeat(days)
    weather = 1 + (day % 3 == 2).int() + (day % 12 == 11).int() + (day % 24 == 23).int()
    temperature = 0.45 + 0.01 * (day % 10) + 0.15 * torch.sin((hour - 9) * 2 * math.pi / HOURS)
    rides = 20 + 180 * (torch.exp(-((hour - 8) ** 2) / 4) + torch.exp(-((hour - 17) ** 2) / 6)) / weather
    columns = (torch.arange(days * HOURS), day + 1, hour, weather, temperature, rides.round())
    return data.Table(torch.column_stack(columns).float(), ("instant", "dteday", "hr", "weathersit", "temp", "cnt"))

"""The data of the recipe `real-data`: the tutorial's files, or what ships with scikit-learn."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from funcdl import data

REPOSITORY = "https://raw.githubusercontent.com/deep-learning-with-pytorch/dlwpt-code/master/data/p1ch4"
PUBLISHED = {  # path in the repository, and SHA-256
    "images/bobby.jpg": ("image-dog/bobby.jpg", "71d4d4ae4f00f5febb1f178153673bc456d15f305f6d58517679340dcfbf5914"),
    "images/cat1.png": ("image-cats/cat1.png", "e87d082c3d9465126a0e66f95b0111be8d300223c24a7590604e622cba662699"),
    "images/cat2.png": ("image-cats/cat2.png", "5fe15f80c49c9ecb7c72dcdc276d43a04c0559dc9bf62d5de17c72c5b777283f"),
    "images/cat3.png": ("image-cats/cat3.png", "903322dcc2bb2930013d58cd39c6ae6f55c5b1b640ef3129b30c0000c6858c93"),
    "wine/winequality-white.csv": (
        "tabular-wine/winequality-white.csv",
        "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836",
    ),
    "bikes/hour-fixed.csv": (
        "bike-sharing-dataset/hour-fixed.csv",
        "ae5b1b828676fb7696ebfd838f105c71cda9c867aa752f75eed6fa6d0eacf991",
    ),
    "text/1342-0.txt": ("jane-austen/1342-0.txt", "c96e628c6f84bf45d3cee2c2da66166ccbeda328ecb76bb9b2ab1bc91961d0d1"),
}
SIDE = 256  # pixels of the images of the batch
HOURS = 24  # of a day
LINE = 200  # of the text, counted from 0


class Sources(NamedTuple):
    """One image, three of one size, a table of wines with their score last, a table by the hour, and a text."""

    image: UInt8[Tensor, "channels height width"]
    batch: UInt8[Tensor, "3 3 256 256"]
    wine: data.Table
    score_bounds: tuple[int, int]  # a wine is bad up to the first, good from the second
    indicator: str  # the column of the wines by which a threshold classifies them
    bikes: data.Table
    text: str
    line: int  # the number of the line of the text that becomes tensors


def tutorial(path: str | os.PathLike[str] | None) -> Sources:
    """Returns the data of *Deep Learning with PyTorch*, chapter 4, read from files below `path` or downloaded there.

    Raises:
        DataError: a file is missing and cannot be downloaded, is malformed, or holds something else.
    """
    paths = {
        name: data.find_or_download(name, path, urls=f"{REPOSITORY}/{address}", sha256=checksum)
        for name, (address, checksum) in PUBLISHED.items()
    }
    cats = [_photograph(paths[f"images/cat{number}.png"], (3, SIDE, SIDE)) for number in (1, 2, 3)]
    scores = {str(score): float(score) for score in range(10)}
    wine_file, hours_file = paths["wine/winequality-white.csv"], paths["bikes/hour-fixed.csv"]
    wine = data.read_table(wine_file, delimiter=";", columns=12, convert={"quality": scores})
    _require(wine_file, wine, ("total sulfur dioxide", "alcohol"))
    weather = {"1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0}
    of_hours: dict[str, data.Conversion] = {
        "dteday": lambda date: float(date[8:10]),
        "weathersit": weather,
    }  # the day of the month
    bikes = data.read_table(hours_file, columns=17, convert=of_hours)
    _require(hours_file, bikes, ("temp", "cnt"))
    if len(bikes.values) % HOURS:
        raise data.DataError(
            f"{hours_file}: has {len(bikes.values)} hours, expected full days of {HOURS}; get it again"
        )
    book = paths["text/1342-0.txt"]
    # The byte order mark in front is what the tutorial reads as a letter of the first word.
    text = "\ufeff" + data.read_text(book).replace("\r\n", "\n")
    if "Impossible, Mr. Bennet" not in "".join(text.split("\n")[LINE : LINE + 1]):
        raise data.DataError(
            f"{book}, line {LINE + 1}: expected 'Impossible, Mr. Bennet'; put Gutenberg's text 1342 there"
        )
    dog = _photograph(paths["images/bobby.jpg"])
    return Sources(dog, torch.stack(cats), wine, (3, 7), "total sulfur dioxide", bikes, text, LINE)


def sample() -> Sources:
    """Returns two photographs, 178 wines of three growers and their description from scikit-learn, and synthetic hours.

    The score of a wine is which of the three grew it. The table of hours is computed by a formula: 28 days of
    temperature, weather and bicycles.
    """
    from sklearn.datasets import load_wine

    china, flower = (
        data.load_image(str(files("sklearn.datasets.images") / f"{name}.jpg")) for name in ("china", "flower")
    )
    crops = [china[:, -SIDE:, :SIDE], china[:, -SIDE:, -SIDE:], flower[:, -SIDE:, SIDE : 2 * SIDE]]
    bunch = load_wine()
    values = torch.from_numpy(bunch.data).float()
    wine = data.Table(torch.column_stack([values, torch.from_numpy(bunch.target)]), (*bunch.feature_names, "grower"))
    lines = bunch.DESCR.split("\n")
    line = next(number for number, text in enumerate(lines) if text.startswith("The data is"))
    return Sources(china, torch.stack(crops), wine, (0, 2), "flavanoids", _synthetic_hours(28), bunch.DESCR, line)


def _synthetic_hours(days: int) -> data.Table:
    """Days with a cool morning, rain on every third, and rides to work and home."""
    day, hour = torch.arange(days).repeat_interleave(HOURS), torch.arange(HOURS).repeat(days)
    weather = 1 + (day % 3 == 2).int() + (day % 12 == 11).int() + (day % 24 == 23).int()
    temperature = 0.45 + 0.01 * (day % 10) + 0.15 * torch.sin((hour - 9) * 2 * math.pi / HOURS)
    rides = 20 + 180 * (torch.exp(-((hour - 8) ** 2) / 4) + torch.exp(-((hour - 17) ** 2) / 6)) / weather
    columns = (torch.arange(days * HOURS), day + 1, hour, weather, temperature, rides.round())
    return data.Table(torch.column_stack(columns).float(), ("instant", "dteday", "hr", "weathersit", "temp", "cnt"))


def _photograph(path: Path, shape: tuple[int, ...] | None = None) -> UInt8[Tensor, "3 height width"]:
    image = data.load_image(path)[:3]  # without the opacity, which some of these files have
    if len(image) != 3 or image.shape != (shape or image.shape):
        expected = shape or "(3, height, width)"
        raise data.DataError(f"{path}: has the shape {tuple(image.shape)}, expected {expected}; get it again")
    return image


def _require(path: Path, table: data.Table, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table.names]
    if absent:
        raise data.DataError(f"{path}, line 1: there is no column '{absent[0]}'; get the right file")

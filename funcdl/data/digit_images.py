"""Converting images of handwritten digits to MNIST's format, for networks that are trained on MNIST."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from funcdl.data.errors import DataError
from funcdl.data.images import open_image

if TYPE_CHECKING:
    from PIL import Image

SIDE = 28  # pixels of an MNIST image
BOX = 20  # pixels of the longest side of the digit in it
MIN_CONTRAST = 16 / 255  # with less an image counts as blank
NOISE = 0.1  # fraction of the contrast; pixels closer to the background count as background
CERTAIN = 0.15  # fraction of the contrast; ink from here on sets the digit's box, which grain of the paper must not
STROKE = 1.4  # pixels of an MNIST image; 97 of 100 digits there have wider strokes, and thinner ones would fade
FINE = 4  # times the resolution of an MNIST image, to measure and widen strokes in


def load_digit(path: str | os.PathLike[str]) -> UInt8[Tensor, "1 28 28"]:
    """Reads an image of one handwritten digit and normalizes it like MNIST: light on dark, scaled and centered.

    The image may have any size, be gray or colored, 8 or 16 bits, with or without transparency, dark on light or light
    on dark: the border is assumed to be background. The contrast is stretched to the full range, the digit is scaled so
    that its longest side has 20 pixels, and its center of mass is moved to the middle of 28 x 28, as in MNIST. Strokes
    of a finer pen than MNIST's, which would fade, are widened. An image that is already like this (28 x 28, a black
    border, a bright digit) is returned unchanged.

    Args:
        path: a file that `load_image` can read.

    Returns:
        uint8 (1, 28, 28), 0 the background and 255 full ink.

    Raises:
        DataError: the file is missing, too large, not an image or damaged, or the image is blank.

    >>> import tempfile
    >>> from PIL import Image, ImageDraw
    >>> picture = Image.new("RGB", (90, 60), "white")
    >>> ImageDraw.Draw(picture).line([(20, 10), (20, 49)], fill="navy", width=4)
    >>> path = Path(tempfile.mkdtemp()) / "one.png"
    >>> picture.save(path)
    >>> image = load_digit(path)
    >>> image.shape, image[0].amax(1).nonzero().numel()
    (torch.Size([1, 28, 28]), 20)
    """
    path = Path(path)
    gray = _brightness(path)
    border = np.concatenate([gray[0], gray[-1], gray[1:-1, 0], gray[1:-1, -1]])
    background = float(np.median(border))
    if gray.shape == (SIDE, SIDE) and background == 0 and gray.max() >= 0.5:
        return torch.from_numpy(gray * 255).round().to(torch.uint8).unsqueeze(0)
    light_on_dark = gray.max() - background >= background - gray.min()
    ink = (gray - background if light_on_dark else background - gray).clip(0)
    if ink.max() < MIN_CONTRAST:
        raise DataError(
            f"{path} shows one even surface of {gray.shape[1]} x {gray.shape[0]} pixels, expected a digit on a plain "
            "background of another brightness"
        )
    ink = ((ink / ink.max() - NOISE) / (1 - 2 * NOISE)).clip(0, 1)
    small = torch.from_numpy(_fit(ink))
    return (255 * center(small.unsqueeze(0))).round().to(torch.uint8)


def center(ink: Float[Tensor, "n 20 20"]) -> Float[Tensor, "n 28 28"]:
    """Pads 20 x 20 images to 28 x 28, with the center of mass as near as possible to row and column 14, as in MNIST.

    >>> ink = torch.zeros(1, 20, 20)
    >>> ink[0, 9:12, 7] = 1.0
    >>> center(ink)[0].nonzero().tolist()
    [[13, 14], [14, 14], [15, 14]]
    """
    margin = SIDE - BOX
    positions = torch.arange(BOX, dtype=ink.dtype)
    mass = ink.sum((1, 2)).clamp(min=torch.finfo(ink.dtype).tiny)
    # The position of the image's top left corner in the result.
    top = (SIDE / 2 - (ink.sum(2) @ positions) / mass).round().long().clamp(0, margin)
    left = (SIDE / 2 - (ink.sum(1) @ positions) / mass).round().long().clamp(0, margin)
    padded = F.pad(ink, (margin,) * 4)
    rows = torch.arange(SIDE) + (margin - top).unsqueeze(1)
    columns = torch.arange(SIDE) + (margin - left).unsqueeze(1)
    return padded[torch.arange(len(ink))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _brightness(path: Path) -> np.ndarray:
    """Returns the brightness of an image as float32 (height, width) in [0, 1]."""
    picture = open_image(path)
    if picture.mode == "F":
        return np.asarray(picture)
    if picture.mode == "RGBA":
        return _flattened(picture)
    return np.asarray(picture.convert("L"), dtype=np.float32) / 255


def _flattened(picture: Image.Image) -> np.ndarray:
    """Returns the brightness of an image with transparency, on a background of its median brightness."""
    alpha = np.asarray(picture.getchannel("A"), dtype=np.float32) / 255
    gray = np.asarray(picture.convert("RGB").convert("L"), dtype=np.float32) / 255
    visible = alpha >= 0.5
    if visible.mean() < 0.5:  # ink on a transparent background: the alpha channel is its shape
        return alpha
    paper = float(np.median(gray[visible]))
    return alpha * gray + (1 - alpha) * paper


def _fit(ink: np.ndarray) -> np.ndarray:
    """Crops the ink to its bounding box, scales its longest side to 20, and centers it in 20 x 20, at full contrast."""
    pen = ink >= CERTAIN
    rows, columns = np.flatnonzero(pen.any(1)), np.flatnonzero(pen.any(0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    small = _scaled(_widened(digit), BOX)
    height, width = small.shape
    top, left = (BOX - height) // 2, (BOX - width) // 2
    return np.pad(small / small.max(), ((top, BOX - height - top), (left, BOX - width - left)))


def _widened(digit: np.ndarray) -> np.ndarray:
    """Widens strokes that are thinner than MNIST's, at a finer resolution; other digits are returned unchanged."""
    margin = round(STROKE * FINE)
    fine = np.pad(_scaled(digit, FINE * BOX), margin)
    inside = fine > fine.max() / 2
    edges = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
    width = 2 * inside.sum() / (np.pi / 4 * edges)  # of a line; counted along pixels an outline is 4 / pi too long
    radius = round((STROKE * FINE - width) / 2)
    if radius < 1:
        return digit
    wide = F.max_pool2d(torch.from_numpy(fine)[None], 2 * radius + 1, stride=1, padding=radius)[0].numpy()
    return wide[margin - radius : radius - margin or None, margin - radius : radius - margin or None]


def _scaled(digit: np.ndarray, side: int) -> np.ndarray:
    """Scales the image so that its longest side has so many pixels."""
    from PIL import Image

    height, width = (max(1, round(length * side / max(digit.shape))) for length in digit.shape)
    return np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)).clip(0, None)

"""Reading pictures: any as it is, and one of a digit so that a network trained on MNIST understands it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from funcdl.data.source import DataError

SIDE = 28  # pixels of an MNIST image
BOX = 20  # pixels of the longest side of the digit in it
FAINTEST = 16 / 255  # contrast below which a picture counts as blank
NOISE = 0.1  # of the contrast; what is closer to the background than that is background


def load_image(path: str | os.PathLike[str]) -> UInt8[Tensor, "channels height width"]:
    """Reads a picture, upright, in torch's layout: the channels first.

    Args:
        path: a file in a format that Pillow reads.

    Returns:
        uint8 (channels, height, width): 1 channel of grey, 3 of red, green and blue, or 4 with opacity last.

    Raises:
        DataError: the file is missing, is not an image, or is damaged.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "night.png"
    >>> Image.new("RGB", (4, 2), "navy").save(path)
    >>> load_image(path).shape, load_image(path)[:, 0, 0]
    (torch.Size([3, 2, 4]), tensor([  0,   0, 128], dtype=torch.uint8))
    """
    picture = _open(Path(path))
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert("RGBA" if "transparency" in picture.info or "A" in picture.getbands() else "RGB")
    pixels = torch.from_numpy(np.array(picture))
    return pixels.reshape(*pixels.shape[:2], -1).movedim(-1, 0).contiguous()


def load_digit(path: str | os.PathLike[str]) -> UInt8[Tensor, "1 28 28"]:
    """Reads a picture of one handwritten digit in the form of MNIST's images: light on dark, sized and centred.

    Any size, grey or coloured, 8 or 16 bits, with or without transparency, dark on light or light on dark: the border
    shows which the background is. The contrast is stretched to the full range, the digit scaled to a longest side of
    20 pixels and its centre of mass put in the middle of 28 x 28, as was done to make MNIST. A picture that is
    already so (28 x 28, a black border, a bright digit) is returned as it is.

    Args:
        path: a file in a format that Pillow reads.

    Returns:
        uint8 (1, 28, 28), 0 the background and 255 full ink.

    Raises:
        DataError: the file is missing, is not an image, is damaged, or shows one even surface.

    >>> import tempfile
    >>> from PIL import ImageDraw
    >>> picture = Image.new("RGB", (90, 60), "white")
    >>> ImageDraw.Draw(picture).line([(20, 10), (20, 49)], fill="navy", width=4)
    >>> path = Path(tempfile.mkdtemp()) / "one.png"
    >>> picture.save(path)
    >>> image = load_digit(path)
    >>> image.shape, image[0].amax(1).nonzero().numel()
    (torch.Size([1, 28, 28]), 20)
    """
    path = Path(path)
    grey = _brightness(path)
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    background = float(np.median(border))
    if grey.shape == (SIDE, SIDE) and background == 0 and grey.max() >= 0.5:
        return torch.from_numpy(grey * 255).round().to(torch.uint8).unsqueeze(0)
    light_on_dark = grey.max() - background >= background - grey.min()
    ink = (grey - background if light_on_dark else background - grey).clip(0)
    if ink.max() < FAINTEST:
        raise DataError(
            f"{path} shows one even surface of {grey.shape[1]} x {grey.shape[0]} pixels, expected a digit on a plain "
            "background of another brightness"
        )
    ink = ((ink / ink.max() - NOISE) / (1 - 2 * NOISE)).clip(0, 1)
    small = torch.from_numpy(_fit(ink))
    return (255 * centre(small.unsqueeze(0))).round().to(torch.uint8)


def centre(ink: Float[Tensor, "n 20 20"]) -> Float[Tensor, "n 28 28"]:
    """Sets each 20 x 20 image into 28 x 28 where its centre of mass comes nearest to MNIST's, row and column 14.

    >>> ink = torch.zeros(1, 20, 20)
    >>> ink[0, 9:12, 7] = 1.0
    >>> centre(ink)[0].nonzero().tolist()
    [[13, 14], [14, 14], [15, 14]]
    """
    margin = SIDE - BOX
    places = torch.arange(BOX, dtype=ink.dtype)
    mass = ink.sum((1, 2)).clamp(min=torch.finfo(ink.dtype).tiny)
    # The image's top left corner in the result.
    top = (SIDE / 2 - (ink.sum(2) @ places) / mass).round().long().clamp(0, margin)
    left = (SIDE / 2 - (ink.sum(1) @ places) / mass).round().long().clamp(0, margin)
    wide = F.pad(ink, (margin,) * 4)
    rows = torch.arange(SIDE) + (margin - top).unsqueeze(1)
    columns = torch.arange(SIDE) + (margin - left).unsqueeze(1)
    return wide[torch.arange(len(ink))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _open(path: Path) -> Image.Image:
    """The picture as its file has it, turned upright."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; pass the path of a picture") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image that Pillow can read; pass a PNG or JPEG file") from None
    # Pillow's decoders raise SyntaxError and ValueError, too, on damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}); save it again as PNG") from None
    return picture


def _brightness(path: Path) -> np.ndarray:
    """The picture as float32 (height, width) in [0, 1], dark to light."""
    picture = _open(path)
    if picture.mode.startswith("I;16"):
        return np.asarray(picture, dtype=np.float32) / 65535
    if picture.mode in ("I", "F"):  # of no stated range
        values = np.asarray(picture, dtype=np.float32)
        return (values / max(float(values.max()), 65535.0 if picture.mode == "I" else 1.0)).clip(0, 1)
    if "A" in picture.getbands() or "transparency" in picture.info:
        return _on_paper(picture.convert("RGBA"))
    return np.asarray(picture.convert("L"), dtype=np.float32) / 255


def _on_paper(picture: Image.Image) -> np.ndarray:
    """The brightness of a picture with transparency, whatever colour its ink has."""
    alpha = np.asarray(picture.getchannel("A"), dtype=np.float32) / 255
    grey = np.asarray(picture.convert("RGB").convert("L"), dtype=np.float32) / 255
    visible = alpha >= 0.5
    if visible.mean() < 0.5:  # ink on a transparent sheet: its shape is the alpha
        return alpha
    paper = float(np.median(grey[visible]))
    return alpha * grey + (1 - alpha) * paper


def _fit(ink: np.ndarray) -> np.ndarray:
    """The inked rectangle scaled to fill 20 x 20 by its longest side, in the middle, with full contrast again."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    small = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)).clip(0, None)
    top, left = (BOX - height) // 2, (BOX - width) // 2
    return np.pad(small / small.max(), ((top, BOX - height - top), (left, BOX - width - left)))

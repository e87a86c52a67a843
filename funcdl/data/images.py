"""Reading pictures: any as it is, and one of a digit so that a network trained on MNIST understands it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from funcdl._extras import require
from funcdl.data.source import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow reads more, some of them by other programs
MAX_PIXELS = 50_000_000  # a few kilobytes may claim more, and take minutes and gigabytes
RANGES = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}  # of grey pictures whose file states none
SIDE = 28  # pixels of an MNIST image
BOX = 20  # pixels of the longest side of the digit in it
FAINTEST = 16 / 255  # contrast below which a picture counts as blank
NOISE = 0.1  # of the contrast; what is closer to the background than that is background


def load_image(path: str | os.PathLike[str]) -> UInt8[Tensor, "channels height width"]:
    """Reads a picture, upright, in torch's layout: the channels first.

    - Grey of 12 or 16 bits is scaled from the range of its type. Grey of 32 bits is taken to lie in the least of [0,
      255], [0, 65535] and all of its type that holds its values, and floating grey in the least of [0, 1], [0, 255] and
      [0, 65535]; other values are refused.
    - Of 16 bits of a colour Pillow reads the upper 8.
    - Where the file has transparency in any form, there is a channel of opacity. CMYK, YCbCr and Lab become RGB.
    - Of an animation it is the first picture.

    Args:
        path: a BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, of at most 50 million pixels.

    Returns:
        uint8 (channels, height, width): 1 channel of grey, 3 of red, green and blue, or 4 with opacity last.

    Raises:
        DataError: the file is missing, too large, is not an image, or is damaged, also in what it says of the camera.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "night.png"
    >>> Image.new("RGB", (4, 2), "navy").save(path)
    >>> load_image(path).shape, load_image(path)[:, 0, 0]
    (torch.Size([3, 2, 4]), tensor([  0,   0, 128], dtype=torch.uint8))
    """
    picture = _open(Path(path))
    pixels = torch.from_numpy(np.array(picture))
    if picture.mode == "F":
        pixels = pixels.mul_(255).round_().to(torch.uint8)
    return pixels.reshape(*pixels.shape[:2], -1).movedim(-1, 0).contiguous()


def load_digit(path: str | os.PathLike[str]) -> UInt8[Tensor, "1 28 28"]:
    """Reads a picture of one handwritten digit in the form of MNIST's images: light on dark, sized and centred.

    Any size, grey or coloured, 8 or 16 bits, with or without transparency, dark on light or light on dark: the border
    shows which the background is. The contrast is stretched to the full range, the digit scaled to a longest side of
    20 pixels and its centre of mass put in the middle of 28 x 28, as was done to make MNIST. A picture that is
    already so (28 x 28, a black border, a bright digit) is returned as it is.

    Args:
        path: a file as `load_image` reads it.

    Returns:
        uint8 (1, 28, 28), 0 the background and 255 full ink.

    Raises:
        DataError: the file is missing, too large, is not an image, is damaged, or shows one even surface.

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
    """The picture turned upright, in mode L, RGB or RGBA, or in F for grey of more than 8 bits, scaled to [0, 1]."""
    require("PIL", "reading pictures")
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is a pipe or a device")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of a file's metadata
            with Image.open(path, formats=FORMATS) as file:
                width, height = file.size
                if not 0 < width * height <= MAX_PIXELS:
                    raise DataError(
                        f"{path} has {width:,} x {height:,} pixels, expected 1 to {MAX_PIXELS:,} in all; scale it"
                    )
                stored = [str(tile[3] if isinstance(tile[3], str) else tile[3][0]) for tile in file.tile if tile[3]]
                picture = ImageOps.exif_transpose(file)
                picture.load()
            return _plain(picture, file, stored[0] if stored else "", path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; pass the path of a picture") from None
    except UnidentifiedImageError:
        others = ", ".join(name for name in FORMATS if name not in ("PNG", "JPEG"))
        raise DataError(
            f"{path} is not an image that Pillow can read; pass a PNG or JPEG file (or one of {others})"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"{path} has more pixels than the {MAX_PIXELS:,} that are read; scale it down") from None
    except Exception as error:  # on damaged files Pillow's readers raise whatever they stumble over
        reason = str(error).strip() or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason}); save it again as PNG") from None


def _plain(picture: Image.Image, file: Image.Image, stored: str, path: Path) -> Image.Image:
    """A picture in one of the modes that `_open` returns; `stored` is how its file has the pixels."""
    from PIL import Image, ImageCms

    clear = picture.info.get("transparency")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        grey = _scaled_grey(picture, file, stored, path)
        if clear is None:
            return Image.fromarray(grey)
        opacity = Image.fromarray(np.where(np.asarray(picture) == clear, 0, 255).astype(np.uint8))
        picture = Image.fromarray((255 * grey).round().astype(np.uint8)).convert("RGBA")
        picture.putalpha(opacity)
        return picture
    if clear is not None:  # is stated in the file's bits, and Pillow compares it with 8
        if stored.startswith("RGB;16"):
            picture.info["transparency"] = tuple(value >> 8 for value in clear)
        elif stored in ("L;2", "L;4"):
            picture.info["transparency"] = clear * (85 if stored == "L;2" else 17)
        return picture.convert("RGBA")
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB")
        assert converted is not None
        return converted
    if picture.mode == "La":
        picture = picture.convert("LA")
    bands = picture.getbands()
    wanted = "RGBA" if "A" in bands or "a" in bands else "L" if picture.mode in ("1", "L") else "RGB"
    return picture.convert(wanted)


def _scaled_grey(picture: Image.Image, file: Image.Image, stored: str, path: Path) -> np.ndarray:
    """Grey of more than 8 bits as float32 (height, width) in [0, 1]."""
    values, tags = np.asarray(picture), getattr(file, "tag_v2", {})
    bits, unsigned = tags.get(258, (32,))[0], tags.get(339, (1,))[0] == 1
    if picture.mode.startswith("I;16"):
        ranges: tuple[float, ...] = (4095.0 if stored == "I;12" else 65535.0,)
    elif picture.mode == "F":
        ranges = RANGES["F"]
    elif file.format != "TIFF":
        ranges = (65535.0,)
    elif bits == 16:
        ranges = (32767.0,)
    else:
        values = values.view(np.uint32) if unsigned else values
        ranges = (*RANGES["I"], 2.0**32 - 1 if unsigned else 2.0**31 - 1)
    least, most = float(values.min()), float(values.max())
    full = next((end for end in ranges if most <= end), None)
    # A little above 1 may be the overshoot of a filter, or a very dark picture of [0, 255].
    if full is None or not least >= 0 or (picture.mode == "F" and 1 < most < 2):
        expected = " or ".join(f"[0, {end:.0f}]" for end in ranges)
        raise DataError(f"{path} has values from {least:g} to {most:g}, expected {expected}; scale or clip them")
    grey = values.astype(np.float32) / np.float32(full)
    return 1 - grey if tags.get(262) == 0 else grey  # TIFF may have white at 0


def _brightness(path: Path) -> np.ndarray:
    """The picture as float32 (height, width) in [0, 1], dark to light."""
    picture = _open(path)
    if picture.mode == "F":
        return np.asarray(picture)
    if picture.mode == "RGBA":
        return _on_paper(picture)
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
    from PIL import Image

    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    small = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)).clip(0, None)
    top, left = (BOX - height) // 2, (BOX - width) // 2
    return np.pad(small / small.max(), ((top, BOX - height - top), (left, BOX - width - left)))

"""Reading image files as upright uint8 tensors of gray, RGB or RGBA."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from funcdl._extras import require
from funcdl.data.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow reads others by running other programs
MAX_PIXELS = 50_000_000  # a file of a few kilobytes may unpack to more, and take minutes and gigabytes
RANGES = {"F": (1.0, 255.0, 65535.0), "I": (255.0, 65535.0)}  # of gray, if the file states none


def load_image(path: str | os.PathLike[str]) -> UInt8[Tensor, "channels height width"]:
    """Reads an image file, upright, in torch's layout: channels first.

    - Gray of 12 or 16 bits is scaled from the range of its type. For gray of 32 bits the range is the smallest of
      [0, 255], [0, 65535] and the range of its type that contains all values; for floating-point gray it is the
      smallest of [0, 1], [0, 255] and [0, 65535]. Other values are an error.
    - For colors of 16 bits, Pillow reads the upper 8 bits.
    - If the file has any transparency, there is an alpha channel. CMYK, YCbCr and Lab are converted to RGB.
    - For an animation, the first frame is read.

    Args:
        path: a BMP, GIF, JPEG, PNG, PPM, TIFF or WebP file, of at most 50 million pixels.

    Returns:
        uint8 (channels, height, width), with 1 channel for gray, 3 for RGB or 4 for RGBA.

    Raises:
        DataError: the file is missing, too large or not an image, or it or its metadata are damaged.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "night.png"
    >>> from PIL import Image
    >>> Image.new("RGB", (4, 2), "navy").save(path)
    >>> load_image(path).shape, load_image(path)[:, 0, 0]
    (torch.Size([3, 2, 4]), tensor([  0,   0, 128], dtype=torch.uint8))
    """
    picture = open_image(Path(path))
    pixels = torch.from_numpy(np.array(picture))
    if picture.mode == "F":
        pixels = pixels.mul_(255).round_().to(torch.uint8)
    return rearrange(pixels, "height width ... -> (...) height width").contiguous()


def open_image(path: Path) -> Image.Image:
    """Opens an image, upright, in mode L, RGB or RGBA, or in F, scaled to [0, 1], for gray of more than 8 bits."""
    require("PIL", "reading pictures")
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is a pipe or a device")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about metadata
            with Image.open(path, formats=FORMATS) as file:
                width, height = file.size
                if not 0 < width * height <= MAX_PIXELS:
                    raise DataError(
                        f"{path} has {width:,} x {height:,} pixels, expected 1 to {MAX_PIXELS:,} in all; scale it"
                    )
                stored = [str(tile[3] if isinstance(tile[3], str) else tile[3][0]) for tile in file.tile if tile[3]]
                picture = ImageOps.exif_transpose(file)
                picture.load()
            return _standard_mode(picture, file, stored[0] if stored else "", path)
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
    except Exception as error:  # Pillow raises all types of errors for damaged files
        reason = str(error).strip() or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason}); save it again as PNG") from None


def _standard_mode(picture: Image.Image, file: Image.Image, stored: str, path: Path) -> Image.Image:
    """Converts an image to one of the modes that `open_image` returns; `stored` is the pixel format of its file."""
    from PIL import Image, ImageCms

    clear = picture.info.get("transparency")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        gray = _scaled_gray(picture, file, stored, path)
        if clear is None:
            return Image.fromarray(gray)
        opacity = Image.fromarray(np.where(np.asarray(picture) == clear, 0, 255).astype(np.uint8))
        picture = Image.fromarray((255 * gray).round().astype(np.uint8)).convert("RGBA")
        picture.putalpha(opacity)
        return picture
    if clear is not None:  # is in the bit depth of the file, but Pillow compares it with 8-bit values
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


def _scaled_gray(picture: Image.Image, file: Image.Image, stored: str, path: Path) -> np.ndarray:
    """Returns gray of more than 8 bits as float32 (height, width) in [0, 1]."""
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
    lowest, highest = float(values.min()), float(values.max())
    full = next((end for end in ranges if highest <= end), None)
    # Slightly above 1 is ambiguous: the overshoot of a filter in [0, 1], or a very dark picture in [0, 255].
    if full is None or not lowest >= 0 or (picture.mode == "F" and 1 < highest < 2):
        expected = " or ".join(f"[0, {end:.0f}]" for end in ranges)
        raise DataError(f"{path} has values from {lowest:g} to {highest:g}, expected {expected}; scale or clip them")
    gray = values.astype(np.float32) / np.float32(full)
    return 1 - gray if tags.get(262) == 0 else gray  # TIFF may have white at 0

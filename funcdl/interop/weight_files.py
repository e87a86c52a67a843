"""Weight files, loaded without executing code from them."""

from __future__ import annotations

import warnings
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

MAX_UNPACKED, MAX_RATIO = 1 << 26, 64  # a zip file may unpack to 64 MiB, or 64 times its size


def load_safetensors(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Reads a safetensors file: a flat dict of tensors on the CPU, as `from_state_dict` takes it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a safetensors file, is damaged, or contains a dtype that torch does not have.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"fc.bias": torch.zeros(2)}, f"{folder}/twin.safetensors")
    ...     load_safetensors(f"{folder}/twin.safetensors")
    {'fc.bias': tensor([0., 0.])}
    """
    path = _existing("load_safetensors", path)
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises several types of errors
        reason = _reason(error)
        raise ValueError(f"load_safetensors: {path} is not a safetensors file ({reason}); try load_torch()") from None


def load_torch(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Reads a file that `torch.save(module.state_dict(), path)` wrote: a flat dict of tensors on the CPU.

    Only tensors are unpickled (`torch.load(weights_only=True)`), so that a file cannot run code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, is not a flat dict of tensors, or is a zip file that unpacks to more than 64 MiB and
            64 times its size.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"fc.bias": torch.zeros(2)}, f"{folder}/twin.pt")
    ...     load_torch(f"{folder}/twin.pt")
    {'fc.bias': tensor([0., 0.])}
    """
    path = _existing("load_torch", path)
    try:
        _check_unpacked(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the pickle format
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of errors for damaged files
        raise ValueError(
            f"load_torch: {path} holds more than tensors, or is not a file of torch.save ({_reason(error)}); write it "
            "with torch.save(module.state_dict(), path)"
        ) from None
    if not isinstance(loaded, dict):
        raise ValueError(f"load_torch: expected a dict of tensors in {path}, got {type(loaded).__name__}")
    if others := [
        f"{str(name)[:60]} ({'no data' if torch.is_tensor(value) and value.is_meta else type(value).__name__})"
        for name, value in loaded.items()
        if not (torch.is_tensor(value) and isinstance(name, str) and not value.is_meta)
    ]:
        raise ValueError(
            f"load_torch: expected a flat dict of tensors in {path}, got {', '.join(others[:5])} as well; "
            "save the state_dict() alone"
        )
    return dict(loaded)


def _existing(function: str, path: str | PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{function}: there is no file {path}")
    path.open("rb").close()  # raises an error if the file cannot be read
    return path


def _check_unpacked(path: Path) -> None:
    """Raises a ValueError for a compressed zip file (a zip bomb); torch.save does not compress."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > max(MAX_UNPACKED, MAX_RATIO * path.stat().st_size):
            raise ValueError(f"it unpacks to {size:,} bytes")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__

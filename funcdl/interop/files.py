"""Files of weights, read without running code from them."""

from __future__ import annotations

import pickle
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def load_safetensors(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Reads a safetensors file: a flat dict of tensors on the CPU, as `from_state_dict` takes it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no safetensors file.

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
    except SafetensorError as error:
        raise ValueError(f"load_safetensors: {path} is not a safetensors file ({error}); try load_torch()") from None


def load_torch(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Reads what `torch.save(module.state_dict(), path)` wrote: a flat dict of tensors on the CPU.

    Only tensors are unpickled (`torch.load(weights_only=True)`), so that a file cannot run code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else than a flat dict of tensors.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"fc.bias": torch.zeros(2)}, f"{folder}/twin.pt")
    ...     load_torch(f"{folder}/twin.pt")
    {'fc.bias': tensor([0., 0.])}
    """
    path = _existing("load_torch", path)
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"load_torch: {path} holds more than tensors, or is no file of torch.save ({reason}); write it by "
            "torch.save(module.state_dict(), path)"
        ) from None
    if not isinstance(loaded, dict):
        raise ValueError(f"load_torch: expected a dict of tensors in {path}, got {type(loaded).__name__}")
    if others := [f"{name} ({type(value).__name__})" for name, value in loaded.items() if not torch.is_tensor(value)]:
        raise ValueError(
            f"load_torch: expected a flat dict of tensors in {path}, got {', '.join(others[:5])} as well; "
            "save the state_dict() alone"
        )
    return dict(loaded)


def _existing(function: str, path: str | PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{function}: there is no file {path}")
    return path

"""Checkpoints: a tree of tensors in a safetensors file, and a JSON file that says what it holds. Nothing is pickled.

The JSON file names its tensors' file and is renamed into place last, so that whatever moment a process dies at, the
folder holds the old checkpoint or the new one, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from funcdl import tree
from funcdl.train import files
from funcdl.train.files import CheckpointError, write_atomically
from funcdl.tree import Tree

FORMAT = "funcdl checkpoint 1"
DESCRIPTION = "checkpoint.json"
AS_REAL = (torch.complex32, torch.complex128)  # dtypes that safetensors does not have, and how it gets them
AS_BYTES = (torch.float8_e8m0fnu, torch.float4_e2m1fn_x2)
OURS = re.compile(r"[0-9a-f]{16}\.safetensors|\.[0-9a-f]{16}\.safetensors\.tmp|\.checkpoint\.json\.tmp")
HEADER_BYTES = 10**8  # the most that safetensors reads
NEEDED = {"format": str, "file": str, "sha256": str, "info": dict}
TENSORS = re.compile(r"[\w-]+\.safetensors")  # a file in the same folder


def save(folder: str | os.PathLike[str], values: Tree, info: dict[str, Any] | None = None) -> None:
    """Saves a tree of tensors in `folder`, in place of the checkpoint that is there.

    Equal trees and infos give equal bytes.

    Args:
        folder: made if need be.
        values: the tree; each leaf is saved under its path. Leaves may share memory or be views: each is copied. What
            a registered container holds beside its leaves is not saved.
        info: anything that JSON holds, kept beside it.

    Raises:
        ValueError: two leaves have one path (a key holds a dot, or is a number beside its text), one has a name that
            safetensors keeps to itself, or a dtype that it does not have.
        TypeError: a leaf is not a tensor.
        WriteError: a file cannot be written; the checkpoint that was there still is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder, {"w": torch.ones(2)}, {"epoch": 3})
    ...     load(folder, {"w": torch.zeros(2)})
    ({'w': tensor([1., 1.])}, {'epoch': 3})
    """
    folder = Path(folder)
    leaves: dict[str, torch.Tensor] = {}
    for path, leaf in tree.leaves_with_paths(values):
        name = path or "value"
        if name in leaves or name == "__metadata__":
            raise ValueError(f"checkpoint.save: the path '{path}' is taken; rename a key of the tree")
        if not isinstance(leaf, torch.Tensor):
            raise TypeError(f"checkpoint.save: '{name}' is {leaf!r} of type {type(leaf).__name__}; expected a tensor")
        leaves[name] = _stored(leaf.detach().cpu().clone(memory_format=torch.contiguous_format))
    try:
        payload = safetensors.torch.save(leaves)
    except KeyError as error:
        (dtype,) = error.args
        raise ValueError(f"checkpoint.save: safetensors has no {dtype}; convert leaves of that dtype") from None
    digest = hashlib.sha256(payload).hexdigest()
    name = f"{digest[:16]}.safetensors"
    description = {"format": FORMAT, "file": name, "sha256": digest, "tree": _describe(values), "info": info or {}}
    text = json.dumps(description, indent=1, sort_keys=True)
    files.make_folder(folder)
    write_atomically(folder / name, payload)
    write_atomically(folder / DESCRIPTION, text.encode())
    with files.writing(folder):
        for old in folder.iterdir():  # the last one's, and a killed process's
            if OURS.fullmatch(old.name) and old.name != name:
                old.unlink()


def load(folder: str | os.PathLike[str], like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Loads the tree that was saved in `folder`.

    Args:
        folder: as given to `save`.
        like: a tree of the same structure, shapes and dtypes; only these are read, and the device of each leaf, where
            the loaded one is put (those on `meta` on the CPU).

    Returns:
        The tree and the info.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it holds another tree; the message names the first
            difference.
    """
    folder = Path(folder)
    description = _read_description(folder)
    different = _difference(description["tree"], _describe(like))
    if different:
        raise CheckpointError(f"{folder}: holds another tree than the one asked for: {files.clean(different, 1000)}")
    payload_file = folder / description["file"]
    most = HEADER_BYTES + sum(leaf.numel() * leaf.element_size() for leaf in tree.leaves(like))
    try:
        payload = files.read(payload_file, most)
    except OSError as error:
        raise CheckpointError(f"{payload_file}: cannot be read ({error.strerror}); it belongs to {folder}") from None
    if hashlib.sha256(payload).hexdigest() != description["sha256"]:
        raise CheckpointError(f"{payload_file}: is damaged (its checksum does not match); start again or use a copy")
    try:
        loaded = safetensors.torch.load(payload)
    except SafetensorError as error:
        raise CheckpointError(f"{payload_file}: is not a safetensors file ({files.clean(str(error))})") from None

    def place(path: str, leaf: torch.Tensor) -> torch.Tensor:
        # A copy, since those loaded lie in memory that is aligned otherwise than torch's own, and kernels look at that.
        device = "cpu" if leaf.device.type == "meta" else leaf.device
        saved = loaded.get(path or "value")
        saved = None if saved is None else _restored(saved.clone(), leaf.dtype)
        if saved is None or (saved.dtype, saved.shape) != (leaf.dtype, leaf.shape):
            found = "nothing" if saved is None else _describe(saved)
            raise CheckpointError(
                f"{payload_file}: has {found} at '{path}', and {DESCRIPTION} beside it says {_describe(leaf)}; "
                "start again or use a copy"
            )
        return saved.to(device)

    return tree.map_with_path(place, like), description["info"]


def read_info(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the info that was saved in `folder`, without the tree.

    Raises:
        CheckpointError: there is no checkpoint, or its description is damaged.
    """
    return _read_description(Path(folder))["info"]


def exists(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` holds a checkpoint."""
    return (Path(folder) / DESCRIPTION).exists()


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = files.parse(files.read(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: holds no checkpoint (there is no {DESCRIPTION})") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except CheckpointError:
        raise
    except ValueError:
        raise CheckpointError(f"{path}: is not JSON; it is truncated or no checkpoint's") from None
    wrong = files.difference(description, NEEDED)
    if not wrong and description["format"] != FORMAT:
        wrong = f"at 'format' it has {files.shown(description['format'])}"
    if not wrong and not TENSORS.fullmatch(description["file"]):
        wrong = f"at 'file' it has {files.shown(description['file'])}, expected a .safetensors file beside it"
    if not wrong and not _is_described(description.get("tree")):
        wrong = "its 'tree' is none"
    if wrong:
        raise CheckpointError(f"{path}: does not describe a checkpoint of this version ('{FORMAT}'): {wrong}")
    return description


def _is_described(part: Any) -> bool:
    """Whether it is a tree in JSON's terms, as `_describe` makes it."""
    if isinstance(part, dict) and len(part) == 1:
        (children,) = part.values()
        return isinstance(children, dict) and all(map(_is_described, children.values()))
    return isinstance(part, str)


def _stored(leaf: torch.Tensor) -> torch.Tensor:
    if leaf.dtype in AS_REAL:
        return torch.view_as_real(leaf)
    return leaf.view(torch.uint8) if leaf.dtype in AS_BYTES else leaf


def _restored(stored: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The leaf of that dtype that `stored` may be the form of."""
    if dtype in AS_REAL and stored.dtype == dtype.to_real() and stored.shape[-1:] == (2,):
        return torch.view_as_complex(stored)
    return stored.view(dtype) if dtype in AS_BYTES and stored.dtype == torch.uint8 else stored


def _describe(part: Tree) -> Any:
    """The tree in JSON's terms: containers by kind, leaves as 'float32 (3, 2)'."""
    children = tree.children(part)
    if children is None:
        return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"
    kind = "dict" if isinstance(part, dict) else type(part).__name__
    return {kind: {str(key): _describe(child) for key, child in children}}


def _difference(saved: Any, wanted: Any, path: str = "") -> str | None:
    """The first place where two descriptions differ, in words, or None."""
    where = f"at '{path}'" if path else "at the top"
    if isinstance(saved, str) or isinstance(wanted, str):
        return None if saved == wanted else f"{where} it has {_brief(saved)}, expected {_brief(wanted)}"
    ((saved_kind, saved_children),) = saved.items()
    ((wanted_kind, wanted_children),) = wanted.items()
    if saved_kind != wanted_kind or saved_children.keys() != wanted_children.keys():
        return f"{where} it has {_brief(saved)}, expected {_brief(wanted)}"
    for key in saved_children:
        found = _difference(saved_children[key], wanted_children[key], f"{path}.{key}" if path else key)
        if found:
            return found
    return None


def _brief(description: Any) -> str:
    if isinstance(description, str):
        return description
    ((kind, children),) = description.items()
    return f"a {kind} of {', '.join(children) or 'nothing'}"

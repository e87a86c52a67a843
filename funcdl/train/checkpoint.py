"""Checkpoints: a tree of tensors in a safetensors file, and a JSON file that describes it. Nothing is pickled.

The JSON file names the safetensors file and is renamed into place last. If the process dies at any moment, the folder
therefore holds either the complete old checkpoint or the complete new one.
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
STORED_AS_REAL = (torch.complex32, torch.complex128)  # safetensors lacks these dtypes and the next
STORED_AS_BYTES = (torch.float8_e8m0fnu, torch.float4_e2m1fn_x2)
FUNCDL_FILES = re.compile(r"[0-9a-f]{16}\.safetensors|\.[0-9a-f]{16}\.safetensors\.tmp|\.checkpoint\.json\.tmp")
MAX_HEADER_BYTES = 10**8  # the limit of safetensors
SCHEMA = {"format": str, "file": str, "sha256": str, "info": dict}
PAYLOAD_NAME = re.compile(r"[\w-]+\.safetensors")  # a file in the same folder


def save(folder: str | os.PathLike[str], values: Tree, info: dict[str, Any] | None = None) -> None:
    """Saves a tree of tensors in `folder` and replaces the checkpoint that is already there.

    Equal trees with equal infos give equal bytes.

    Args:
        folder: created if needed.
        values: the tree; each leaf is saved under its path. Leaves may be views or share memory: each is copied. What
            a registered container stores besides its children is not saved.
        info: further data to store with the tree: anything that JSON can represent.

    Raises:
        ValueError: two leaves have the same path (because a key contains a dot, or a dict has the keys 1 and "1"), a
            path is a name that safetensors reserves, or safetensors does not support a dtype.
        TypeError: a leaf is not a tensor.
        WriteError: a file cannot be written; the previous checkpoint is kept.

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
            raise ValueError(f"checkpoint.save: the path '{path}' is taken or reserved; rename that key of the tree")
        if not isinstance(leaf, torch.Tensor):
            raise TypeError(f"checkpoint.save: '{name}' is {leaf!r} of type {type(leaf).__name__}; expected a tensor")
        leaves[name] = _to_storable(leaf.detach().cpu().clone(memory_format=torch.contiguous_format))
    try:
        payload = safetensors.torch.save(leaves)
    except KeyError as error:
        (dtype,) = error.args
        raise ValueError(f"checkpoint.save: safetensors has no {dtype}; convert leaves of that dtype first") from None
    digest = hashlib.sha256(payload).hexdigest()
    name = f"{digest[:16]}.safetensors"
    description = {"format": FORMAT, "file": name, "sha256": digest, "tree": _describe(values), "info": info or {}}
    text = json.dumps(description, indent=1, sort_keys=True)
    files.make_folder(folder)
    write_atomically(folder / name, payload)
    write_atomically(folder / DESCRIPTION, text.encode())
    with files.convert_errors(folder):
        for old in folder.iterdir():  # files of the previous checkpoint and of killed processes
            if FUNCDL_FILES.fullmatch(old.name) and old.name != name:
                old.unlink()


def load(folder: str | os.PathLike[str], like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Loads the tree that was saved in `folder`.

    Args:
        folder: as given to `save`.
        like: a tree with the expected structure, shapes and dtypes; its values are not read. Each leaf is loaded to
            the device of its counterpart in `like`, or to the CPU if that is on `meta`.

    Returns:
        The tree and the info.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it holds a different tree; the message names the
            first difference.
    """
    folder = Path(folder)
    description = _read_description(folder)
    different = _find_difference(description["tree"], _describe(like))
    if different:
        raise CheckpointError(
            f"{folder}: holds another tree than the one asked for: {files.printable(different, max_length=1000)}"
        )
    payload_file = folder / description["file"]
    max_bytes = MAX_HEADER_BYTES + sum(leaf.numel() * leaf.element_size() for leaf in tree.leaves(like))
    try:
        payload = files.read(payload_file, max_bytes)
    except OSError as error:
        raise CheckpointError(f"{payload_file}: cannot be read ({error.strerror}); it belongs to {folder}") from None
    if hashlib.sha256(payload).hexdigest() != description["sha256"]:
        raise CheckpointError(f"{payload_file}: is damaged (its checksum does not match); start again or use a copy")
    try:
        loaded = safetensors.torch.load(payload)
    except SafetensorError as error:
        raise CheckpointError(f"{payload_file}: is not a safetensors file ({files.printable(str(error))})") from None

    def place(path: str, leaf: torch.Tensor) -> torch.Tensor:
        # Cloned, because safetensors does not align memory as torch does, and kernels may then round differently.
        device = "cpu" if leaf.device.type == "meta" else leaf.device
        saved = loaded.get(path or "value")
        saved = None if saved is None else _from_storable(saved.clone(), leaf.dtype)
        if saved is None or (saved.dtype, saved.shape) != (leaf.dtype, leaf.shape):
            found = "nothing" if saved is None else _describe(saved)
            raise CheckpointError(
                f"{payload_file}: has {found} at '{path}', and {DESCRIPTION} beside it says {_describe(leaf)}; "
                "start again or use a copy"
            )
        return saved.to(device)

    return tree.map_with_path(place, like), description["info"]


def read_info(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads only the info of the checkpoint in `folder`, not its tree.

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
        raise CheckpointError(f"{path}: is not JSON; start again or use a copy") from None
    wrong = files.find_mismatch(description, SCHEMA)
    if not wrong and description["format"] != FORMAT:
        wrong = f"at 'format' it has {files.quote(description['format'])}"
    if not wrong and not PAYLOAD_NAME.fullmatch(description["file"]):
        wrong = f"at 'file' it has {files.quote(description['file'])}, expected a .safetensors file beside it"
    if not wrong and not _is_tree_description(description.get("tree")):
        wrong = "its 'tree' does not describe a tree"
    if wrong:
        raise CheckpointError(f"{path}: does not describe a checkpoint of this version ('{FORMAT}'): {wrong}")
    return description


def _is_tree_description(part: Any) -> bool:
    """Whether `part` has the form of the descriptions that `_describe` returns."""
    if isinstance(part, dict) and len(part) == 1:
        (children,) = part.values()
        return isinstance(children, dict) and all(map(_is_tree_description, children.values()))
    return isinstance(part, str)


def _to_storable(leaf: torch.Tensor) -> torch.Tensor:
    if leaf.dtype in STORED_AS_REAL:
        return torch.view_as_real(leaf)
    return leaf.view(torch.uint8) if leaf.dtype in STORED_AS_BYTES else leaf


def _from_storable(stored: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The inverse of `_to_storable`; returns `stored` itself if it is not the stored form of a tensor of `dtype`."""
    if dtype in STORED_AS_REAL and stored.dtype == dtype.to_real() and stored.shape[-1:] == (2,):
        return torch.view_as_complex(stored)
    return stored.view(dtype) if dtype in STORED_AS_BYTES and stored.dtype == torch.uint8 else stored


def _describe(part: Tree) -> Any:
    """Describes the structure of a tree in JSON: a container by its type, a leaf as 'float32 (3, 2)'."""
    children = tree.children(part)
    if children is None:
        return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"
    kind = "dict" if isinstance(part, dict) else type(part).__name__
    return {kind: {str(key): _describe(child) for key, child in children}}


def _find_difference(saved: Any, wanted: Any, path: str = "") -> str | None:
    """Describes the first place where two descriptions differ; None if they are equal."""
    where = f"at '{path}'" if path else "at the top"
    if isinstance(saved, str) or isinstance(wanted, str):
        return None if saved == wanted else f"{where} it has {_brief(saved)}, expected {_brief(wanted)}"
    ((saved_kind, saved_children),) = saved.items()
    ((wanted_kind, wanted_children),) = wanted.items()
    if saved_kind != wanted_kind or saved_children.keys() != wanted_children.keys():
        return f"{where} it has {_brief(saved)}, expected {_brief(wanted)}"
    for key in saved_children:
        found = _find_difference(saved_children[key], wanted_children[key], f"{path}.{key}" if path else key)
        if found:
            return found
    return None


def _brief(description: Any) -> str:
    if isinstance(description, str):
        return description
    ((kind, children),) = description.items()
    return f"a {kind} of {', '.join(children) or 'nothing'}"

"""Files of a network's parameters that run no code when they are loaded."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from funcdl import interop, nn, random, train, tree
from funcdl.train import files

from ..lesson import Lesson, raised


def saved_and_restored(
    lesson: Lesson,
    folder: Path,
    networks: Mapping[str, Callable[..., nn.Layer]],
    function: dict[str, Any],
    params: tree.Tree,
    x: Tensor,
) -> dict[str, Tensor]:
    """Saves a network to three files and returns the curves of the restored networks by the kind of file.

    `function` says which of the `networks` the parameters are of, and with what settings it was built.
    """
    model = networks[function["network"]](**function["settings"])
    like = model.init(random.key(0, device=x.device), x)[0]  # a network to read the parameters into
    flat = interop.to_state_dict(params)
    files.write_atomically(folder / "params.safetensors", save(flat))
    buffer = io.BytesIO()
    torch.save(flat, buffer)
    files.write_atomically(folder / "params.pt", buffer.getvalue())
    safe, _ = interop.from_state_dict(interop.load_safetensors(folder / "params.safetensors"), like)
    loaded, _ = interop.from_state_dict(interop.load_torch(folder / "params.pt"), like)  # weights_only=True

    train.save(files.refuse_symlink(folder / "function"), params, function)
    info = train.read_info(folder / "function")
    rebuilt = networks[info["network"]](**info["settings"])
    restored, _ = train.load(folder / "function", rebuilt.init(random.key(0, device=x.device), x)[0])
    text = "what is saved beside the tensors, to build the network again"
    lesson.show("rebuilt_from", text, f"{info['network']} {info['settings']}")

    pickled = io.BytesIO()
    torch.save(torch.nn.ReLU(), pickled)  # one activation is object enough
    pickled.seek(0)
    refusal = raised(torch.load, pickled).split(":")[0]
    lesson.show("refused", "torch.load of a pickled module", refusal, "the whole network")
    lesson.remark(
        "torch.load('net.pkl') of a whole network is refused: unpickling calls whatever functions the file names, so "
        "torch loads tensors alone (weights_only=True) since 2.6; save the parameters, and build the network by code."
    )
    return {
        "parameters, safetensors": model(safe, x),
        "parameters, torch.save": model(loaded, x),
        "name and settings": rebuilt(restored, x),
    }

"""Interoperability with `torch.nn`: modules as layers, layers as modules, state dicts, and weight files."""

from funcdl.interop.from_module import from_module
from funcdl.interop.state_dict import from_state_dict, to_state_dict
from funcdl.interop.to_module import to_module
from funcdl.interop.weight_files import load_safetensors, load_torch

__all__ = ["from_module", "from_state_dict", "load_safetensors", "load_torch", "to_module", "to_state_dict"]

"""The door to `torch.nn`: modules as layers and layers as modules, state dicts, and files of weights."""

from funcdl.interop.from_module import from_module
from funcdl.interop.state_dict import from_state_dict, to_state_dict
from funcdl.interop.to_module import to_module
from funcdl.interop.weight_files import load_safetensors, load_torch

__all__ = ["from_module", "from_state_dict", "load_safetensors", "load_torch", "to_module", "to_state_dict"]

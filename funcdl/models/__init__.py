"""Models: functions that return a `Layer`, with the parameter names of their `nn.Module` twins."""

from funcdl.models.convnet import convnet

__all__ = ["convnet"]

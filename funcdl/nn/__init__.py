"""Layers: constructors with the names, arguments, layouts and initial distributions of `torch.nn`, as pure functions.

>>> import torch
>>> from funcdl import nn, random
>>> model = nn.serial(nn.linear(4), nn.relu(), nn.linear(1))
>>> params, buffers = model.init(random.key(0), torch.empty(8, 3, device="meta"))
>>> y, buffers = model.apply(params, buffers, torch.ones(8, 3))
>>> y.shape
torch.Size([8, 1])
"""

from funcdl.nn.activation import log_softmax, relu
from funcdl.nn.convolution import conv2d
from funcdl.nn.dropout import dropout, dropout2d
from funcdl.nn.layer import Layer, add, concatenate, parallel, residual, serial, stateless
from funcdl.nn.linear import linear
from funcdl.nn.pooling import max_pool2d
from funcdl.nn.shape import flatten

__all__ = [
    "Layer",
    "add",
    "concatenate",
    "conv2d",
    "dropout",
    "dropout2d",
    "flatten",
    "linear",
    "log_softmax",
    "max_pool2d",
    "parallel",
    "relu",
    "residual",
    "serial",
    "stateless",
]

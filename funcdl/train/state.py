"""The state of a training run, as one tree of tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from funcdl import random
from funcdl.nn import Layer
from funcdl.nn.layer import INIT_CONTRACT, as_pair
from funcdl.optim import Transformation
from funcdl.tree import Tree


class TrainState(NamedTuple):
    """A training run between two steps. Saving this tree saves the run."""

    params: Tree
    buffers: Tree
    optimizer: Tree
    key: Tensor
    step: Int[Tensor, ""]


def make_state(model: Layer, optimizer: Transformation, key: Tensor, inputs: Tree) -> TrainState:
    """Returns the state before the first step.

    Args:
        model: the layer to train.
        optimizer: its `init` creates the optimizer state.
        key: split in two: one key initializes the parameters, the other is for the random numbers of the steps. All
            tensors of the state are on the key's device.
        inputs: an example of the model's inputs. Only its shapes and dtypes are read, so it may be on `meta`.

    >>> from funcdl import nn, optim
    >>> state = make_state(nn.linear(2), optim.sgd(lr=0.1), random.key(0), torch.empty(1, 3, device="meta"))
    >>> state.params["weight"].shape, state.step
    (torch.Size([2, 3]), tensor(0))
    """
    init_key, step_key = random.split(key).unbind()
    params, buffers = as_pair("the model", INIT_CONTRACT, model.init(init_key, inputs))
    step = torch.zeros((), dtype=torch.int64, device=key.device)
    return TrainState(params, buffers, optimizer.init(params), step_key.clone(), step)

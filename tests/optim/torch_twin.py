"""The torch twin of an optimizer, and parameters and gradients for both."""

import inspect
from contextlib import contextmanager

import torch
from torch.optim import LBFGS, Adafactor, Muon

from funcdl import tree


def shapes_for(twin):
    if twin is Muon:  # matrices only
        return {"wide": (5, 7), "empty": (0, 3), "layers": ({"weight": (64, 29)}, {"weight": (1, 1)})}
    shapes = {"scalar": (), "empty": (0, 3), "layers": ({"weight": (1,)}, {"weight": (64, 129)}, {"weight": (2, 3, 5)})}
    if twin is Adafactor:  # divides by the number of elements
        del shapes["empty"]
    return shapes


def draw(shapes, dtype, device, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def leaf(shape):
        return torch.randn(shape, generator=generator, dtype=dtype).to(device)

    def walk(node):
        if isinstance(node, dict):
            return {name: walk(child) for name, child in node.items()}
        return tuple(walk(child) for child in node) if node and isinstance(node[0], dict) else leaf(node)

    return walk(shapes)


def nonzero_like(params, step):
    """Numbers, both parts of complex ones too, of size 0.1 and more."""

    def away_from_zero(leaf):
        real = torch.view_as_real(leaf) if leaf.is_complex() else leaf
        moved = real + 0.1 * torch.where(real < 0, -1, 1).to(real.dtype)
        return torch.view_as_complex(moved) if leaf.is_complex() else moved

    generator = torch.Generator().manual_seed(step + 1)
    return tree.map(
        lambda p: away_from_zero(torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)), params
    )


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Twin:
    """A torch optimizer that does one update in each step, with its own scalars as wide as the parameters.

    Otherwise ASGD's rate and NAdam's product of momenta would be float32, whatever the parameters are.
    """

    def __init__(self, twin, options, parameters):
        self.parameters = parameters
        self.closure = []
        if twin is LBFGS:
            options, self.closure = {**options, "max_iter": 1}, [lambda: torch.zeros(())]
        if "foreach" in inspect.signature(twin).parameters:
            options = {**options, "foreach": False}
        self.optimizer = twin(parameters, **options)

    def step(self):
        with default_dtype(torch.float64 if self.wide() else torch.float32):
            self.optimizer.step(*self.closure)

    def wide(self):
        return any(p.dtype in (torch.float64, torch.complex128) for p in self.parameters)

"""Parity tests: compare a layer with its `nn.Module` twin, or an optimizer with one of `torch.optim`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from funcdl import interop, optim, random, transforms, tree
from funcdl.nn import Layer
from funcdl.tree import Tree


def assert_matches_module(
    layer: Layer,
    module: torch.nn.Module,
    inputs: Tree,
    *,
    key: Tensor | None = None,
    train: bool = False,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Asserts that a layer computes the same as an `nn.Module`, forward and backward.

    The module's state is copied to the layer, and both are applied to the inputs. They have to agree in the names and
    shapes of parameters and buffers, the outputs, the gradients of a random projection of the outputs with respect to
    parameters and floating-point inputs, and the buffers after the call. Everything is computed in the module's dtype;
    for a strict comparison convert it with `.double()`.

    Args:
        layer: the layer; a tuple or dict of inputs is passed to it as one argument.
        module: its twin. Neither the module nor torch's global generator is changed.
        inputs: a tensor, or a tuple or dict of tensors for a module that takes several by position or by name.
            Floating-point inputs are converted to the module's dtype.
        key: a key, for layers that draw random numbers.
        train: whether both are applied in training mode. A module that draws random numbers in training cannot be
            matched.
        rtol: the relative tolerance, as in `torch.testing.assert_close`: give both or neither.
        atol: the absolute tolerance.

    Raises:
        AssertionError: something differs; the message names the leaf.

    >>> from funcdl import nn
    >>> twin = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 2, device="meta")).to_empty(device="cpu")
    >>> for parameter in twin.parameters():
    ...     _ = torch.nn.init.constant_(parameter, 0.5)
    >>> assert_matches_module(nn.serial(nn.flatten(), nn.linear(2)), twin, torch.ones(4, 3, 2))
    """
    module = copy.deepcopy(module).train(train).requires_grad_(True)
    dtypes = [leaf.dtype for leaf in module.state_dict().values() if leaf.is_floating_point()]

    def in_module_dtype(leaf: Tensor) -> Tensor:
        return leaf.detach().to(dtypes[0] if dtypes and leaf.is_floating_point() else leaf.dtype)

    inputs = tree.map(in_module_dtype, inputs)
    device = next(iter([*module.state_dict().values(), *tree.leaves(inputs)])).device
    params, buffers = tree.map(in_module_dtype, layer.init(random.key(0, device=device), inputs))
    try:
        params, buffers = interop.from_state_dict(module.state_dict(), params, buffers)
    except ValueError as error:
        raise AssertionError(f"the layer and the module differ in their parameters and buffers: {error}") from None

    # The module's buffers were copied above; they are compared after the call below.
    floating, other = tree.partition(inputs, lambda _, leaf: leaf.is_floating_point())
    leaves = tree.map(lambda leaf: leaf.clone().requires_grad_(), floating)
    module_inputs = tree.combine(leaves, other)
    with torch.random.fork_rng(devices=_cuda_devices(module, inputs)):
        expected = call(module, module_inputs)
    variables = {**dict(module.named_parameters()), **_prefixed("input", leaves)}
    projection = _projection(expected)
    gradients: dict[str, Tensor] = {name: torch.zeros_like(leaf) for name, leaf in variables.items()}
    if projection.requires_grad:
        values = torch.autograd.grad(projection, list(variables.values()), allow_unused=True, materialize_grads=True)
        gradients = dict(zip(variables, values, strict=True))

    def project(params: Tree, floating: Tree) -> tuple[Tensor, tuple[Tree, Tree]]:
        y, after = layer.apply(params, buffers, tree.combine(floating, other), key=key, train=train)
        return _projection(y), (y, after)

    (by_params, by_inputs), (y, after) = transforms.grad(project, argnums=(0, 1), has_aux=True)(params, floating)
    _assert_close("output", _prefixed("", y), _prefixed("", expected), rtol, atol)
    _assert_close("gradient", {**_prefixed("", by_params), **_prefixed("input", by_inputs)}, gradients, rtol, atol)
    parameters = dict(module.named_parameters())
    module_buffers = {name: leaf for name, leaf in module.state_dict().items() if name not in parameters}
    _assert_close("buffer", _prefixed("", after), module_buffers, rtol, atol)


def assert_matches_optimizer(
    transformation: optim.Transformation,
    torch_optimizer_factory: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
    params: Tree,
    *,
    steps: int = 20,
    gradients: Callable[[int], Tree] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Asserts that a transformation takes the steps that a `torch.optim.Optimizer` takes.

    Both start at the same parameters and get the same gradients; their parameters have to agree after every step.

    Args:
        transformation: the optimizer under test.
        torch_optimizer_factory: `parameters -> optimizer`, for example `torch.optim.Adam`; the parameters are the
            leaves of `params` in the order of `tree.leaves`.
        params: the initial parameters, a tree of floating-point tensors; float64 for a strict comparison.
        steps: the number of updates.
        gradients: `step -> tree` like `params`, for `step` = 0, 1, ...; by default fixed random numbers of magnitude
            at least 0.1, different at each step.
        rtol: the relative tolerance, as in `torch.testing.assert_close`: give both or neither.
        atol: the absolute tolerance.

    Raises:
        AssertionError: they differ; the message names the step and the parameter.

    >>> from funcdl import optim
    >>> assert_matches_optimizer(optim.sgd(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1), {"w": torch.ones(3)})
    """
    if gradients is None:
        gradients = functools.partial(_nonzero_like, params)
    parameters = tree.map(lambda leaf: torch.nn.Parameter(leaf.detach().clone()), params)
    optimizer = torch_optimizer_factory(tree.leaves(parameters))
    state = transformation.init(params)
    for step in range(steps):
        grads = gradients(step)
        updates, state = transformation.update(grads, state, params)
        params = optim.apply_updates(params, updates)
        for parameter, grad in zip(tree.leaves(parameters), tree.leaves(grads), strict=True):
            parameter.grad = grad.detach().clone()
        optimizer.step()
        _assert_close(f"step {step}: parameter", _prefixed("", params), _prefixed("", parameters), rtol, atol)


def call(module: torch.nn.Module, inputs: Tree) -> Tree:
    """Calls a module with inputs as a layer takes them: a tensor, a tuple by position, or a dict by name.

    >>> call(torch.nn.Identity(), {"input": torch.ones(2)})
    tensor([1., 1.])
    """
    if isinstance(inputs, dict):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


def _nonzero_like(params: Tree, step: int) -> Tree:
    """Normal random numbers of magnitude at least 0.1, like `params`."""

    def draw(path: str, leaf: Tensor) -> Tensor:
        key = random.fold_in(random.fold_in(random.key(0, device=leaf.device), step), paths.index(path))
        normal = random.normal(key, leaf.shape, dtype=leaf.dtype)
        return normal + 0.1 * torch.where(normal < 0, -1, 1)

    paths = tree.paths(params)
    return tree.map_with_path(draw, params)


def _assert_close(
    what: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], rtol: float | None, atol: float | None
) -> None:
    if actual.keys() != expected.keys():
        only_layer, only_module = (sorted(a.keys() - b.keys()) for a, b in ((actual, expected), (expected, actual)))
        raise AssertionError(
            f"{what}: only in the layer {only_layer or 'nothing'}, only in the module {only_module or 'nothing'}"
        )
    for name, leaf in actual.items():
        where = f"{what} {name}".rstrip()
        try:
            torch.testing.assert_close(leaf, expected[name].detach(), rtol=rtol, atol=atol)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None


def _projection(outputs: Tree) -> Tensor:
    """The sum of the floating leaves of `outputs`, each times fixed normal numbers."""
    total = torch.zeros(())
    for index, leaf in enumerate(tree.leaves(outputs)):
        if leaf.is_floating_point():
            key = random.fold_in(random.key(0, device=leaf.device), index)
            total = total.to(leaf) + (leaf * random.normal(key, leaf.shape, dtype=leaf.dtype)).sum()
    return total


def _prefixed(prefix: str, values: Tree) -> dict[str, Tensor]:
    return {".".join(filter(None, (prefix, path))): leaf for path, leaf in tree.leaves_with_paths(values)}


def _cuda_devices(module: torch.nn.Module, inputs: Tree) -> list[torch.device]:
    leaves = [*module.parameters(), *module.buffers(), *tree.leaves(inputs)]
    return list({leaf.device for leaf in leaves if leaf.is_cuda})

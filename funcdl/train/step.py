"""The training step and the evaluation, each a pure function that compiles to one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from funcdl import random, tree
from funcdl.metrics import Metric
from funcdl.nn import Layer
from funcdl.nn.layer import APPLY_CONTRACT, as_pair
from funcdl.optim import Transformation, apply_updates
from funcdl.train.state import TrainState
from funcdl.transforms import scan, value_and_grad
from funcdl.tree import Tree

Precision = Literal["fp32", "bf16"]
Step = Callable[[TrainState, Tree], tuple[TrainState, dict[str, Tensor]]]
Evaluate = Callable[[Tree, Tree, Tree], dict[str, Tensor]]


def make_step(
    model: Layer,
    loss: Callable[[Tree, Tree], Tensor],
    optimizer: Transformation,
    *,
    metrics: Mapping[str, Metric] | None = None,
    prepare: Callable[[Tree], Tree] | None = None,
    precision: Precision = "fp32",
) -> Step:
    """Returns the training step: forward pass, backward pass and optimizer update.

    Args:
        model: the layer to train, applied with `train=True` and the key `fold_in(state.key, state.step)`.
        loss: `loss(outputs, targets)`, a 0-dim tensor.
        optimizer: receives the gradients, and the loss as `value`.
        metrics: further measurements by name, computed from the outputs in training mode.
        prepare: a function applied to the inputs of each batch first, such as one that converts bytes to normalized
            floats.
        precision: with "bf16" the model's outputs and gradients are computed in bfloat16; the parameters, their updates
            and the loss stay in float32.

    Returns:
        `step(state, (inputs, targets)) -> (state, measured)`, where `measured` is a dict with the `loss` of the batch
        and the metrics.

    Raises:
        ValueError: `precision` is neither "fp32" nor "bf16".

    >>> from funcdl import losses, nn, optim
    >>> from funcdl.train import make_state
    >>> model, optimizer = nn.linear(1), optim.sgd(lr=0.1)
    >>> x = torch.tensor([[1.0], [2.0], [3.0]])
    >>> state = make_state(model, optimizer, random.key(0), x)
    >>> step = make_step(model, losses.mse, optimizer)
    >>> for _ in range(200):
    ...     state, measured = step(state, (x, 2 * x))
    >>> bool(measured["loss"] < 1e-3)
    True
    """
    _check_precision("make_step", precision)

    def step(state: TrainState, batch: Tree) -> tuple[TrainState, dict[str, Tensor]]:
        inputs, targets = batch
        inputs = prepare(inputs) if prepare else inputs
        key = random.fold_in(state.key, state.step)

        def objective(params: Tree) -> tuple[Tensor, tuple[Tree, Tree]]:
            outputs, buffers = _apply(model, precision, params, state.buffers, inputs, key=key, train=True)
            return loss(outputs, targets), (outputs, buffers)

        (value, (outputs, buffers)), grads = value_and_grad(objective, has_aux=True)(state.params)
        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params, value=value)
        measured = {"loss": value, **{name: metric(outputs, targets) for name, metric in (metrics or {}).items()}}
        params = apply_updates(state.params, updates)
        return TrainState(params, buffers, optimizer_state, state.key, state.step + 1), measured

    return step


def make_evaluate(
    model: Layer,
    metrics: Mapping[str, Metric],
    *,
    prepare: Callable[[Tree], Tree] | None = None,
    precision: Precision = "fp32",
) -> Evaluate:
    """Returns the function that evaluates a model on a whole data set.

    Args:
        model: the layer to evaluate, applied with `train=False`.
        metrics: the measurements, by name.
        prepare, precision: as in `make_step`.

    Returns:
        `evaluate(params, buffers, batches) -> measured`, a dict of the metrics. `batches` is `(inputs, targets,
        weights)` with all batches stacked along a new first dimension, as `data.stacked_batches` returns them; the
        whole pass is one scan. A list of such stacks, as `data.bucketed_stacked_batches` returns it, is evaluated as
        one data set.

    Raises:
        ValueError: `precision` is neither "fp32" nor "bf16".

    >>> from funcdl import data, losses, metrics, nn
    >>> model = nn.linear(1)
    >>> evaluate = make_evaluate(model, {"loss": metrics.mean_loss(losses.mse)})
    >>> batches = data.stacked_batches((torch.ones(5, 3), torch.ones(5, 1)), batch_size=2)
    >>> evaluate({"weight": torch.ones(1, 3), "bias": torch.zeros(1)}, {}, batches)
    {'loss': tensor(4.)}
    """
    _check_precision("make_evaluate", precision)

    def accumulate(params: Tree, buffers: Tree, batch: Tree) -> Tree:
        inputs, targets, weights = batch
        inputs = prepare(inputs) if prepare else inputs
        outputs, _ = _apply(model, precision, params, buffers, inputs, train=False)
        return {name: metric.accumulate(outputs, targets, weights) for name, metric in metrics.items()}

    def evaluate(params: Tree, buffers: Tree, batches: Tree) -> dict[str, Tensor]:
        def add(totals: Tree, batch: Tree) -> tuple[Tree, Tree]:
            return tree.map(torch.add, totals, accumulate(params, buffers, batch)), {}

        stacks = batches if isinstance(batches, list) else [batches]
        # Only the shapes of these results are used, so that a compiler removes their computation.
        statistics = tree.zeros_like(accumulate(params, buffers, tree.map(lambda leaf: leaf[0], stacks[0])))
        for stack in stacks:
            statistics, _ = scan(add, statistics, stack)
        return {name: metric.compute(statistics[name]) for name, metric in metrics.items()}

    return evaluate


def _check_precision(name: str, precision: Any) -> None:
    if not isinstance(precision, str) or precision not in get_args(Precision):
        known = " or ".join(map(repr, get_args(Precision)))
        raise ValueError(f"{name}(precision={precision!r}): must be {known}")


def _apply(
    model: Layer, precision: Precision, params: Tree, buffers: Tree, inputs: Tree, **mode: Any
) -> tuple[Tree, Tree]:
    if precision == "fp32":
        return as_pair("the model", APPLY_CONTRACT, model.apply(params, buffers, inputs, **mode))
    params, inputs = _cast(params, torch.bfloat16), _cast(inputs, torch.bfloat16)
    outputs, buffers = as_pair("the model", APPLY_CONTRACT, model.apply(params, buffers, inputs, **mode))
    return _cast(outputs, torch.float32), buffers


def _cast(values: Tree, dtype: torch.dtype) -> Tree:
    return tree.map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, values)

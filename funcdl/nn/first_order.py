"""Fused operators with fused gradients, where no derivative but the first is taken."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function, unwrap_dead_wrappers
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from funcdl.nn.checks import first_order_only, is_recorded

Operator = Callable[..., tuple[Tensor, ...]]


def fused(plain: Callable[..., Tensor], operator: Operator, gradient: Operator, *inputs: Tensor) -> Tensor:
    """Returns `plain(*inputs)`, by `operator` where it can.

    `grad` records what it does for a second derivative, and torch then writes many a fused gradient out in small steps,
    at two to four times the time. Here `gradient` is used, and `plain` for all other derivatives and transforms.

    Args:
        plain: a function that can be differentiated, batched and traced.
        operator: computes `(y, *saved)`, with y as by `plain`.
        gradient: computes from `(grad, *inputs, *saved)` the gradients by the inputs.
        inputs: what to differentiate by; the functions may close over more, but for that there is no gradient.
    """
    if torch.compiler.is_compiling() or not _one_gradient(*inputs):
        return plain(*inputs)
    if not torch._C._are_functorch_transforms_active():
        return operator(*inputs)[0]
    y: Tensor = _apply(_Fused, plain, operator, gradient, *inputs)
    return y


class _Fused(_SingleLevelFunction):  # an ordinary Function takes 0.4 ms to get through `grad`, this 0.05
    @staticmethod
    def forward(ctx: Any, plain: Callable[..., Tensor], operator: Operator, gradient: Operator, *inputs: Tensor) -> Any:
        y, *saved = operator(*inputs)
        ctx.plain, ctx.gradient, ctx.count = plain, gradient, len(inputs)
        ctx.save_for_backward(*inputs, *saved)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        tensors = unwrap_dead_wrappers((*grads, *ctx.saved_tensors))  # of a `vjp` that is over; torch 2.11 minds them
        grad, *inputs = tensors[: ctx.count + 1]
        if _one_gradient(grad, *inputs):
            return None, None, None, *_apply(_Gradient, ctx.plain, ctx.gradient, ctx.count, *tensors)
        return None, None, None, *_pull_back(ctx.plain, grad, *inputs)  # as below `jacrev`, which batches this


class _Gradient(_SingleLevelFunction):
    """The gradient, which may have to be differentiated after all, as by `torch.autograd` called below `grad`."""

    @staticmethod
    def forward(ctx: Any, plain: Callable[..., Tensor], gradient: Operator, count: int, *tensors: Tensor) -> Any:
        ctx.plain, ctx.rest = plain, len(tensors) - count - 1
        ctx.save_for_backward(*tensors[: count + 1])
        return gradient(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        tensors = unwrap_dead_wrappers(ctx.saved_tensors)
        by_tensors = torch.func.vjp(functools.partial(_pull_back, ctx.plain), *tensors)[1](grads)
        return None, None, None, *by_tensors, *(None for _ in range(ctx.rest))


def _pull_back(plain: Callable[..., Tensor], grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    by_inputs: tuple[Tensor, ...] = torch.func.vjp(plain, *inputs)[1](grad)
    return by_inputs


def _apply(function: type[_SingleLevelFunction], *arguments: Any) -> Any:
    with enable_single_level_autograd_function():
        return function.apply(*arguments)  # type: ignore[attr-defined]


def _one_gradient(*tensors: Tensor) -> bool:
    """Whether at most one gradient of these real numbers is under way, by `grad`, and no autocast converts them."""
    return (
        first_order_only()
        and forward_ad._current_level < 0
        and all(t.is_floating_point() and not t.is_meta for t in tensors)
        and not torch.is_autocast_enabled(tensors[0].device.type)
        and not any(is_recorded(t) for t in tensors)
    )

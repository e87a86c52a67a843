"""What is under way at this moment: a graph being traced, tensors without data, a transform, a gradient.

A function may compute in another way there, as long as the result is the same: without looking at values, by operations
that have all derivatives, or without writing into its own tensors. While Dynamo traces a function for `torch.compile`
the answers of those that take no tensor are constants of the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from funcdl import _torch

_PLAIN_GRADIENT: ContextVar[bool] = ContextVar("plain autograd takes a gradient for grad()", default=False)


def in_graph() -> bool:
    """Whether a graph is being traced, by `jit` or by `torch.compile` or `torch.export`."""
    return torch.compiler.is_compiling() or _torch.proxy_mode() is not None


def in_fake_mode() -> bool:
    """Whether new tensors have no data, as in `eval_shape` and while `jit` traces."""
    return _torch.fake_mode() is not None


@_torch.constant_in_graph
def functorch_is_active() -> bool:
    """Whether a transform of `torch.func` is under way, such as `vmap`, or `grad` below another transform."""
    return _torch.functorch_is_active()


@_torch.constant_in_graph
def is_transformed() -> bool:
    """Whether a transform of `torch.func` or a forward derivative is under way."""
    return _torch.functorch_is_active() or _torch.forward_ad_is_active()


@_torch.constant_in_graph
def vmap_is_active() -> bool:
    """Whether `vmap` is under way."""
    kinds = _torch.transform_kinds()
    return kinds is None or "Vmap" in kinds


@_torch.constant_in_graph
def first_order_only() -> bool:
    """Whether `torch.func` takes at most one gradient, and no `vmap` or forward derivative, of what is computed now.

    Torch's fused kernels for whole layers know the first derivative alone, and have no rule for `vmap`.
    """
    return _torch.transform_kinds() in ([], ["Grad"]) and not _torch.forward_ad_is_active()


def differentiated_once(*tensors: Tensor) -> bool:
    """Whether all that is differentiated of what is computed from `tensors` now is one gradient of ours, if any.

    What torch's fused kernels cannot do otherwise is done by plain operations, in every graph too, which may be
    differentiated later, and in which they are as fast.
    """
    if in_graph() or _torch.forward_ad_is_active() or is_recorded(*tensors):
        return False
    kinds = _torch.transform_kinds()
    return kinds is not None and kinds.count("Grad") <= 1 and {"Grad", "Vmap"}.issuperset(kinds)


def is_recorded(*tensors: Tensor) -> bool:
    """Whether plain autograd, outside of all our gradients, records what is done with one of them; not for a trace."""
    if in_plain_gradient() and not functorch_is_active():
        return False
    if not torch.is_grad_enabled():
        return False
    return any(plain is None or plain.requires_grad for plain in map(_torch.unwrap, tensors))


def values_are_known(x: Tensor) -> bool:
    """Whether the numbers in `x` can be looked at: not in a graph, on the meta device, or where `vmap` has many in one.

    >>> values_are_known(torch.ones(2)), values_are_known(torch.ones(2, device="meta"))
    (True, False)
    """
    return not (x.is_meta or in_graph() or _torch.is_functorch_wrapped(x) or in_fake_mode())


def in_plain_gradient() -> bool:
    """Whether `grad` or `value_and_grad` differentiates what is computed now, by plain autograd."""
    return _PLAIN_GRADIENT.get()


@contextmanager
def plain_gradient() -> Iterator[None]:
    """Within it `in_plain_gradient()` is true."""
    token = _PLAIN_GRADIENT.set(True)
    try:
        yield
    finally:
        _PLAIN_GRADIENT.reset(token)

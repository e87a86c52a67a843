"""The context in which code runs: whether a graph is being traced, and which transforms and gradients are active.

A function may use a different implementation in some contexts, as long as the result is the same: one that does not
read values, that has all derivatives, or that does not write into its own tensors. While Dynamo traces for
`torch.compile`, the results of the functions here that take no tensor are constants of the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from funcdl import _torch

_PLAIN_GRADIENT: ContextVar[bool] = ContextVar("plain_gradient", default=False)


def in_graph() -> bool:
    """Whether a graph is being traced, by `jit`, `torch.compile` or `torch.export`."""
    return torch.compiler.is_compiling() or _torch.proxy_mode() is not None


def in_fake_mode() -> bool:
    """Whether new tensors are fake tensors, without data, as in `eval_shape` and while `jit` traces."""
    return _torch.fake_mode() is not None


@_torch.constant_in_graph
def functorch_is_active() -> bool:
    """Whether a transform of `torch.func` is active, such as `vmap`, or `grad` inside another transform."""
    return _torch.functorch_is_active()


@_torch.constant_in_graph
def is_transformed() -> bool:
    """Whether a transform of `torch.func` or forward-mode differentiation is active."""
    return _torch.functorch_is_active() or _torch.forward_ad_is_active()


@_torch.constant_in_graph
def vmap_is_active() -> bool:
    """Whether `vmap` is active, or may be: true with a torch that does not tell."""
    kinds = _torch.transform_kinds()
    return kinds is None or "Vmap" in kinds


@_torch.constant_in_graph
def first_order_only() -> bool:
    """Whether no transform of `torch.func` is active except at most one `grad`.

    Torch's fused kernels for whole layers have only a first derivative, and no rule for `vmap`.
    """
    return _torch.transform_kinds() in ([], ["Grad"]) and not _torch.forward_ad_is_active()


def differentiated_once(*tensors: Tensor) -> bool:
    """Whether a computation with `tensors` is differentiated at most once, and by `grad`.

    Only then are torch's fused kernels correct that have no second or forward-mode derivative. The result is False in a
    graph, which may be differentiated later, and in which plain operations are as fast as fused kernels.
    """
    if in_graph() or _torch.forward_ad_is_active() or is_recorded(*tensors):
        return False
    kinds = _torch.transform_kinds()
    return kinds is not None and kinds.count("Grad") <= 1 and {"Grad", "Vmap"}.issuperset(kinds)


def is_recorded(*tensors: Tensor) -> bool:
    """Whether plain autograd, other than that of `grad`, records operations on one of the tensors.

    It cannot be used while a graph is traced.
    """
    if in_plain_gradient() and not functorch_is_active():
        return False
    if not torch.is_grad_enabled():
        return False
    return any(plain is None or plain.requires_grad for plain in map(_torch.unwrap, tensors))


def values_are_known(x: Tensor) -> bool:
    """Whether the values of `x` can be read: not in a graph, on the meta device, or inside a transform of `torch.func`.

    >>> values_are_known(torch.ones(2)), values_are_known(torch.ones(2, device="meta"))
    (True, False)
    """
    return not (x.is_meta or in_graph() or _torch.is_functorch_wrapped(x) or in_fake_mode())


def in_plain_gradient() -> bool:
    """Whether `grad` or `value_and_grad` is active and uses plain autograd."""
    return _PLAIN_GRADIENT.get()


@contextmanager
def plain_gradient() -> Iterator[None]:
    """Context manager in which `in_plain_gradient()` is true."""
    token = _PLAIN_GRADIENT.set(True)
    try:
        yield
    finally:
        _PLAIN_GRADIENT.reset(token)

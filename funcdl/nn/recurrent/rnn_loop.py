"""The fused time loop of `rnn`, and its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from funcdl.nn.recurrent.loop_helpers import (
    Loop,
    call_nondifferentiable,
    iterate_backward,
    iterate_forward,
    new_like,
    new_steps,
    previous_states,
    zero_gradients,
)
from funcdl.nn.recurrent.torch_operators import State

_aten = torch.ops.aten


def rnn_loop(relu: bool) -> Loop:
    """Returns the loop `(x, weight_ih, weight_hh, (bias_ih, bias_hh), state, padding) -> states` of an rnn."""

    def loop(
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        biases: tuple[Tensor, Tensor],
        state: State,
        padding: Tensor | None,
    ) -> State:
        return (_RnnLoop.apply(x, weight_ih, weight_hh, biases[0] + biases[1], *state, padding, relu),)

    return loop


@custom_op("funcdl::rnn_loop", mutates_args=())
def _rnn_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, padding: Tensor | None, relu: bool
) -> Tensor:
    states, bias = new_steps(x, h), bias.unsqueeze(1)
    for x_t, out, padding_t in iterate_forward(x, states, padding):
        torch.baddbmm(bias, x_t, weight_ih.mT, out=out).baddbmm_(h, weight_hh.mT)
        (out.relu_ if relu else out.tanh_)()
        h = out if padding_t is None else torch.lerp(out, h, padding_t, out=out)
    return states


@_rnn_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> Tensor:
    return new_steps(x, h)


@custom_op("funcdl::rnn_loop_backward", mutates_args=())
def _rnn_loop_backward(
    grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, padding: Tensor | None, relu: bool,
    states: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias and h."""
    dx, dw_ih, dw_hh, d_bias = new_like(x), *zero_gradients(weight_ih, weight_hh)
    d, d_h = new_like(h), new_like(h).zero_()
    slices = iterate_backward(grads, x, states, previous_states(h, states), dx, padding)
    for grad_t, x_t, out, h_previous, dx_t, padding_t in slices:
        d_h.add_(grad_t)
        d_new = d_h if padding_t is None else torch.addcmul(d_h, d_h, padding_t, value=-1)
        if relu:
            _aten.threshold_backward(d_new, out, 0, grad_input=d)
        else:
            _aten.tanh_backward(d_new, out, grad_input=d)
        d_h = d @ weight_hh if padding_t is None else d_h.sub_(d_new).baddbmm_(d, weight_hh)
        torch.bmm(d, weight_ih, out=dx_t)
        dw_ih.baddbmm_(d.mT, x_t)
        dw_hh.baddbmm_(d.mT, h_previous)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h


@_rnn_loop_backward.register_fake
def _(grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return new_like(x), *zero_gradients(weight_ih, weight_hh), new_like(h)


class _RnnLoop(torch.autograd.Function):
    """`_rnn_loop` with its gradient."""

    @staticmethod
    def forward(*inputs: Any) -> Tensor:
        return _rnn_loop(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight_ih, weight_hh, _, h, padding, ctx.relu = inputs
        ctx.save_for_backward(x, weight_ih, weight_hh, h, padding, output)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        *inputs, states = ctx.saved_tensors
        return *call_nondifferentiable(_rnn_loop_backward, grads, *inputs, ctx.relu, states), None, None

"""The fused time loop of `gru`, and its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from funcdl.nn.recurrent.loop_helpers import (
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


def gru_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, biases: tuple[Tensor, Tensor], state: State, padding: Tensor | None
) -> State:
    """Returns all states of a gru."""
    hidden = state[0].shape[-1]
    (ih_rz, ih_n), (hh_rz, hh_n) = (bias.tensor_split([2 * hidden], -1) for bias in biases)
    bias = torch.cat([ih_n, ih_rz + hh_rz, hh_n], -1)
    return (_GruLoop.apply(x, weight_ih.roll(hidden, 1), weight_hh, bias, *state, padding)[0],)


@custom_op("funcdl::gru_loop", mutates_args=())
def _gru_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, padding: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns all states of a gru, its gates r and z side by side, its gate n, and the summand `W_hn h + b_hn`.

    Args:
        x, h, padding: of the shapes in `loop_helpers`.
        weight_ih: of the gates n, r and z, in the order that the gradient needs.
        weight_hh: of the gates r, z and n.
        bias: of n, r and z, and the `b_hn` that is multiplied by r.
    """
    hidden = h.shape[-1]
    states, rz, n, h_n = new_steps(x, h), new_steps(x, h, 2), new_steps(x, h), new_steps(x, h)
    ih_n, ih_rz = weight_ih.mT.tensor_split([hidden], -1)
    hh_rz, hh_n = weight_hh.mT.tensor_split([2 * hidden], -1)
    bias_n, bias_rz, bias_h_n = bias.unsqueeze(1).tensor_split([hidden, 3 * hidden], -1)
    slices = iterate_forward(x, rz, n, h_n, states, padding)
    for x_t, rz_t, n_t, h_n_t, out, padding_t in slices:
        torch.baddbmm(bias_rz, x_t, ih_rz, out=rz_t).baddbmm_(h, hh_rz).sigmoid_()
        r, z = rz_t.chunk(2, -1)
        if padding_t is not None:
            torch.maximum(z, padding_t, out=z)
        torch.baddbmm(bias_h_n, h, hh_n, out=h_n_t)
        torch.baddbmm(bias_n, x_t, ih_n, out=n_t).addcmul_(r, h_n_t).tanh_()
        h = torch.lerp(n_t, h, z, out=out)
    return states, rz, n, h_n


@_gru_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return new_steps(x, h), new_steps(x, h, 2), new_steps(x, h), new_steps(x, h)


@custom_op("funcdl::gru_loop_backward", mutates_args=())
def _gru_loop_backward(
    grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    states: Tensor, rz: Tensor, n: Tensor, h_n: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias and h; padding steps have z = 1, so need no mask."""
    hidden = h.shape[-1]
    dx, dw_ih, dw_hh, _ = new_like(x), *zero_gradients(weight_ih, weight_hh)
    d_bias, d = h.new_zeros(len(h), 4 * hidden), h.new_empty(*h.shape[:2], 4 * hidden)
    d_n, d_r, d_z, d_h_n = d.chunk(4, -1)
    d_ih, d_hh = d[..., : 3 * hidden], d[..., hidden:]
    d_h, scratch = new_like(h).zero_(), new_like(h)
    slices = iterate_backward(grads, x, rz, n, h_n, previous_states(h, states), dx)
    for grad_t, x_t, rz_t, n_t, h_n_t, h_previous, dx_t in slices:
        r, z = rz_t.chunk(2, -1)
        d_h.add_(grad_t)
        torch.sub(h_previous, n_t, out=scratch).mul_(d_h)
        _aten.sigmoid_backward(scratch, z, grad_input=d_z)
        through_z = d_h * z
        torch.sub(d_h, through_z, out=scratch)
        _aten.tanh_backward(scratch, n_t, grad_input=d_n)
        torch.mul(d_n, r, out=d_h_n)
        torch.mul(d_n, h_n_t, out=scratch)
        _aten.sigmoid_backward(scratch, r, grad_input=d_r)
        d_h = through_z.baddbmm_(d_hh, weight_hh)
        torch.bmm(d_ih, weight_ih, out=dx_t)
        dw_ih.baddbmm_(d_ih.mT, x_t)
        dw_hh.baddbmm_(d_hh.mT, h_previous)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h


@_gru_loop_backward.register_fake
def _(grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, *_saved: Any) -> tuple[Tensor, ...]:
    dw_ih, dw_hh, _ = zero_gradients(weight_ih, weight_hh)
    return new_like(x), dw_ih, dw_hh, h.new_empty(len(h), 4 * h.shape[-1]), new_like(h)


class _GruLoop(torch.autograd.Function):
    """`_gru_loop` with the gradient of the states."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        return _gru_loop(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight_ih, weight_hh, _, h, _ = inputs
        ctx.save_for_backward(x, weight_ih, weight_hh, h, *output)
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, grads: Tensor, *_: Tensor) -> Any:
        return *call_nondifferentiable(_gru_loop_backward, grads, *ctx.saved_tensors), None

"""The fused time loop of `lstm`, and its gradient."""

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


def lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, biases: tuple[Tensor, Tensor], state: State, padding: Tensor | None
) -> State:
    """Returns all states h and c of an lstm."""
    in_order = [part.roll(state[0].shape[-1], 1) for part in (weight_ih, weight_hh, biases[0] + biases[1])]
    hs, cs, *_ = _LstmLoop.apply(x, *in_order, *state, padding)
    return hs, cs


@custom_op("funcdl::lstm_loop", mutates_args=())
def _lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor, padding: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns all states h and c of an lstm, `tanh(c)`, its gates o, i and f side by side, and its gate g.

    Args:
        x, h, c, padding: of the shapes in `loop_helpers`.
        weight_ih, weight_hh, bias: of the gates o, i, f and g, in this order, because o, i and f share an activation.
    """
    split = [3 * h.shape[-1]]
    hs, cs, tanh_c, oif, g = new_steps(x, h), new_steps(x, h), new_steps(x, h), new_steps(x, h, 3), new_steps(x, h)
    ih_oif, ih_g = weight_ih.mT.tensor_split(split, -1)
    hh_oif, hh_g = weight_hh.mT.tensor_split(split, -1)
    bias_oif, bias_g = bias.unsqueeze(1).tensor_split(split, -1)
    slices = iterate_forward(x, oif, g, cs, tanh_c, hs, padding)
    for x_t, oif_t, g_t, c_t, tanh_c_t, out, padding_t in slices:
        torch.baddbmm(bias_oif, x_t, ih_oif, out=oif_t).baddbmm_(h, hh_oif).sigmoid_()
        torch.baddbmm(bias_g, x_t, ih_g, out=g_t).baddbmm_(h, hh_g).tanh_()
        o, i, f = oif_t.chunk(3, -1)
        if padding_t is not None:
            i.addcmul_(i, padding_t, value=-1)
            torch.maximum(f, padding_t, out=f)
        c = torch.mul(f, c, out=c_t).addcmul_(i, g_t)
        torch.mul(o, torch.tanh(c, out=tanh_c_t), out=out)
        h = out if padding_t is None else torch.lerp(out, h, padding_t, out=out)
    return hs, cs, tanh_c, oif, g


@_lstm_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return new_steps(x, h), new_steps(x, h), new_steps(x, h), new_steps(x, h, 3), new_steps(x, h)


@custom_op("funcdl::lstm_loop_backward", mutates_args=())
def _lstm_loop_backward(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, padding: Tensor | None, hs: Tensor, cs: Tensor, tanh_c: Tensor, oif: Tensor, g: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias, h and c.

    `h_grads` or `c_grads` is None if these states are not used, because adding zeros takes as long as a matrix product.
    """
    dx, dw_ih, dw_hh, d_bias = new_like(x), *zero_gradients(weight_ih, weight_hh)
    d = h.new_empty(*h.shape[:2], weight_hh.shape[1])
    d_o, d_i, d_f, d_g = d.chunk(4, -1)
    d_oif = d[..., : oif.shape[-1]]
    d_h, d_c, scratch = new_like(h).zero_(), new_like(c).zero_(), new_like(h)
    previous_c, previous_h = previous_states(c, cs), previous_states(h, hs)
    slices = iterate_backward(h_grads, c_grads, x, oif, g, tanh_c, previous_c, previous_h, dx, padding)
    for grad_t, c_grad_t, x_t, oif_t, g_t, tanh_c_t, c_previous, h_previous, dx_t, padding_t in slices:
        o, i, f = oif_t.chunk(3, -1)
        if grad_t is not None:
            d_h.add_(grad_t)
        if c_grad_t is not None:
            d_c.add_(c_grad_t)
        d_new = d_h if padding_t is None else torch.addcmul(d_h, d_h, padding_t, value=-1)
        torch.mul(d_new, o, out=scratch)
        d_c.add_(_aten.tanh_backward(scratch, tanh_c_t, grad_input=scratch))
        torch.mul(d_new, tanh_c_t, out=d_o)
        torch.mul(d_c, g_t, out=d_i)
        torch.mul(d_c, c_previous, out=d_f)
        _aten.sigmoid_backward(d_oif, oif_t, grad_input=d_oif)
        torch.mul(d_c, i, out=scratch)
        _aten.tanh_backward(scratch, g_t, grad_input=d_g)
        d_c.mul_(f)
        d_h = d @ weight_hh if padding_t is None else d_h.sub_(d_new).baddbmm_(d, weight_hh)
        torch.bmm(d, weight_ih, out=dx_t)
        dw_ih.baddbmm_(d.mT, x_t)
        dw_hh.baddbmm_(d.mT, h_previous)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h, d_c


@_lstm_loop_backward.register_fake
def _(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, *_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    return new_like(x), *zero_gradients(weight_ih, weight_hh), new_like(h), new_like(c)


class _LstmLoop(torch.autograd.Function):
    """`_lstm_loop` with the gradient of the states h and c."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        return _lstm_loop(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight_ih, weight_hh, _, h, c, padding = inputs
        ctx.save_for_backward(x, weight_ih, weight_hh, h, c, padding, *output)
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, h_grads: Tensor | None, c_grads: Tensor | None, *_: Tensor) -> Any:
        return *call_nondifferentiable(_lstm_loop_backward, h_grads, c_grads, *ctx.saved_tensors), None

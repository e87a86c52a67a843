"""The time loop of `lstm`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from funcdl.nn.recurrent.loop_helpers import backwards, before_each, empty, forwards, like, once, zeros
from funcdl.nn.recurrent.torch_operators import State

_aten = torch.ops.aten


def lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, biases: tuple[Tensor, Tensor], state: State, outside: Tensor | None
) -> State:
    """Returns all states h and c of an lstm."""
    in_order = [part.roll(state[0].shape[-1], 1) for part in (weight_ih, weight_hh, biases[0] + biases[1])]
    hs, cs, *_ = _LstmLoop.apply(x, *in_order, *state, outside)
    return hs, cs


@custom_op("funcdl::lstm_loop", mutates_args=())
def _lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor, outside: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns all states h and c of an lstm, `tanh(c)`, its gates o, i and f side by side, and its gate g.

    Args:
        x, h, c, outside: of the shapes that this package names.
        weight_ih, weight_hh, bias: of the gates o, i, f and g, in this order: what is activated alike is one slice.
    """
    split = [3 * h.shape[-1]]
    hs, cs, tanh_c, oif, g = empty(x, h), empty(x, h), empty(x, h), empty(x, h, 3), empty(x, h)
    ih_oif, ih_g = weight_ih.mT.tensor_split(split, -1)
    hh_oif, hh_g = weight_hh.mT.tensor_split(split, -1)
    bias_oif, bias_g = bias.unsqueeze(1).tensor_split(split, -1)
    slices = forwards(x, oif, g, cs, tanh_c, hs, outside)
    for x_t, oif_t, g_t, c_t, tanh_c_t, out, outside_t in slices:
        torch.baddbmm(bias_oif, x_t, ih_oif, out=oif_t).baddbmm_(h, hh_oif).sigmoid_()
        torch.baddbmm(bias_g, x_t, ih_g, out=g_t).baddbmm_(h, hh_g).tanh_()
        o, i, f = oif_t.chunk(3, -1)
        if outside_t is not None:
            i.addcmul_(i, outside_t, value=-1)
            torch.maximum(f, outside_t, out=f)
        c = torch.mul(f, c, out=c_t).addcmul_(i, g_t)
        torch.mul(o, torch.tanh(c, out=tanh_c_t), out=out)
        h = out if outside_t is None else torch.lerp(out, h, outside_t, out=out)
    return hs, cs, tanh_c, oif, g


@_lstm_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return empty(x, h), empty(x, h), empty(x, h), empty(x, h, 3), empty(x, h)


@custom_op("funcdl::lstm_loop_backward", mutates_args=())
def _lstm_loop_backward(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, outside: Tensor | None, hs: Tensor, cs: Tensor, tanh_c: Tensor, oif: Tensor, g: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias, h and c.

    Where nothing reads the states h or c, their gradient is None: zeros in its place would cost a product's time.
    """
    dx, dw_ih, dw_hh, d_bias = like(x), *zeros(weight_ih, weight_hh)
    d = h.new_empty(*h.shape[:2], weight_hh.shape[1])
    d_o, d_i, d_f, d_g = d.chunk(4, -1)
    d_oif = d[..., : oif.shape[-1]]
    d_h, d_c, scratch = like(h).zero_(), like(c).zero_(), like(h)
    c_befores, befores = before_each(c, cs), before_each(h, hs)
    slices = backwards(h_grads, c_grads, x, oif, g, tanh_c, c_befores, befores, dx, outside)
    for grad_t, c_grad_t, x_t, oif_t, g_t, tanh_c_t, c_before, before, dx_t, outside_t in slices:
        o, i, f = oif_t.chunk(3, -1)
        if grad_t is not None:
            d_h.add_(grad_t)
        if c_grad_t is not None:
            d_c.add_(c_grad_t)
        d_new = d_h if outside_t is None else torch.addcmul(d_h, d_h, outside_t, value=-1)
        torch.mul(d_new, o, out=scratch)
        d_c.add_(_aten.tanh_backward(scratch, tanh_c_t, grad_input=scratch))
        torch.mul(d_new, tanh_c_t, out=d_o)
        torch.mul(d_c, g_t, out=d_i)
        torch.mul(d_c, c_before, out=d_f)
        _aten.sigmoid_backward(d_oif, oif_t, grad_input=d_oif)
        torch.mul(d_c, i, out=scratch)
        _aten.tanh_backward(scratch, g_t, grad_input=d_g)
        d_c.mul_(f)
        d_h = d @ weight_hh if outside_t is None else d_h.sub_(d_new).baddbmm_(d, weight_hh)
        torch.bmm(d, weight_ih, out=dx_t)
        dw_ih.baddbmm_(d.mT, x_t)
        dw_hh.baddbmm_(d.mT, before)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h, d_c


@_lstm_loop_backward.register_fake
def _(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, *_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    return like(x), *zeros(weight_ih, weight_hh), like(h), like(c)


class _LstmLoop(torch.autograd.Function):
    """`_lstm_loop` with its gradient, which is that of both states alone."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        return _lstm_loop(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight_ih, weight_hh, _, h, c, outside = inputs
        ctx.save_for_backward(x, weight_ih, weight_hh, h, c, outside, *output)
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, h_grads: Tensor | None, c_grads: Tensor | None, *_: Tensor) -> Any:
        return *once(_lstm_loop_backward, h_grads, c_grads, *ctx.saved_tensors), None

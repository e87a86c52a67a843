"""The time loops of `rnn`, `gru` and `lstm`, and of their gradients.

Each loop is an operator that a compiled graph calls, so that compile time does not grow with the length of a sequence.
A step's products, with its share of the gradients of the weights, are made while what they read is in the cache, and
by slices that are contiguous: for others torch has slower functions. The loops know the first derivative alone, and no
`vmap`: for these there is the plain loop in `recurrent_layer.py`, which they have to equal.

Shapes: x (time, directions, batch, inputs), weight_ih (directions, gates * hidden, inputs), weight_hh (directions,
gates * hidden, hidden), a bias (directions, gates * hidden), a state (directions, batch, hidden), states (time,
directions, batch, hidden), outside (time, directions, batch, 1), 1 at a step that leaves the state as it is, else 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from funcdl.nn.recurrent_kernels import State

Loop = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, Tensor], State, Tensor | None], State]

_aten = torch.ops.aten


def simple_loop(relu: bool) -> Loop:
    """Returns the loop `(x, weight_ih, weight_hh, (bias_ih, bias_hh), state, outside) -> states` of an rnn."""

    def loop(
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        biases: tuple[Tensor, Tensor],
        state: State,
        outside: Tensor | None,
    ) -> State:
        return (_SimpleLoop.apply(x, weight_ih, weight_hh, biases[0] + biases[1], *state, outside, relu),)

    return loop


def gru_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, biases: tuple[Tensor, Tensor], state: State, outside: Tensor | None
) -> State:
    """Returns all states of a gru."""
    hidden = state[0].shape[-1]
    (ih_rz, ih_n), (hh_rz, hh_n) = (bias.tensor_split([2 * hidden], -1) for bias in biases)
    bias = torch.cat([ih_n, ih_rz + hh_rz, hh_n], -1)
    return (_GruLoop.apply(x, weight_ih.roll(hidden, 1), weight_hh, bias, *state, outside)[0],)


def lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, biases: tuple[Tensor, Tensor], state: State, outside: Tensor | None
) -> State:
    """Returns all states h and c of an lstm."""
    in_order = [part.roll(state[0].shape[-1], 1) for part in (weight_ih, weight_hh, biases[0] + biases[1])]
    hs, cs, *_ = _LstmLoop.apply(x, *in_order, *state, outside)
    return hs, cs


@custom_op("funcdl::simple_loop", mutates_args=())
def _simple_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, outside: Tensor | None, relu: bool
) -> Tensor:
    states, bias = _empty(x, h), bias.unsqueeze(1)
    for x_t, out, outside_t in zip(*_steps(x, states), _steps_or_none(outside, x), strict=True):
        torch.baddbmm(bias, x_t, weight_ih.mT, out=out).baddbmm_(h, weight_hh.mT)
        (out.relu_ if relu else out.tanh_)()
        h = out if outside_t is None else torch.lerp(out, h, outside_t, out=out)
    return states


@custom_op("funcdl::gru_loop", mutates_args=())
def _gru_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, outside: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns all states of a gru, its gates r and z side by side, its gate n, and the summand `W_hn h + b_hn`.

    Args:
        x, h, outside: as above.
        weight_ih: of the gates n, r and z, in this order, as the gradient needs them.
        weight_hh: of the gates r, z and n.
        bias: of n, r and z, and the `b_hn` that stands inside the product with r.
    """
    hidden = h.shape[-1]
    states, rz, n, h_n = _empty(x, h), _empty(x, h, 2), _empty(x, h), _empty(x, h)
    ih_n, ih_rz = weight_ih.mT.tensor_split([hidden], -1)
    hh_rz, hh_n = weight_hh.mT.tensor_split([2 * hidden], -1)
    bias_n, bias_rz, bias_h_n = bias.unsqueeze(1).tensor_split([hidden, 3 * hidden], -1)
    slices = zip(*_steps(x, rz, n, h_n, states), _steps_or_none(outside, x), strict=True)
    for x_t, rz_t, n_t, h_n_t, out, outside_t in slices:
        torch.baddbmm(bias_rz, x_t, ih_rz, out=rz_t).baddbmm_(h, hh_rz).sigmoid_()
        r, z = rz_t.chunk(2, -1)
        if outside_t is not None:
            torch.maximum(z, outside_t, out=z)
        torch.baddbmm(bias_h_n, h, hh_n, out=h_n_t)
        torch.baddbmm(bias_n, x_t, ih_n, out=n_t).addcmul_(r, h_n_t).tanh_()
        h = torch.lerp(n_t, h, z, out=out)
    return states, rz, n, h_n


@custom_op("funcdl::lstm_loop", mutates_args=())
def _lstm_loop(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor, outside: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns all states h and c of an lstm, `tanh(c)`, its gates o, i and f side by side, and its gate g.

    Args:
        x, h, c, outside: as above.
        weight_ih, weight_hh, bias: of the gates o, i, f and g, in this order: what is activated alike is one slice.
    """
    split = [3 * h.shape[-1]]
    hs, cs, tanh_c, oif, g = _empty(x, h), _empty(x, h), _empty(x, h), _empty(x, h, 3), _empty(x, h)
    ih_oif, ih_g = weight_ih.mT.tensor_split(split, -1)
    hh_oif, hh_g = weight_hh.mT.tensor_split(split, -1)
    bias_oif, bias_g = bias.unsqueeze(1).tensor_split(split, -1)
    slices = zip(*_steps(x, oif, g, cs, tanh_c, hs), _steps_or_none(outside, x), strict=True)
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


@custom_op("funcdl::simple_loop_backward", mutates_args=())
def _simple_loop_backward(
    grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, outside: Tensor | None, relu: bool,
    states: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias and h."""
    dx, dw_ih, dw_hh, d_bias = _like(x), *_zeros(weight_ih, weight_hh)
    d, d_h = _like(h), _like(h).zero_()
    backwards = _backwards(grads, x, states, _before(h, states), dx, _steps_or_none(outside, x))
    for grad_t, x_t, out, before, dx_t, outside_t in backwards:
        d_h.add_(grad_t)
        d_new = d_h if outside_t is None else torch.addcmul(d_h, d_h, outside_t, value=-1)
        if relu:
            _aten.threshold_backward(d_new, out, 0, grad_input=d)
        else:
            _aten.tanh_backward(d_new, out, grad_input=d)
        d_h = d @ weight_hh if outside_t is None else d_h.sub_(d_new).baddbmm_(d, weight_hh)
        torch.bmm(d, weight_ih, out=dx_t)
        dw_ih.baddbmm_(d.mT, x_t)
        dw_hh.baddbmm_(d.mT, before)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h


@custom_op("funcdl::gru_loop_backward", mutates_args=())
def _gru_loop_backward(
    grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    states: Tensor, rz: Tensor, n: Tensor, h_n: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias and h; a step outside has z = 1, and needs no care."""
    hidden = h.shape[-1]
    dx, dw_ih, dw_hh, _ = _like(x), *_zeros(weight_ih, weight_hh)
    d_bias, d = h.new_zeros(len(h), 4 * hidden), h.new_empty(*h.shape[:2], 4 * hidden)
    d_n, d_r, d_z, d_h_n = d.chunk(4, -1)
    d_ih, d_hh = d[..., : 3 * hidden], d[..., hidden:]
    d_h, scratch = _like(h).zero_(), _like(h)
    for grad_t, x_t, rz_t, n_t, h_n_t, before, dx_t in _backwards(grads, x, rz, n, h_n, _before(h, states), dx):
        r, z = rz_t.chunk(2, -1)
        d_h.add_(grad_t)
        torch.sub(before, n_t, out=scratch).mul_(d_h)
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
        dw_hh.baddbmm_(d_hh.mT, before)
        d_bias.add_(d.sum(1))
    return dx, dw_ih, dw_hh, d_bias, d_h


@custom_op("funcdl::lstm_loop_backward", mutates_args=())
def _lstm_loop_backward(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, outside: Tensor | None, hs: Tensor, cs: Tensor, tanh_c: Tensor, oif: Tensor, g: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Returns the gradients of x, weight_ih, weight_hh, the bias, h and c; of states that nothing reads there is None.

    To make zeros of it would take as long as some of a step's products.
    """
    dx, dw_ih, dw_hh, d_bias = _like(x), *_zeros(weight_ih, weight_hh)
    d = h.new_empty(*h.shape[:2], weight_hh.shape[1])
    d_o, d_i, d_f, d_g = d.chunk(4, -1)
    d_oif = d[..., : oif.shape[-1]]
    d_h, d_c, scratch = _like(h).zero_(), _like(c).zero_(), _like(h)
    backwards = _backwards(
        _steps_or_none(h_grads, x), _steps_or_none(c_grads, x), x, oif, g, tanh_c, _before(c, cs), _before(h, hs), dx,
        _steps_or_none(outside, x),
    )  # fmt: skip
    for grad_t, c_grad_t, x_t, oif_t, g_t, tanh_c_t, c_before, before, dx_t, outside_t in backwards:
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


class _SimpleLoop(torch.autograd.Function):
    """`_simple_loop` with its gradient."""

    @staticmethod
    def forward(*inputs: Any) -> Tensor:
        return _simple_loop(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight_ih, weight_hh, _, h, outside, ctx.relu = inputs
        ctx.save_for_backward(x, weight_ih, weight_hh, h, outside, output)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        *inputs, states = ctx.saved_tensors
        return *_once(_simple_loop_backward, grads, *inputs, ctx.relu, states), None, None


class _GruLoop(torch.autograd.Function):
    """`_gru_loop` with its gradient, which is that of the states alone."""

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
        return *_once(_gru_loop_backward, grads, *ctx.saved_tensors), None


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
        return *_once(_lstm_loop_backward, h_grads, c_grads, *ctx.saved_tensors), None


class _Once(torch.autograd.Function):
    """An operator of which there is no derivative; torch's `once_differentiable` gives zeros below `torch.func`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(operator: Callable[..., Any], *inputs: Any) -> Any:
        return operator(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            "rnn, gru, lstm: a gradient that was taken once is differentiated again, which their loops for one "
            "derivative cannot know in advance; take both derivatives by grad, one around the other"
        )


def _once(operator: Callable[..., Any], *inputs: Any) -> Any:
    return operator(*inputs) if torch.compiler.is_compiling() else _Once.apply(operator, *inputs)


def _empty(x: Tensor, state: Tensor, gates: int = 1) -> Tensor:
    return state.new_empty(len(x), *state.shape[:-1], gates * state.shape[-1])


def _zeros(weight_ih: Tensor, weight_hh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where to sum the gradients of the weights and the bias."""
    shapes = weight_ih.shape, weight_hh.shape, weight_hh.shape[:2]
    dw_ih, dw_hh, d_bias = (weight_ih.new_zeros(shape) for shape in shapes)
    return dw_ih, dw_hh, d_bias


def _like(part: Tensor) -> Tensor:
    """A new tensor, contiguous whatever `part` is."""
    return part.new_empty(part.shape)


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    return [tensor.unbind(0) for tensor in tensors]


def _steps_or_none(part: Tensor | None, x: Tensor) -> tuple[Tensor | None, ...]:
    return (None,) * len(x) if part is None else part.unbind(0)


def _before(first: Tensor, states: Tensor) -> tuple[Tensor, ...]:
    """The state that each step starts from."""
    return first, *states.unbind(0)[:-1]


def _backwards(*parts: Tensor | tuple[Tensor | None, ...]) -> Iterator[tuple[Any, ...]]:
    """The steps of all parts, the last one first."""
    return zip(*(reversed(part.unbind(0) if isinstance(part, Tensor) else part) for part in parts), strict=True)


@_simple_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> Tensor:
    return _empty(x, h)


@_gru_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return _empty(x, h), _empty(x, h, 2), _empty(x, h), _empty(x, h)


@_lstm_loop.register_fake
def _(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return _empty(x, h), _empty(x, h), _empty(x, h), _empty(x, h, 3), _empty(x, h)


@_simple_loop_backward.register_fake
def _(grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return _like(x), *_zeros(weight_ih, weight_hh), _like(h)


@_gru_loop_backward.register_fake
def _(grads: Tensor, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, ...]:
    dw_ih, dw_hh, _unused = _zeros(weight_ih, weight_hh)
    return _like(x), dw_ih, dw_hh, h.new_empty(len(h), 4 * h.shape[-1]), _like(h)


@_lstm_loop_backward.register_fake
def _(
    h_grads: Tensor | None, c_grads: Tensor | None, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, h: Tensor,
    c: Tensor, *_: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    return _like(x), *_zeros(weight_ih, weight_hh), _like(h), _like(c)

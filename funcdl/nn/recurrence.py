"""The time loops of `rnn`, `gru` and `lstm`: what cannot be done for all times at once, and nothing else.

A loop and the loop of its gradient are operators that a compiled graph calls, so that compile time does not grow with
the length of a sequence. They work in place on what they have made, step by step; the factors of the chain rule, the
gradients of weights and everything else is done around them for all times together. They know the first derivative
alone, and no `vmap`: for these there is the plain loop in `recurrent.py`, which they have to equal.

Shapes: from_input (time, batch, gates * hidden), a state (batch, hidden), states (time, batch, hidden).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.library import custom_op


def simple_states(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    """Returns all states of an rnn, `h = activation(from_input + weight h)`."""
    return _SimpleLoop.apply(from_input, weight, h, relu)


def gru_states(from_input: Tensor, weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    """Returns all states of a gru."""
    return _GruLoop.apply(from_input, weight, bias, h)[0]


def lstm_states(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Returns all states h and c of an lstm."""
    hs, cs, _ = _LstmLoop.apply(from_input, weight, h, c)
    return hs, cs


@custom_op("funcdl::simple_loop", mutates_args=())
def _simple_loop(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    states = _states_like(from_input, h)
    for out, given in zip(states, from_input, strict=True):
        torch.addmm(given, h, weight.t(), out=out)
        h = out.relu_() if relu else out.tanh_()
    return states


@custom_op("funcdl::gru_loop", mutates_args=())
def _gru_loop(from_input: Tensor, weight: Tensor, bias: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns all states of a gru, its gates r and z and the summand `W_hn h + b_hn` as one, and the gate n."""
    states, ns, gates = _states_like(from_input, h), _states_like(from_input, h), torch.empty_like(from_input)
    hidden = h.shape[-1]
    for out, n, gate, given in zip(states, ns, gates, from_input, strict=True):
        torch.addmm(bias, h, weight.t(), out=gate)
        gate[:, : 2 * hidden].add_(given[:, : 2 * hidden]).sigmoid_()
        r, z, n_h = gate.chunk(3, -1)
        torch.addcmul(given[:, 2 * hidden :], r, n_h, out=n).tanh_()
        h = torch.lerp(n, h, z, out=out)
    return states, gates, ns


@custom_op("funcdl::lstm_loop", mutates_args=())
def _lstm_loop(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns all states h and c of an lstm, and its gates i, f, g and o as one."""
    hs, cs, gates = _states_like(from_input, h), _states_like(from_input, c), torch.empty_like(from_input)
    hidden = h.shape[-1]
    for h_out, c_out, gate, given in zip(hs, cs, gates, from_input, strict=True):
        torch.addmm(given, h, weight.t(), out=gate)
        gate[:, : 2 * hidden].sigmoid_()
        i, f, g, o = gate.chunk(4, -1)
        g.tanh_()
        o.sigmoid_()
        c = torch.mul(f, c, out=c_out).addcmul_(i, g)
        h = torch.tanh(c, out=h_out).mul_(o)
    return hs, cs, gates


@custom_op("funcdl::simple_loop_backward", mutates_args=())
def _simple_loop_backward(grads: Tensor, factors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of what is activated, and of the first state."""
    d_gates, d_h = torch.empty_like(factors), grads[-1]
    for t in reversed(range(len(grads))):
        torch.mul(d_h, factors[t], out=d_gates[t])
        d_h = torch.addmm(grads[t - 1], d_gates[t], weight) if t else d_gates[t] @ weight
    return d_gates, d_h


@custom_op("funcdl::gru_loop_backward", mutates_args=())
def _gru_loop_backward(
    grads: Tensor, to_r: Tensor, to_z: Tensor, to_n: Tensor, r: Tensor, z: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the states' share of the gates, of the input's share of n, and of the first state."""
    d_gates, d_ns, d_h = grads.new_empty(*grads.shape[:-1], len(weight)), torch.empty_like(to_n), grads[-1]
    for t in reversed(range(len(grads))):
        d_r, d_z, d_n_h = d_gates[t].chunk(3, -1)
        d_n = torch.mul(d_h, to_n[t], out=d_ns[t])
        torch.mul(d_n, to_r[t], out=d_r)
        torch.mul(d_h, to_z[t], out=d_z)
        torch.mul(d_n, r[t], out=d_n_h)
        through_z = torch.addcmul(grads[t - 1], d_h, z[t]) if t else d_h * z[t]
        d_h = through_z.addmm_(d_gates[t], weight)
    return d_gates, d_ns, d_h


@custom_op("funcdl::lstm_loop_backward", mutates_args=())
def _lstm_loop_backward(
    h_grads: Tensor, c_grads: Tensor, to_c: Tensor, to_gates: list[Tensor], f: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the gates, and of the first h and c."""
    d_gates, d_h, d_c = h_grads.new_empty(*c_grads.shape[:-1], len(weight)), h_grads[-1], c_grads[-1]
    for t in reversed(range(len(h_grads))):
        d_c = torch.addcmul(d_c, d_h, to_c[t])
        for d_gate, to_gate, grad in zip(d_gates[t].chunk(4, -1), to_gates, (d_c, d_c, d_c, d_h), strict=True):
            torch.mul(grad, to_gate[t], out=d_gate)
        d_c = torch.addcmul(c_grads[t - 1], d_c, f[t]) if t else d_c * f[t]
        d_h = torch.addmm(h_grads[t - 1], d_gates[t], weight) if t else d_gates[t] @ weight
    return d_gates, d_h, d_c


class _SimpleLoop(torch.autograd.Function):
    """`_simple_loop` with its gradient."""

    @staticmethod
    def forward(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
        return _simple_loop(from_input, weight, h, relu)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, weight, h, ctx.relu = inputs
        ctx.save_for_backward(weight, h, output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor) -> Any:
        weight, h, states = ctx.saved_tensors
        factors = (states > 0).to(states.dtype) if ctx.relu else 1 - states**2
        d_gates, d_h = _simple_loop_backward(grads, factors, weight)
        return d_gates, _weight_gradient(d_gates, _before(h, states)), d_h, None


class _GruLoop(torch.autograd.Function):
    """`_gru_loop` with its gradient, which is that of the states alone."""

    @staticmethod
    def forward(from_input: Tensor, weight: Tensor, bias: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _gru_loop(from_input, weight, bias, h)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, weight, _, h = inputs
        ctx.save_for_backward(weight, h, *output)
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grads: Tensor, *_: Tensor) -> Any:
        weight, h, states, gates, n = ctx.saved_tensors
        r, z, n_h = gates.chunk(3, -1)
        before = _before(h, states)
        # by what to multiply a gradient of the state, or for r of n, on its way into the activation of a gate
        to_r, to_z, to_n = n_h * r * (1 - r), (before - n) * z * (1 - z), (1 - z) * (1 - n**2)
        d_gates, d_n, d_h = _gru_loop_backward(grads, to_r, to_z, to_n, r, z, weight)
        d_from_input = torch.cat([d_gates[..., : 2 * h.shape[-1]], d_n], -1)
        return d_from_input, _weight_gradient(d_gates, before), d_gates.sum((0, 1)), d_h


class _LstmLoop(torch.autograd.Function):
    """`_lstm_loop` with its gradient, which is that of both states alone."""

    @staticmethod
    def forward(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _lstm_loop(from_input, weight, h, c)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, weight, h, c = inputs
        ctx.save_for_backward(weight, h, c, *output)
        ctx.mark_non_differentiable(output[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, h_grads: Tensor, c_grads: Tensor, _: Tensor) -> Any:
        weight, h, c, hs, cs, gates = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, -1)
        squashed = torch.tanh(cs)
        # by what to multiply a gradient of c, or for o of h, on its way into the activation of a gate
        to_gates = [g * i * (1 - i), _before(c, cs) * f * (1 - f), i * (1 - g**2), squashed * o * (1 - o)]
        d_gates, d_h, d_c = _lstm_loop_backward(h_grads, c_grads, o * (1 - squashed**2), to_gates, f, weight)
        return d_gates, _weight_gradient(d_gates, _before(h, hs)), d_h, d_c


def _before(first: Tensor, states: Tensor) -> Tensor:
    """The state that each step starts from."""
    return torch.cat([first.unsqueeze(0), states[:-1]])


def _weight_gradient(d_gates: Tensor, before: Tensor) -> Tensor:
    return d_gates.flatten(0, 1).t() @ before.flatten(0, 1)


def _states_like(from_input: Tensor, state: Tensor) -> Tensor:
    return from_input.new_empty(len(from_input), *state.shape)


@_simple_loop.register_fake
def _(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    return _states_like(from_input, h)


@_gru_loop.register_fake
def _(from_input: Tensor, weight: Tensor, bias: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _states_like(from_input, h), torch.empty_like(from_input), _states_like(from_input, h)


@_lstm_loop.register_fake
def _(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _states_like(from_input, h), _states_like(from_input, c), torch.empty_like(from_input)


@_simple_loop_backward.register_fake
def _(grads: Tensor, factors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(factors), grads.new_empty(grads.shape[1:])


@_gru_loop_backward.register_fake
def _(
    grads: Tensor, to_r: Tensor, to_z: Tensor, to_n: Tensor, r: Tensor, z: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_gates = grads.new_empty(*grads.shape[:-1], len(weight))
    return d_gates, torch.empty_like(to_n), grads.new_empty(grads.shape[1:])


@_lstm_loop_backward.register_fake
def _(
    h_grads: Tensor, c_grads: Tensor, to_c: Tensor, to_gates: list[Tensor], f: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_gates = h_grads.new_empty(*c_grads.shape[:-1], len(weight))
    return d_gates, h_grads.new_empty(h_grads.shape[1:]), c_grads.new_empty(c_grads.shape[1:])

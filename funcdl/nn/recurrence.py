"""The time loops of `rnn`, `gru` and `lstm`: what cannot be done for all times at once, and nothing else.

A loop and the loop of its gradient are operators that a compiled graph calls, so that compile time does not grow with
the length of a sequence. They work in place on what they have made, step by step; the factors of the chain rule, the
gradients of weights and everything else is done around them for all times together. They know the first derivative
alone, and no `vmap`: for these there is the plain loop in `recurrent_layer.py`, which they have to equal.

Shapes: from_input (directions, time, batch, gates * hidden), weight (directions, gates * hidden, hidden), a state
(directions, batch, hidden), states (directions, time, batch, hidden).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op


def simple_states(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    """Returns all states of an rnn, `h = activation(from_input + weight h)`."""
    return _SimpleLoop.apply(from_input, weight, h, relu)


def gru_states(from_input: Tensor, weight: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    """Returns all states of a gru, with the bias `b_hn` (directions, hidden)."""
    to_r_and_z, to_n = from_input.tensor_split([2 * h.shape[-1]], -1)
    start = torch.cat([to_r_and_z, bias[:, None, None].expand_as(to_n)], -1)
    return _GruLoop.apply(start, to_n, weight, h)[0]


def lstm_states(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Returns all states h and c of an lstm."""
    hs, cs, _ = _LstmLoop.apply(from_input, weight, h, c)
    return hs, cs


@custom_op("funcdl::simple_loop", mutates_args=())
def _simple_loop(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    states = _states_like(from_input, h)
    for out, given in zip(states.unbind(1), from_input.unbind(1), strict=True):
        torch.baddbmm(given, h, weight.mT, out=out)
        h = out.relu_() if relu else out.tanh_()
    return states


@custom_op("funcdl::gru_loop", mutates_args=())
def _gru_loop(from_input: Tensor, to_n: Tensor, weight: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns all states of a gru, its gates r and z and the summand `W_hn h + b_hn` as one, and the gate n.

    Args:
        from_input: what is added to the products for r and z, and for n the bias alone.
        to_n: the input's share of n (directions, time, batch, hidden).
        weight: of all gates.
        h: the first state.
    """
    states, ns, gates = _states_like(from_input, h), _states_like(from_input, h), torch.empty_like(from_input)
    hidden = h.shape[-1]
    steps = (tensor.unbind(1) for tensor in (states, ns, gates, from_input, to_n))
    for out, n, gate, given, given_n in zip(*steps, strict=True):
        torch.baddbmm(given, h, weight.mT, out=gate)
        gate[..., : 2 * hidden].sigmoid_()
        r, z, n_h = gate.chunk(3, -1)
        torch.addcmul(given_n, r, n_h, out=n).tanh_()
        h = torch.lerp(n, h, z, out=out)
    return states, gates, ns


@custom_op("funcdl::lstm_loop", mutates_args=())
def _lstm_loop(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns all states h and c of an lstm, and its gates i, f, g and o as one."""
    hs, cs, gates = _states_like(from_input, h), _states_like(from_input, c), torch.empty_like(from_input)
    hidden = h.shape[-1]
    steps = (tensor.unbind(1) for tensor in (hs, cs, gates, from_input))
    for h_out, c_out, gate, given in zip(*steps, strict=True):
        torch.baddbmm(given, h, weight.mT, out=gate)
        gate[..., : 2 * hidden].sigmoid_()
        i, f, g, o = gate.chunk(4, -1)
        g.tanh_()
        o.sigmoid_()
        c = torch.mul(f, c, out=c_out).addcmul_(i, g)
        h = torch.tanh(c, out=h_out).mul_(o)
    return hs, cs, gates


@custom_op("funcdl::simple_loop_backward", mutates_args=())
def _simple_loop_backward(grads: Tensor, factors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of what is activated, and of the first state."""
    d_gates, d_h = torch.empty_like(factors), grads[:, -1]
    for t in reversed(range(grads.shape[1])):
        d_gate = torch.mul(d_h, factors[:, t], out=d_gates[:, t])
        d_h = torch.baddbmm(grads[:, t - 1], d_gate, weight) if t else d_gate @ weight
    return d_gates, d_h


@custom_op("funcdl::gru_loop_backward", mutates_args=())
def _gru_loop_backward(grads: Tensor, factors: Tensor, z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of `from_input` and `to_n` as one, and of the first state.

    Args:
        grads: of all states.
        factors: (directions, time, batch, 4, hidden), by what to multiply the gradient of a state for these gradients.
        z: the gate.
        weight: of all gates.
    """
    d_gates, d_h = torch.empty_like(factors), grads[:, -1]
    for t in reversed(range(grads.shape[1])):
        d_gate = torch.mul(d_h.unsqueeze(-2), factors[:, t], out=d_gates[:, t])
        through_z = torch.addcmul(grads[:, t - 1], d_h, z[:, t]) if t else d_h * z[:, t]
        d_h = through_z.baddbmm_(d_gate.flatten(-2)[..., : weight.shape[1]], weight)
    return d_gates, d_h


@custom_op("funcdl::lstm_loop_backward", mutates_args=())
def _lstm_loop_backward(
    h_grads: Tensor, c_grads: Tensor, to_c: Tensor, factors: Tensor, f: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of the gates, and of the first h and c.

    Args:
        h_grads: of all states h.
        c_grads: of all states c.
        to_c: by what to multiply a gradient of h for one of c.
        factors: (directions, time, batch, 4, hidden), by what to multiply a gradient of c, or for o of h.
        f: the gate.
        weight: of all gates.
    """
    d_gates, d_h, d_c = torch.empty_like(factors), h_grads[:, -1], c_grads[:, -1]
    for t in reversed(range(h_grads.shape[1])):
        d_c = torch.addcmul(d_c, d_h, to_c[:, t])
        d_gate, factor = d_gates[:, t], factors[:, t]
        torch.mul(d_c.unsqueeze(-2), factor[..., :3, :], out=d_gate[..., :3, :])
        torch.mul(d_h, factor[..., 3, :], out=d_gate[..., 3, :])
        d_c = torch.addcmul(c_grads[:, t - 1], d_c, f[:, t]) if t else d_c * f[:, t]
        products = d_gate.flatten(-2)
        d_h = torch.baddbmm(h_grads[:, t - 1], products, weight) if t else products @ weight
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
    def backward(ctx: Any, grads: Tensor) -> Any:
        weight, h, states = ctx.saved_tensors
        factors = (states > 0).to(states.dtype) if ctx.relu else 1 - states**2
        d_gates, d_h = _once(_simple_loop_backward, grads, factors, weight)
        return d_gates, _weight_gradient(d_gates, _before(h, states)), d_h, None


class _GruLoop(torch.autograd.Function):
    """`_gru_loop` with its gradient, which is that of the states alone."""

    @staticmethod
    def forward(from_input: Tensor, to_n: Tensor, weight: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _gru_loop(from_input, to_n, weight, h)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, _, weight, h = inputs
        ctx.save_for_backward(weight, h, *output)
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, grads: Tensor, *_: Tensor) -> Any:
        weight, h, states, gates, n = ctx.saved_tensors
        r, z, n_h = gates.chunk(3, -1)
        before = _before(h, states)
        to_n = (1 - z) * (1 - n**2)
        factors = torch.stack([to_n * n_h * r * (1 - r), (before - n) * z * (1 - z), to_n * r, to_n], -2)
        d_gates, d_h = _once(_gru_loop_backward, grads, factors, z, weight)
        d_from_input, d_n = d_gates[..., :3, :].flatten(-2), d_gates[..., 3, :]
        return d_from_input, d_n, _weight_gradient(d_from_input, before), d_h


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
    def backward(ctx: Any, h_grads: Tensor, c_grads: Tensor, _: Tensor) -> Any:
        weight, h, c, hs, cs, gates = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, -1)
        squashed = torch.tanh(cs)
        to_gates = [g * i * (1 - i), _before(c, cs) * f * (1 - f), i * (1 - g**2), squashed * o * (1 - o)]
        factors = torch.stack(to_gates, -2)
        to_c = o * (1 - squashed**2)
        d_gates, d_h, d_c = _once(_lstm_loop_backward, h_grads, c_grads, to_c, factors, f, weight)
        d_from_input = d_gates.flatten(-2)
        return d_from_input, _weight_gradient(d_from_input, _before(h, hs)), d_h, d_c


class _Once(torch.autograd.Function):
    """An operator of which there is no derivative; torch's `once_differentiable` gives zeros below `torch.func`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(operator: Callable[..., Any], *tensors: Tensor) -> Any:
        return operator(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError(
            "rnn, gru, lstm: a gradient that was taken once is differentiated again, which their loops for one "
            "derivative cannot know in advance; take both derivatives by grad, one around the other"
        )


def _once(operator: Callable[..., Any], *tensors: Tensor) -> Any:
    return operator(*tensors) if torch.compiler.is_compiling() else _Once.apply(operator, *tensors)


def _before(first: Tensor, states: Tensor) -> Tensor:
    """The state that each step starts from."""
    return torch.cat([first.unsqueeze(1), states[:, :-1]], 1)


def _weight_gradient(d_gates: Tensor, before: Tensor) -> Tensor:
    return d_gates.flatten(1, 2).mT @ before.flatten(1, 2)


def _states_like(from_input: Tensor, state: Tensor) -> Tensor:
    directions, time = from_input.shape[:2]
    return from_input.new_empty(directions, time, *state.shape[1:])


@_simple_loop.register_fake
def _(from_input: Tensor, weight: Tensor, h: Tensor, relu: bool) -> Tensor:
    return _states_like(from_input, h)


@_gru_loop.register_fake
def _(from_input: Tensor, to_n: Tensor, weight: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _states_like(from_input, h), torch.empty_like(from_input), _states_like(from_input, h)


@_lstm_loop.register_fake
def _(from_input: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _states_like(from_input, h), _states_like(from_input, c), torch.empty_like(from_input)


@_simple_loop_backward.register_fake
def _(grads: Tensor, factors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(factors), _first_state_like(grads)


@_gru_loop_backward.register_fake
def _(grads: Tensor, factors: Tensor, z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(factors), _first_state_like(grads)


@_lstm_loop_backward.register_fake
def _(
    h_grads: Tensor, c_grads: Tensor, to_c: Tensor, factors: Tensor, f: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(factors), _first_state_like(h_grads), _first_state_like(c_grads)


def _first_state_like(grads: Tensor) -> Tensor:
    return grads.new_empty(grads.shape[0], *grads.shape[2:])

"""Recurrent layers forwards and backwards beside torch.nn, and beside their matrix products with nothing else."""

import re
import time

import torch

import funcdl as fd
from funcdl import nn, random
from tests.benchmarks import measure

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
BATCH = 256


def add_arguments(parser):
    parser.add_argument("--only", default="gru|lstm", help=f"a regular expression: {', '.join(GATES)}")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 64], help="lengths of the sequences")
    parser.add_argument("--hidden", type=int, nargs="+", default=[100, 256], help="sizes of the inputs and states")
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--rounds", type=int, default=11, help="interleaved rounds")


def main(arguments):
    for kind in GATES:
        if re.fullmatch(arguments.only, kind):
            for steps in arguments.steps:
                for hidden in arguments.hidden:
                    compare(kind, steps, hidden, arguments)


def compare(kind, steps, hidden, arguments):
    layer = getattr(nn, kind)(hidden, bidirectional=arguments.bidirectional)
    twin = getattr(torch.nn, kind.upper())(hidden, hidden, bidirectional=arguments.bidirectional)
    x = random.normal(random.key(0), (steps, BATCH, hidden))
    params, _ = layer.init(random.key(1), x)
    twin_x = x.clone().requires_grad_()
    gradient = fd.grad(lambda params, x: (layer(params, x)[0] ** 2).sum(), argnums=(0, 1))
    compiled = fd.jit(gradient)
    calls = {
        f"torch.nn.{kind.upper()}": lambda: torch.autograd.grad(
            (twin(twin_x)[0] ** 2).sum(), [twin_x, *twin.parameters()]
        ),
        "funcdl, eager": lambda: gradient(params, x),
        "funcdl, jit": lambda: compiled(params, x),
        "its products alone": products(kind, steps, hidden, 2 if arguments.bidirectional else 1),
    }
    for call in calls.values():
        call()

    def timed(call):
        def run():
            started = time.perf_counter()
            call()
            return time.perf_counter() - started

        return run

    seconds = measure.interleaved({name: timed(call) for name, call in calls.items()}, arguments.rounds)
    directions = ", both directions" if arguments.bidirectional else ""
    title = f"{kind}, {steps} steps of {BATCH} x {hidden}{directions}, {torch.get_num_threads()} threads"
    measure.table(title, seconds, 1e3, "ms")


def products(kind, steps, hidden, directions):
    """The two products of each step, and the four of its gradient, into memory that is there: what no layer avoids."""
    x, h = random.normal(random.key(0), (2, directions, BATCH, hidden))
    weight = random.normal(random.key(1), (directions, GATES[kind] * hidden, hidden), std=hidden**-0.5)
    gates, d_weight = torch.empty(directions, BATCH, GATES[kind] * hidden), torch.zeros_like(weight)
    d_x = torch.empty_like(x)

    def call():
        for _ in range(steps):
            torch.bmm(x, weight.mT, out=gates)
            gates.baddbmm_(h, weight.mT)
        for _ in range(steps):
            torch.bmm(gates, weight, out=d_x)
            torch.bmm(gates, weight, out=d_x)
            d_weight.baddbmm_(gates.mT, x)
            d_weight.baddbmm_(gates.mT, h)

    return call

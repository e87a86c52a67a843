"""A step of the diabetes network (8-6-4-1, batch 32, Adam): alone, in a scan, and for 32 networks at once."""

import importlib.util
import time

import torch

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree
from tests.benchmarks import measure

MEMBERS = 32


def add_arguments(parser):
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a scan")


def main(arguments):
    torch.set_num_threads(1)  # more are of no use to any side
    inputs = random.uniform(random.key(1), (32, 8))
    targets = random.uniform(random.key(2), (32, 1)).round()
    programs = {"plain PyTorch, a step": (plain(inputs, targets), 100)}
    programs |= functional(inputs, targets, arguments.steps)
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        from tests.benchmarks.jax_small import programs as jax_programs

        programs |= jax_programs(inputs.numpy(), targets.numpy(), arguments.steps, MEMBERS)
    first = {}
    for name, (run, _) in programs.items():
        started = time.perf_counter()
        run()
        first[name] = time.perf_counter() - started
        run()

    def timed(run, steps):
        def measure_once():
            repeat = 200 if "a step" in name_of[run] else 1
            started = time.perf_counter()
            for _ in range(repeat):
                run()
            return (time.perf_counter() - started) / (repeat * steps)

        return measure_once

    name_of = {run: name for name, (run, _) in programs.items()}
    sides = {name: timed(run, 1 if "a step" in name else steps) for name, (run, steps) in programs.items()}
    seconds = measure.interleaved(sides, arguments.rounds)
    measure.table("Diabetes network, time of one step, 1 thread", seconds, 1e6, "us")
    print("first call: " + ", ".join(f"{name} {value:.2f} s" for name, value in first.items()))


def plain(inputs, targets):
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 6), torch.nn.Sigmoid(), torch.nn.Linear(6, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 1),
        torch.nn.Sigmoid(),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    loss = torch.nn.BCELoss()

    def step():
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()

    return step


def functional(inputs, targets, steps):
    model = nn.serial(nn.linear(6), nn.sigmoid(), nn.linear(4), nn.sigmoid(), nn.linear(1), nn.sigmoid())
    optimizer = optim.adam(lr=0.1)
    step = train.make_step(model, losses.binary_cross_entropy, optimizer)
    state = train.make_state(model, optimizer, random.key(0), inputs)
    states = tree.stack(
        [train.make_state(model, optimizer, key, inputs) for key in random.split(random.key(0), MEMBERS)]
    )

    def scanned(step):
        return lambda state: fd.scan(lambda c, _: (step(c, (inputs, targets))[0], ()), state, length=steps, xs=None)[0]

    def kept(update, state):
        state = tree.map(torch.clone, state)

        def run():
            nonlocal state
            state = update(state)

        return run

    every = fd.vmap(step, in_dims=(0, None))
    once = fd.jit(lambda state: step(state, (inputs, targets))[0], donate_argnums=0)
    return {
        "funcdl eager, a step": (kept(lambda state: step(state, (inputs, targets))[0], state), 1),
        "funcdl jit, a step": (kept(once, state), 1),
        "funcdl jit, in a scan": (kept(fd.jit(scanned(step), donate_argnums=0), state), steps),
        f"funcdl jit, {MEMBERS} members in a scan": (kept(fd.jit(scanned(every), donate_argnums=0), states), steps),
    }

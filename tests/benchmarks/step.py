"""One training step of the ConvNet: plain PyTorch, the same under torch.compile, JAX where installed, and funcdl."""

import importlib.util
import time

import torch
import torch.nn.functional as F

import funcdl as fd
from funcdl import losses, models, optim, random, train
from tests.benchmarks import measure
from tests.twins.convnet import ConvNet


def add_arguments(parser):
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of 50 steps")


def main(arguments):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(arguments.batch_size, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (arguments.batch_size,), generator=generator)
    steps = {
        "plain PyTorch": plain(images, labels, compiled=False),
        "plain, torch.compile": plain(images, labels, compiled=True),
        "funcdl eager": functional(images, labels, lambda step: step),
        "funcdl jit": functional(images, labels, lambda step: fd.jit(step, donate_argnums=0)),
        "funcdl jit bf16": functional(images, labels, lambda step: fd.jit(step, donate_argnums=0), "bf16"),
    }
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        from tests.benchmarks.jax_step import jax_step

        steps["JAX jit"] = jax_step(images.numpy(), labels.numpy())

    compile_seconds = {}
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        compile_seconds[name] = time.perf_counter() - started
        for _ in range(5):
            step()

    def timed(step):
        def run():
            started = time.perf_counter()
            for _ in range(50):
                step()
            return (time.perf_counter() - started) / 50

        return run

    seconds = measure.interleaved({name: timed(step) for name, step in steps.items()}, arguments.rounds)
    measure.table(f"ConvNet step, batch {arguments.batch_size}, {torch.get_num_threads()} threads", seconds, 1e3, "ms")
    print("first call: " + ", ".join(f"{name} {value:.1f} s" for name, value in compile_seconds.items()))


def plain(images, labels, compiled):
    model = ConvNet()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=0.5)

    def forward(images, labels):
        return F.nll_loss(model(images), labels)

    forward = torch.compile(forward) if compiled else forward

    def step():
        optimizer.zero_grad()
        forward(images, labels).backward()
        optimizer.step()

    return step


def functional(images, labels, compile, precision="fp32"):
    model, optimizer = models.convnet(), optim.adadelta(lr=0.5)
    state = train.make_state(model, optimizer, random.key(0), images)
    update = compile(train.make_step(model, losses.nll, optimizer, precision=precision))

    def step():
        nonlocal state
        state, _ = update(state, (images, labels))

    return step

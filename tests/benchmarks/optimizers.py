"""One update of an optimizer over the tensors of a model: torch.optim in all its forms, TorchOpt, optax, and funcdl."""

import importlib.util
import re
import time

import torch
import torchvision

import funcdl as fd
from funcdl import optim, tree
from tests.benchmarks import measure


def resnet50():
    """The 161 parameters, 25.6 million numbers, of ResNet-50."""
    return [tuple(p.shape) for p in torchvision.models.resnet50().to("meta").parameters()]


def gpt2():
    """The 148 parameters, 124 million numbers, of the small GPT-2."""
    d = 768
    block = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,), (d,), (d,), (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *(12 * block), (d,), (d,)]


def small():
    """40 parameters of a small network, 0.1 million numbers."""
    return 20 * [(64, 64), (64,)]


TREES = {"resnet50": resnet50, "gpt2": gpt2, "small": small}

# name: (ours, torch.optim's class or None, its options, optax's expression or None, TorchOpt's or None)
OPTIMIZERS = {
    "adam": (optim.adam, torch.optim.Adam, {}, "optax.adam(1e-3)", "torchopt.adam(1e-3)"),
    "adamw": (optim.adamw, torch.optim.AdamW, {}, "optax.adamw(1e-3, weight_decay=1e-2)", "torchopt.adamw(1e-3)"),
    "sgd": (
        optim.sgd,
        torch.optim.SGD,
        {"momentum": 0.9},
        "optax.sgd(1e-3, momentum=0.9)",
        "torchopt.sgd(1e-3, momentum=0.9)",
    ),
    "lion": (optim.lion, None, {}, "optax.lion(1e-3, weight_decay=0.0)", None),
    "adadelta": (optim.adadelta, torch.optim.Adadelta, {}, "optax.adadelta(1e-3)", "torchopt.adadelta(1e-3)"),
}


def add_arguments(parser):
    parser.add_argument("--tree", default=".*", help="a regular expression: resnet50, gpt2, small")
    parser.add_argument("--optimizer", default=".*", help=f"a regular expression: {', '.join(OPTIMIZERS)}")
    parser.add_argument("--only", default=".*", help="a regular expression that the names of the rows have to match")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds of at least 20 ms each")


def main(arguments):
    for tree_name, shapes in TREES.items():
        for name in OPTIMIZERS:
            if re.fullmatch(arguments.tree, tree_name) and re.fullmatch(arguments.optimizer, name):
                compare(tree_name, shapes(), name, arguments)
                torch._dynamo.reset()


def compare(tree_name, shapes, name, arguments):
    ours, twin, options, optax, torchopt = OPTIMIZERS[name]
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(shape, generator=generator) for shape in shapes]
    rows = {}
    if twin:
        for form in ("foreach", "fused", "for-loop"):
            if form != "fused" or name != "adadelta":  # which has no fused form
                rows[f"torch.optim, {form}"] = lambda form=form: imperative(twin, options, form, grads)
        rows["torch.optim, compiled"] = lambda: imperative(twin, options, "for-loop", grads, compiled=True)
    if torchopt and importlib.util.find_spec("torchopt"):
        rows["TorchOpt"] = lambda: with_torchopt(torchopt, grads)
    if optax and importlib.util.find_spec("optax"):
        rows["optax, jit and donation"] = lambda: with_optax(optax, grads)
    rows["funcdl, eager"] = lambda: functional(ours(lr=1e-3, **options), grads)
    rows["funcdl, jit and donation"] = lambda: functional(ours(lr=1e-3, **options), grads, compiled=True)
    rows["funcdl, flatten, jit and donation"] = lambda: functional(
        optim.flatten(ours(lr=1e-3, **options)), grads, compiled=True
    )
    rows["a copy of the same bytes"] = lambda: copy(grads)

    steps, first_call = {}, {}
    for row, make in rows.items():
        if not re.search(arguments.only, row):
            continue
        step = make()
        started = time.perf_counter()
        step()
        first_call[row] = time.perf_counter() - started
        for _ in range(2):
            step()
        steps[row] = step

    def timed(step):
        started = time.perf_counter()
        step()
        count = max(1, int(0.02 / (time.perf_counter() - started)))

        def run():
            started = time.perf_counter()
            for _ in range(count):
                step()
            return (time.perf_counter() - started) / count

        return run

    seconds = measure.interleaved({row: timed(step) for row, step in steps.items()}, arguments.rounds)
    numbers = sum(grad.numel() for grad in grads) / 1e6
    threads = torch.get_num_threads()
    title = f"{name} on {tree_name}: {len(grads)} tensors, {numbers:.1f} million numbers, {threads} threads"
    measure.table(title, seconds, 1e3, "ms")
    print("first call: " + ", ".join(f"{row} {value:.1f} s" for row, value in first_call.items()), flush=True)


def imperative(twin, options, form, grads, compiled=False):
    parameters = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    flags = {"foreach": form == "foreach"} if form != "fused" else {"fused": True}
    lr = torch.tensor(1e-3) if compiled else 1e-3  # a float would be compiled in
    optimizer = twin(parameters, lr=lr, **options, **flags)
    return torch.compile(optimizer.step, fullgraph=False) if compiled else optimizer.step


def functional(optimizer, grads, compiled=False):
    def update(carried, grads):
        params, state = carried
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    params = tree.zeros_like(dict(enumerate_names(grads)))
    grads = dict(enumerate_names(grads))
    update = fd.jit(update, donate_argnums=0) if compiled else update
    carried = [(params, optimizer.init(params))]

    def step():
        carried[0] = update(carried[0], grads)

    return step


def enumerate_names(leaves):
    return [(f"parameter{index:03}", leaf) for index, leaf in enumerate(leaves)]


def with_torchopt(expression, grads):
    import torchopt

    optimizer = eval(expression, {"torchopt": torchopt})
    params = [torch.zeros_like(grad) for grad in grads]
    carried = [(params, optimizer.init(params))]

    def step():
        params, state = carried[0]
        updates, state = optimizer.update(grads, state, params=params, inplace=False)
        carried[0] = (torchopt.apply_updates(params, updates, inplace=False), state)

    return step


def with_optax(expression, grads):
    import jax
    import optax

    optimizer = eval(expression, {"optax": optax})
    grads = [jax.numpy.asarray(grad.numpy()) for grad in grads]

    def update(carried, grads):
        params, state = carried
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    update = jax.jit(update, donate_argnums=0)
    params = [jax.numpy.zeros_like(grad) for grad in grads]
    carried = [(params, optimizer.init(params))]

    def step():
        carried[0] = jax.block_until_ready(update(carried[0], grads))

    return step


def copy(grads):
    """Writes as many bytes as a parameter and two averages have, and reads them and as many gradients."""
    sources = [(grad, torch.zeros_like(grad), torch.zeros_like(grad), torch.zeros_like(grad)) for grad in grads]

    def step():
        for grad, *written in sources:
            for target in written:
                target.copy_(grad)

    return step

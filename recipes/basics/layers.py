"""Layers: what each computes, on numbers small enough to check by hand, and a first network of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree
from funcdl.nn import Layer
from recipes import runtime, settings
from recipes.lesson import Lesson
from recipes.settings import Outcome

IMAGE = [[3, 4, 6, 5, 7], [2, 4, 6, 8, 2], [1, 6, 7, 8, 4], [9, 7, 4, 6, 2], [3, 7, 5, 4, 1]]
POOLED = [row[:4] for row in IMAGE[:4]]
CHANNELS = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 4, 7], [2, 5, 8], [3, 6, 9]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]]


@dataclass(frozen=True, kw_only=True)
class Settings(settings.Settings):
    """See what linear, convolution, pooling, dropout, recurrent and embedding layers compute.

    A layer is two functions: `init(key, x)` makes its parameters, from whose shapes nothing need be computed by hand,
    and `apply(params, buffers, x)` uses them; one without buffers is also called as `layer(params, x)`.
    """

    dataset: Literal["sample"] = "sample"
    """The tutorials' small arrays."""
    lr: float = 0.01
    """The rate of the one step."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Shows each layer with its result."""
    lesson = Lesson()
    with runtime.choose_device(settings.device) as device:
        keys = random.split(random.key(settings.seed), 6).unbind()
        linear(lesson, keys[0])
        convolution(lesson, keys[1])
        pooling(lesson)
        dropout(lesson, keys[2])
        recurrent(lesson, keys[3])
        embedding(lesson, keys[4])
        network(lesson, keys[5], settings.lr)
    return Outcome(lesson.metrics, device=device.type, lesson=lesson)


def make(layer: Layer, key: Tensor, *shape: int) -> tree.Tree:
    """The parameters of a layer for inputs of a shape."""
    return layer.init(key, torch.empty(shape, device="meta"))[0]


def linear(lesson: Lesson, key: Tensor) -> None:
    """x W^T + b, whose weight torch stores as (out, in)."""
    for outputs in (1, 2, 6):
        shape = make(nn.linear(outputs), key, 5, 8)["weight"].shape
        lesson.show(f"linear_{outputs}", f"nn.linear({outputs}) of 8 inputs: weight.shape", shape, f"{outputs} x 8")
    x, layer = random.normal(key, (64, 256)), nn.linear(4)
    params = make(layer, key, 64, 256)
    same = torch.allclose(layer(params, x), x @ params["weight"].T + params["bias"], atol=1e-6)
    lesson.show("linear", "layer(params, x) = x @ weight.T + bias", same, "x W^T + b")
    scratch = {"weight": random.normal(key, (256, 4)) / 256**0.5, "bias": torch.zeros(4)}
    loss, grads = fd.value_and_grad(lambda p: losses.cross_entropy(x @ p["weight"] + p["bias"], torch.arange(64) % 4))(
        scratch
    )
    lesson.show("scratch_loss", "from scratch, randn(256, 4) / 16: cross-entropy", loss, "a layer without nn")
    lesson.show("scratch_gradients", "shapes of its gradients", [list(grads[name].shape) for name in scratch])
    deviations = [params["weight"].std().item(), scratch["weight"].std().item()]
    lesson.show("deviations", "deviation of the weights: nn.linear, from scratch", deviations, "0.036 0.0625", 3)
    lesson.remark(
        "nn.Linear(256, 4) is not randn / 16: its weight is (4, 256), uniform in +-1/16, and its bias not zero."
    )


def convolution(lesson: Lesson, key: Tensor) -> None:
    """Sums of products at every position; the size is floor((n + 2 padding - kernel) / stride) + 1."""
    image = torch.tensor(IMAGE, dtype=torch.double)[None, None]
    kernel = {"weight": torch.arange(1, 10, dtype=torch.double).reshape(1, 1, 3, 3)}
    for name, stride, padding, figure in (
        ("conv", 1, 0, "211 295 262 / 259 282 214 / 251 253 169"),
        ("conv_padding1", 1, 1, "91 168 224 215 127 / 114 211 295 262 149 / ... / 96 112 110 68 31"),
        ("conv_stride2", 2, 0, "211 262 / 251 169"),
    ):
        layer = nn.conv2d(1, 3, stride, padding, bias=False)
        expression = f"nn.conv2d(1, 3, stride={stride}, padding={padding}, bias=False), kernel 1 to 9"
        lesson.show(name, expression, layer(kernel, image)[0, 0], figure)
    layer = nn.conv2d(10, 3)
    params = make(layer, key, 1, 5, 100, 100)
    lesson.show("conv_weight", "nn.conv2d(10, 3) of (1, 5, 100, 100): weight", params["weight"].shape, "10 5 3 3")
    lesson.show("conv_shape", "its output", layer(params, torch.zeros(1, 5, 100, 100)).shape, "1 10 98 98")
    lesson.show("unbatched", "of one image (5, 100, 100)", layer(params, torch.zeros(5, 100, 100)).shape)
    lesson.remark("Layers take one image without a batch dimension, too; the notes allow batches only.")
    mix = {"weight": torch.tensor([0.5, 0.3, 0.2], dtype=torch.double).reshape(1, 3, 1, 1)}
    mixed = nn.conv2d(1, 1, bias=False)(mix, torch.tensor(CHANNELS, dtype=torch.double)[None])[0, 0]
    lesson.show("conv1x1", "nn.conv2d(1, 1), weights 0.5 0.3 0.2", mixed, "2.6 3.8 5.0 / 3.8 5.0 6.2 / 5.0 6.2 7.4")
    direct, narrow = products(192, 32, 5), products(192, 16, 1) + products(16, 32, 5)
    lesson.show("cost_direct", "products: 192 channels of 28 x 28 to 32 by 5 x 5", direct, "120422400")
    lesson.show("cost_narrow", "the same through 16 channels by 1 x 1", narrow, "12443648")
    lesson.show("cost_ratio", "their ratio", direct / narrow, "9.68", 3)
    lesson.remark("One slide prints 12,433,648 products; 192 * 16 * 784 + 16 * 32 * 25 * 784 is 12,443,648.")

    down, up = nn.conv2d(1, 3, stride=2, bias=False), nn.conv_transpose2d(1, 3, stride=2, bias=False)
    x, y = image, torch.arange(4, dtype=torch.double).reshape(1, 1, 2, 2)
    lesson.show("transposed_shape", "nn.conv_transpose2d(1, 3, stride=2) of 2 x 2", up(kernel, y).shape, "(n-1)s-2p+k")
    products_sum = [(down(kernel, x) * y).sum(), (x * up(kernel, y)).sum()]
    lesson.show("adjoint", "(conv(x) * y).sum(), (x * conv_transpose(y)).sum()", products_sum, "equal")
    lesson.remark("A transposed convolution is the adjoint of the convolution, not its inverse.")


def products(inputs: int, outputs: int, kernel: int, size: int = 28) -> int:
    """How many multiplications a convolution makes that keeps the size of an image."""
    weight = make(nn.conv2d(outputs, kernel, padding="same", bias=False), random.key(0), 1, inputs, size, size)[
        "weight"
    ]
    return weight.numel() * size * size


def pooling(lesson: Lesson) -> None:
    """The largest, the mean or the least of each 2 x 2 window."""
    image = torch.tensor(POOLED, dtype=torch.float)[None, None]
    for name, layer, figure in (
        ("max", nn.max_pool2d(2), "4 8 / 9 8"),
        ("avg", nn.avg_pool2d(2), ""),
        ("min", nn.min_pool2d(2), "-max(-x)"),
    ):
        lesson.show(f"{name}_pool", f"nn.{name}_pool2d(2)", layer({}, image)[0, 0], figure)


def dropout(lesson: Lesson, key: Tensor) -> None:
    """Zeros with probability p and the rest times 1 / (1 - p) in training, nothing otherwise."""
    ones, layer = torch.ones(100_000), nn.dropout(0.25)
    (trained, _), (evaluated, _) = layer.apply({}, {}, ones, key=key, train=True), layer.apply({}, {}, ones)
    lesson.show("dropout_values", "values of nn.dropout(0.25) of ones", trained.unique(), "0, 1 / (1 - p)")
    moments = [trained.mean().item(), trained.var().item()]
    lesson.show("dropout_moments", "their mean and variance", moments, "1, p / (1 - p)", 3)
    lesson.show("dropout_evaluated", "without train=True: unchanged", torch.equal(evaluated, ones), "identity")
    lesson.remark(
        "Training is an argument: a dropout function called without it, as some advise, drops in evaluation too."
    )


def recurrent(lesson: Lesson, key: Tensor) -> None:
    """A state that each step of a sequence changes: h = tanh(W_ih x + b_ih + W_hh h + b_hh)."""
    sequence, h = random.normal(key, (3, 1, 4)), torch.zeros(1, 2)
    cell, shapes = nn.rnn_cell(2), []
    params = make(cell, key, 1, 4)
    for x in sequence:
        inside = x @ params["weight_ih"].T + params["bias_ih"] + h @ params["weight_hh"].T + params["bias_hh"]
        h = cell(params, {"input": x, "hx": h})
        shapes.append([*x.shape, *h.shape])
    lesson.show("cell_shapes", "nn.rnn_cell(2): shapes of x and h, step by step", shapes, "1 4, 1 2")
    lesson.show("cell", "h = tanh(W_ih x + b_ih + W_hh h + b_hh)", torch.allclose(h, inside.tanh()), "equal")
    for layers, first in ((1, False), (2, False), (1, True)):
        layer = nn.rnn(2, layers, batch_first=first)
        x = sequence.transpose(0, 1) if first else sequence
        output, hidden = layer(make(layer, key, *x.shape), x)
        name = f"rnn_{layers}{'_batch_first' * first}"
        figure = f"{'1 3 2' if first else '3 1 2'}, {layers} 1 2"
        called = f"nn.rnn(2, {layers}{', batch_first=True' * first})"
        lesson.show(f"{name}_shapes", f"{called}: output, hidden", [list(output.shape), list(hidden.shape)], figure)
        last = output[:, -1] if first else output[-1]
        lesson.show(f"{name}_last", "output at the last step = hidden[-1]", torch.equal(last, hidden[-1]), "equal")
    both = nn.gru(5, bidirectional=True)
    output, hidden = both(make(both, key, 3, 1, 4), sequence)
    lesson.show("both_shapes", "nn.gru(5, bidirectional=True)", [list(output.shape), list(hidden.shape)], "L*2, B, H")
    ends = [torch.equal(output[-1, :, :5], hidden[-2]), torch.equal(output[0, :, 5:], hidden[-1])]
    lesson.show("both_ends", "forward ends at the last step, backward at the first", ends, "hidden[-2], hidden[-1]")


def embedding(lesson: Lesson, key: Tensor) -> None:
    """A row of the weight for each number: what a product with a one-hot vector picks."""
    layer, letters = nn.embedding(4, 3), torch.tensor([1, 0, 2, 2, 3])
    params, _ = layer.init(key, letters)
    picked = torch.nn.functional.one_hot(letters, 4).float() @ params["weight"]
    lesson.show("embedding", "embedding = one_hot @ weight", torch.equal(layer(params, letters), picked), "equal")


def network(lesson: Lesson, key: Tensor, lr: float) -> None:
    """The handbook's first network: its shapes, its parameters, its gradients and one step."""
    stages = {"conv1": nn.conv2d(6, 3), "relu1": nn.relu(), "pool": nn.max_pool2d(2), "relu2": nn.relu()}
    stages |= {"flat": nn.flatten(), "fc1": nn.linear(10)}
    model = nn.serial(**stages)
    x = random.normal(random.fold_in(key, 1), (1, 1, 32, 32))
    params, _ = model.init(key, x)
    shapes, y = [list(x.shape)], x
    for name, layer in stages.items():
        y = layer(params.get(name, {}), y)
        shapes += [] if list(y.shape) == shapes[-1] else [list(y.shape)]
    lesson.show("net_shapes", "shapes from the input to the output", shapes, "(1,1,32,32) ... (1,10)")
    names = [f"{path} {tuple(leaf.shape)}" for path, leaf in tree.leaves_with_paths(params)]
    lesson.show("net_parameters", "named parameters", names, "conv1.weight ... fc1.bias")
    lesson.show("net_size", "how many numbers", tree.size(params), "60 + 13510 = 13570")
    grads = fd.grad(lambda params: model(params, x).sum())(params)
    lesson.show("net_gradients", "grad of out.sum(), as out.backward(ones): fc1.bias", grads["fc1"]["bias"], "1 each")
    optimizer = optim.sgd(lr=lr)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    moved = tree.leaves(optim.apply_updates(params, updates))
    by_hand = tree.leaves(tree.map(lambda p, g: p - lr * g, params, grads))
    same = all(torch.equal(a, b) for a, b in zip(moved, by_hand, strict=True))
    lesson.show("net_step", "one step of SGD = p - lr * g", same, "equal")
    once = nn.serial(**{name: layer for name, layer in stages.items() if name != "relu2"})
    lesson.show("net_relu", "the same without the second relu", torch.equal(once(params, x), y), "")
    lesson.remark(
        "The second relu, behind the pool, changes nothing: a maximum of numbers that are not negative is none."
    )
    lesson.remark("There are no gradients to set to zero: grad returns new ones. Layers are not activation functions.")

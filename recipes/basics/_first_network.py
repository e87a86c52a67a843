"""The handbook's first network: its shapes, its parameters, its gradients and one step."""

from __future__ import annotations

import torch
from torch import Tensor

import funcdl as fd
from funcdl import nn, optim, random, tree

from ..lesson import Lesson
from ..networks import show_network

LAYERS = {"conv1": nn.conv2d(6, 3), "relu1": nn.relu(), "pool": nn.max_pool2d(2), "relu2": nn.relu()}
LAYERS |= {"flat": nn.flatten(), "fc1": nn.linear(10)}


def first_network(lesson: Lesson, key: Tensor, lr: float) -> None:
    """Shows the network, then computes gradients and takes one step."""
    model = nn.serial(**LAYERS)
    x = random.normal(random.fold_in(key, 1), (1, 1, 32, 32))
    shapes = "(1,1,32,32) to (1,6,30,30), (1,6,15,15), (1,1350), (1,10)"
    show_network(lesson, model, x, shapes, "conv1.weight ... fc1.bias", "60 + 13510 = 13570")
    params, _ = model.init(key, x)
    inputs = params["fc1"]["weight"].shape[1]
    lesson.show("fc1_inputs", "inputs of fc1: 6 channels of 15 x 15, as init reads it from the shapes", inputs, "1350")
    grads = fd.grad(lambda params: model(params, x).sum())(params)
    text = "gradient of out.sum() in fc1.bias, as by out.backward(torch.ones(1, 10))"
    lesson.show("net_gradients", text, grads["fc1"]["bias"], "1 each")
    optimizer = optim.sgd(lr=lr)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    moved = tree.leaves(optim.apply_updates(params, updates))
    by_hand = tree.leaves(tree.map(lambda p, g: p - lr * g, params, grads))
    same = all(torch.equal(a, b) for a, b in zip(moved, by_hand, strict=True))
    lesson.show("net_step", "one step of optim.sgd gives p - lr * g", same, "equal")
    lesson.show("net_moved", "what that step adds to fc1.bias", updates["fc1"]["bias"], "-lr each")
    one_relu = nn.serial(**{name: layer for name, layer in LAYERS.items() if name != "relu2"})
    same = torch.equal(one_relu(params, x), model(params, x))
    lesson.show("net_relu", "without the second ReLU the output is the same", same)
    lesson.remark(
        "The second ReLU, behind the pool, changes nothing: after the first no number is negative, and the largest of "
        "such numbers is not negative either."
    )
    lesson.remark("No gradients have to be zeroed before the step: fd.grad returns new ones. See: funcdl run autograd.")
    lesson.remark("Layers have parameters; an activation function only bends what comes out of them.")

"""Digits as the lectures write them in plain PyTorch: `python -m tests.benchmarks.plain_digits ID DATA_DIR`.

`DATA_DIR` holds `MNIST/raw` with the four files unpacked, as torchvision wants them. The last line of stdout is JSON,
`{"metrics": {network: {"test_loss", "test_accuracy"}}}`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from tests.twins import zoo
from tests.twins.convnet import ConvNet

lecture = partial(torch.optim.SGD, lr=0.01, momentum=0.5)


@dataclass(frozen=True)
class Job:
    """What a recipe trains, one network after the other, and how; `flag` is the recipe's, to train one of several."""

    networks: dict
    optimizer: Callable = lecture
    loss: Callable = F.cross_entropy
    normalize: tuple = (0.1307, 0.3081)
    batch_size: int = 64
    test_batch_size: int = 64
    epochs: int = 10
    flag: str = ""


SIZES = {"S": ((8, 16, 32), (64, 32)), "M": ((16, 32, 64), (128, 64)), "L": ((32, 64, 128), (256, 128))}
VARIANTS = (
    "original", "scaled", "scaled-shortcut", "exclusive-gate", "shortcut-gate", "conv-shortcut", "dropout-shortcut",
    "bn-after-add", "relu-before-add", "relu-preactivation", "full-preactivation",
)  # fmt: skip
JOBS = {
    "digits-softmax": Job({"mlp": partial(zoo.mlp, 784, 512, 256, 128, 64, 10)}),
    "digits-cnn": Job({"lenet": zoo.LeNet}),
    "digits-cnn-deep": Job({name: partial(zoo.CNN, *widths) for name, widths in SIZES.items()}, flag="--size"),
    "digits-inception": Job({"inception": zoo.InceptionNet}),
    "digits-resnet": Job({"resnet": zoo.ResidualNet}),
    "digits-identity": Job({name: partial(zoo.ResidualNet, name) for name in VARIANTS}, flag="--variant"),
    "digits-densenet": Job(
        {"densenet": zoo.DenseNet}, optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True)
    ),
    "digits-convnet": Job(
        {"convnet": ConvNet},
        optimizer=partial(torch.optim.Adadelta, lr=0.5),
        loss=F.nll_loss,
        normalize=(0.1302, 0.3069),
        batch_size=32,
        test_batch_size=500,
        epochs=2,
    ),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plain_digits")
    parser.add_argument("id", choices=JOBS)
    parser.add_argument("data_dir")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    job = JOBS[arguments.id]
    mean, deviation = job.normalize
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((mean,), (deviation,))])
    mnist = partial(datasets.MNIST, arguments.data_dir, transform=transform)
    train_loader = DataLoader(mnist(train=True), batch_size=job.batch_size, shuffle=True)
    test_loader = DataLoader(mnist(train=False), batch_size=job.test_batch_size)
    metrics = {}
    for name in [arguments.only] if arguments.only else job.networks:
        torch.manual_seed(0)
        model = job.networks[name]()
        optimizer = job.optimizer(model.parameters())
        for epoch in range(1, (arguments.epochs or job.epochs) + 1):
            train(epoch, model, optimizer, job.loss, train_loader)
            metrics[name] = test(model, job.loss, test_loader)
            print(name, epoch, metrics[name], file=sys.stderr)
    print(json.dumps({"metrics": metrics}))


def train(epoch, model, optimizer, criterion, loader):
    model.train()
    for number, (images, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        if number % 10 == 0:
            print(f"epoch {epoch} batch {number} loss {loss.item():.6f}", file=sys.stderr)


def test(model, criterion, loader):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = model(images)
            loss += criterion(outputs, labels, reduction="sum").item()
            correct += (outputs.argmax(1) == labels).sum().item()
    return {"test_loss": loss / len(loader.dataset), "test_accuracy": correct / len(loader.dataset)}


if __name__ == "__main__":
    main()

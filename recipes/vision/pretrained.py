"""What `finetune` begins with: a network that was trained on something else, and new data for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl import data, interop, losses, metrics, models, nn, optim, random, train, tree
from funcdl.data import DataError, Split

from ..settings import SettingsError
from . import digits

BACKBONES = {"resnet18": models.resnet18, "resnet34": models.resnet34, "resnet50": models.resnet50}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels
COUNTER = "num_batches_tracked"  # of a batch norm; weights of the days before torch 0.4.1 have none
MAX_CLASSES = 100_000
EVALUATION_BATCH = 50
SEEN = 6000  # old digits that are looked at, at least, some of them several times


@dataclass(frozen=True)
class Task:
    """A network to tune, and the data for it.

    Attributes:
        model: images in, logits of the new classes out; its last part is "fc", a linear layer.
        params: as they were learned on the old data, with a new head.
        buffers: likewise.
        split: the new data.
        middle: the parts of the network between its middle and its head.
        prepare: what is done to the images first.
    """

    model: nn.Layer
    params: tree.Tree
    buffers: tree.Tree
    split: Split
    middle: tuple[str, ...] = ()
    prepare: Callable[[Tensor], Tensor] = digits.normalise


def network(classes: int, pool: nn.Layer | None = None) -> nn.Layer:
    """Three convolutions and a linear layer; what is left of an image is averaged to 2 x 2, whatever its size."""
    return nn.serial(
        conv1=nn.conv2d(16, 3, padding=1),
        relu1=nn.relu(),
        pool1=nn.max_pool2d(2),
        conv2=nn.conv2d(32, 3, padding=1),
        relu2=nn.relu(),
        pool2=nn.max_pool2d(2),
        conv3=nn.conv2d(64, 3, padding=1),
        relu3=nn.relu(),
        pool3=pool or nn.adaptive_avg_pool2d(2),
        flatten=nn.flatten(),
        fc=nn.linear(classes),
    )


def from_digits(split: Split, each: int, key: Tensor, report: train.Report, resume: bool) -> Task:
    """Trains on all digits from 0 to 4; the new data has those from 5 to 9, `each` of them to train on."""
    old, new = (Split(*(_of_digits(part, first) for part in split)) for first in (0, 5))
    order_key, state_key, head_key = random.split(key, 3).unbind()
    model, optimizer = network(5), optim.adam(lr=0.001)
    state = train.make_state(model, optimizer, state_key, digits.normalise(old.train[0][:1]))
    step = train.make_step(model, losses.cross_entropy, optimizer, prepare=digits.normalise)
    evaluate = train.make_evaluate(model, {"test_accuracy": metrics.accuracy}, prepare=digits.normalise)
    test = data.stacked_batches(old.test, EVALUATION_BATCH)
    state = train.fit(
        state,
        step,
        old.train,
        key=order_key,
        epochs=-(-SEEN // len(old.train[0])),
        batch_size=32,
        evaluate=lambda params, buffers: evaluate(params, buffers, test),
        report=report,
        resume=resume,
    )
    fresh, _ = model.init(head_key, digits.normalise(old.train[0][:1]))
    images, labels = new.train
    few = torch.cat([(labels == digit).nonzero().flatten()[:each] for digit in range(5)])
    return Task(
        model,
        {**state.params, "fc": fresh["fc"]},
        state.buffers,
        Split((images[few], labels[few]), new.test),
        middle=("conv3",),
    )


def from_backbone(name: str, path: str, split: Split, classes: int, key: Tensor) -> Task:
    """One of torchvision's networks, with the weights in a file and a new head.

    Raises:
        SettingsError: no file is named; says where to get it.
        DataError: it holds no weights, or others'; every name and shape that does not fit is named.
    """
    params, buffers = read_backbone(name, path, key.device)
    width = params["fc"]["weight"].shape[1]
    head, _ = nn.linear(classes).init(key, torch.empty(1, width, device="meta"))
    model = BACKBONES[name](classes)
    return Task(model, {**params, "fc": head}, buffers, split, middle=("layer4",), prepare=photograph_pixels)


def read_backbone(name: str, path: str, device: torch.device) -> tuple[tree.Tree, tree.Tree]:
    """Reads the parameters and buffers of one of torchvision's networks, of as many classes as the file has."""
    if not path:
        from torchvision.models import get_model_weights  # imported here as it takes a second

        raise SettingsError(
            f"--dataset hymenoptera needs --weights FILE, the pre-trained weights of {name}; get "
            f"{get_model_weights(name).DEFAULT.url}"
        )
    path = os.path.expanduser(path)  # noqa: PTH111 (a user who is not known is left as he is written)
    try:
        weights = (interop.load_safetensors if Path(path).suffix == ".safetensors" else interop.load_torch)(path)
        head = weights.get("fc.weight")
        if head is not None and (head.ndim != 2 or not 1 <= len(head) <= MAX_CLASSES):
            raise ValueError(f"its fc.weight has shape {tuple(head.shape)}, expected (classes, width)")
        model = BACKBONES[name](1000 if head is None else len(head))
        shapes = model.init(random.key(0, device="meta"), torch.empty(1, 3, 224, 224, device="meta"))
        params, buffers = tree.map(lambda leaf: torch.empty_like(leaf, device=device), shapes)
        return interop.from_state_dict(_with_counters(weights, buffers), params, buffers)
    except (ValueError, RuntimeError) as error:  # torch's for tensors that cannot be copied, quantized ones for example
        raise DataError(f"--weights {path}: cannot be used for {name}: {error}") from None


def photograph_pixels(images: Tensor) -> Tensor:
    """Turns bytes to floats as torchvision's networks want them."""
    mean, deviation = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (images.float() / 255 - mean) / deviation


def resized(task: Task, size: int) -> Task:
    """The same with images of `size` pixels each way."""

    def prepare(images: Tensor) -> Tensor:
        return F.interpolate(task.prepare(images), (size, size), mode="bilinear", antialias=True)

    return replace(task, prepare=prepare)


def exported(task: Task) -> Task:
    """The head alone, and as its data what the network makes of all images before it.

    A head that is the identity lets through what comes to it, as a hook would in a module.
    """
    width = task.params["fc"]["weight"].shape[1]
    identity = {"weight": torch.eye(width), "bias": torch.zeros(width)}
    params = {**task.params, "fc": tree.map(lambda leaf: leaf.to(task.split.train[1].device), identity)}

    def features(images: Tensor) -> Tensor:
        batches = images.split(EVALUATION_BATCH)
        return torch.cat([task.model.apply(params, task.buffers, task.prepare(batch))[0] for batch in batches])

    split = Split(*((features(images), labels) for images, labels in task.split))
    return Task(nn.serial(fc=nn.linear(1)), {"fc": task.params["fc"]}, {}, split, prepare=lambda x: x)


def _of_digits(part: tuple[Tensor, Tensor], first: int) -> tuple[Tensor, Tensor]:
    """The five digits from `first` on, numbered from 0."""
    images, labels = part
    rows = (labels >= first) & (labels < first + 5)
    return images[rows], labels[rows] - first


def _with_counters(weights: Mapping[str, Tensor], buffers: tree.Tree) -> dict[str, Tensor]:
    counters = {path: leaf for path, leaf in tree.leaves_with_paths(buffers) if path.endswith(COUNTER)}
    missing = (
        {} if counters.keys() & weights.keys() else {path: torch.zeros_like(leaf) for path, leaf in counters.items()}
    )
    return {**missing, **weights}

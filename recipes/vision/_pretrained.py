"""For `finetune`: pretrained networks, and the new data to tune them on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl import interop, metrics, models, nn, optim, random, train, tree
from funcdl.data import DataError, Split

from .. import training
from ..settings import SettingsError, TrainingSettings
from ..training import Task
from . import _digits

BACKBONES = {"resnet18": models.resnet18, "resnet34": models.resnet34, "resnet50": models.resnet50}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels
COUNTER = "num_batches_tracked"  # of a batch norm; weights of the days before torch 0.4.1 have none
MAX_CLASSES = 100_000
EVALUATION_BATCH = 50
SEEN = 6000  # old digits that are looked at, at least, some of them several times


@dataclass(frozen=True)
class Pretrained:
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
    prepare: Callable[[Tensor], Tensor] = _digits.normalize


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


def from_digits(settings: TrainingSettings, split: Split, each: int, key: Tensor, report: train.Report) -> Pretrained:
    """Trains on all digits from 0 to 4; the new data has those from 5 to 9, `each` of them to train on."""
    old, new = (Split(*(_of_digits(part, first) for part in split)) for first in (0, 5))
    order_key, state_key, head_key = random.split(key, 3).unbind()
    model = network(5)
    evaluate = train.make_evaluate(model, {"test_accuracy": metrics.accuracy}, prepare=_digits.normalize)
    task = Task(
        model,
        optim.adam(lr=0.001),
        epochs=-(-SEEN // len(old.train[0])),
        batch_size=32,
        metrics={},
        prepare=_digits.normalize,
        evaluation_batch=EVALUATION_BATCH,
        evaluate=evaluate,
    )
    trained = training.fit(settings, report, task, *old, keys=(state_key, order_key), compiled=False)
    fresh, _ = model.init(head_key, _digits.normalize(old.train[0][:1]))
    images, labels = new.train
    few = torch.cat([(labels == digit).nonzero().flatten()[:each] for digit in range(5)])
    return Pretrained(
        model,
        {**trained.state.params, "fc": fresh["fc"]},
        trained.state.buffers,
        Split((images[few], labels[few]), new.test),
        middle=("conv3",),
    )


def from_backbone(name: str, path: str, split: Split, classes: int, key: Tensor) -> Pretrained:
    """One of torchvision's networks, with the weights in a file and a new head.

    Raises:
        SettingsError: no file is named; says where to get it.
        DataError: it holds no weights, or others'; every name and shape that does not fit is named.
    """
    params, buffers = read_backbone(name, path, key.device)
    width = params["fc"]["weight"].shape[1]
    head, _ = nn.linear(classes).init(key, torch.empty(1, width, device="meta"))
    model = BACKBONES[name](classes)
    return Pretrained(model, {**params, "fc": head}, buffers, split, middle=("layer4",), prepare=photograph_pixels)


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


def resized(pretrained: Pretrained, size: int) -> Pretrained:
    """The same with images of `size` x `size` pixels."""

    def prepare(images: Tensor) -> Tensor:
        return F.interpolate(pretrained.prepare(images), (size, size), mode="bilinear", antialias=True)

    return replace(pretrained, prepare=prepare)


def exported(pretrained: Pretrained) -> Pretrained:
    """The head alone, and as its data what the network makes of all images before it.

    A head that is the identity lets through what comes to it, as a hook would in a module.
    """
    width = pretrained.params["fc"]["weight"].shape[1]
    identity = {"weight": torch.eye(width), "bias": torch.zeros(width)}
    params = {**pretrained.params, "fc": tree.map(lambda leaf: leaf.to(pretrained.split.train[1].device), identity)}

    def features(images: Tensor) -> Tensor:
        batches = images.split(EVALUATION_BATCH)
        return torch.cat(
            [pretrained.model.apply(params, pretrained.buffers, pretrained.prepare(batch))[0] for batch in batches]
        )

    split = Split(*((features(images), labels) for images, labels in pretrained.split))
    return Pretrained(nn.serial(fc=nn.linear(1)), {"fc": pretrained.params["fc"]}, {}, split, prepare=lambda x: x)


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

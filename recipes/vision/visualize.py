"""Images, histograms, scalars, an embedding and a graph, written for TensorBoard and read back."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, interop, losses, metrics, nn, optim, random, train, tree
from funcdl.train import files

from .. import optimizer_choice, runtime, settings, training
from ..lesson import Lesson
from ..settings import Outcome
from ..training import Task
from . import _digits

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TOY_STEPS = 30
HANDBOOK = {30: "0.352312", 60: "0.202950", 90: "0.156494"}  # losses after so many batches of MNIST
EMBEDDED, SHEET = 200, 32  # images


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Train the handbook's network and write all kinds of things for TensorBoard on the way; then read them back.

    Scalars are curves: two toy series, alone and as a group, and the loss of each batch. Histograms show how weights
    and gradients are spread, images what the network is given, the embedding what its last hidden layer makes of them
    (500 numbers for each, which TensorBoard projects to 3), and the graph what it computes. To see them:
    `tensorboard --logdir` and the folder that the run leaves behind.
    """

    dataset: Literal["sample", "mnist"] = "sample"
    """sample: scikit-learn's 1,797 digits, a fifth held out; mnist: the handbook's 60,000 and 10,000."""
    epochs: int | None = None
    """Passes through the training data; 4 on the sample, 1 on MNIST."""
    batch_size: int | None = None
    """Samples per step; 32 on the sample, 512 on MNIST."""
    lr: float | None = None
    """Learning rate; 0.001 for Adam, else the usual one of --optimizer."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Writes before, in and after the training, then tells what the files of events hold."""
    split = _digits.read_data(settings)
    on_sample = settings.dataset == "sample"
    evaluate = train.make_evaluate(
        network(),
        {"test_loss": metrics.mean_loss(losses.nll), "test_accuracy": metrics.accuracy},
        prepare=_digits.normalize,
    )
    task = Task(
        network(),
        optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 0.001),
        settings.epochs or (4 if on_sample else 1),
        settings.batch_size or (32 if on_sample else 512),
        loss=losses.nll,
        prepare=_digits.normalize,
        evaluation_batch=_digits.EVALUATION_BATCH,
        title=f"visualize on {settings.dataset}",
    )
    runtime.count_steps(task.batch_size, task.epochs, len(split.train[1]))  # refuses a batch before anything is written
    device = runtime.choose_device(settings.device)
    state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    state = training.make_state(task, state_key, split.test[0].to(device))
    images, labels = (part[:EMBEDDED].to(device) for part in split.test)
    inputs = _digits.normalize(images)
    gradient = fd.grad(lambda params: losses.nll(task.model(params, inputs), labels))

    with folder_of(report) as folder, writing(folder) as writer:
        if not settings.resume:
            write_toy_series(writer)
            writer.add_images("digits", images[:SHEET].cpu())
            with warnings.catch_warnings():  # TensorBoard has the graph from a trace, of which torch warns
                warnings.simplefilter("ignore")
                writer.add_graph(interop.to_module(task.model, state.params), inputs[:1])
            writer.flush()  # it is not written again where the run is resumed

        def write_loss(state: train.TrainState, measured: dict[str, Tensor]) -> None:
            writer.add_scalar("training/loss", measured["loss"].item(), int(state.step))

        def write_histograms(params: tree.Tree, buffers: tree.Tree, batches: tree.Tree) -> dict[str, Tensor]:
            for group, values in (("weights", params), ("gradients", gradient(params))):
                for path, leaf in tree.leaves_with_paths(values):
                    writer.add_histogram(f"{group}/{path}", leaf.detach().cpu(), len(report.rows) + 1)
            writer.flush()
            return evaluate(params, buffers, batches)

        trained = training.fit(
            settings,
            report,
            replace(task, evaluate=write_histograms),
            *split,
            keys=(state_key, order_key),
            state=state,
            on_step=write_loss,
        )
        features = hidden(trained.state.params, inputs)
        sprites = images.float().cpu() / 255
        steps = task.epochs * data.steps_per_epoch(len(split.train[1]), task.batch_size)
        writer.add_embedding(features.cpu(), labels.tolist(), sprites, steps, "hidden_layer")
        writer.flush()
        lesson = read_back(folder)
    return trained.outcome(trained.measurements | lesson.metrics, lesson)


def network() -> nn.Layer:
    """The handbook's network: images in, log-probabilities out."""
    return nn.serial(
        conv1=nn.conv2d(10, 5),
        relu1=nn.relu(),
        pool=nn.max_pool2d(2),
        conv2=nn.conv2d(20, 3),
        relu2=nn.relu(),
        flatten=nn.flatten(),
        fc1=nn.linear(500),
        relu3=nn.relu(),
        fc2=nn.linear(10),
        log_softmax=nn.log_softmax(-1),
    )


def write_toy_series(writer: SummaryWriter) -> None:
    """Two series of the handbook, as points of curves alone and in a group, and as histograms."""
    x, y = torch.tensor(100.0), torch.tensor(500.0)
    for step in range(TOY_STEPS):
        x, y = x * 1.2, y / 1.1
        writer.add_scalar("toy/x", x.item(), step)
        writer.add_scalar("toy/y", y.item(), step)
        writer.add_scalars("toy/group", {"x": x.item(), "y": y.item()}, step)
        writer.add_histogram("toy/both", torch.stack([x, y]), step)


def hidden(params: tree.Tree, images: Tensor) -> Tensor:
    """What the last hidden layer of the network makes of images: (n, 500)."""
    x = nn.max_pool2d(2)({}, nn.conv2d(10, 5)(params["conv1"], images).relu())
    x = nn.conv2d(20, 3)(params["conv2"], x).relu()
    return nn.linear(500)(params["fc1"], x.flatten(1)).relu()


def read_back(folder: Path) -> Lesson:
    """What the files that TensorBoard shows hold."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lesson = Lesson()
    events = EventAccumulator(str(folder), {"scalars": 0, "histograms": 0, "images": 0}).Reload()
    tags = events.Tags()
    for kind in ("scalars", "histograms", "images"):
        lesson.show(kind, f"{kind} in the file of events", " ".join(sorted(tags[kind])))
    for name, tutorial in (("x", "100 * 1.2**30"), ("y", "500 / 1.1**30")):
        points = events.Scalars(f"toy/{name}")
        lesson.show(f"toy_{name}", f"toy/{name} in step {points[-1].step}", points[-1].value, tutorial)
        grouped = EventAccumulator(str(folder / f"toy_group_{name}")).Reload().Scalars("toy/group")
        same = [point.value for point in grouped] == [point.value for point in points]
        lesson.show(f"group_{name}", f"toy/group has the same {len(grouped)} points", same, "True")
    points = {point.step: point.value for point in events.Scalars("training/loss")}
    for step in sorted(points.keys() & HANDBOOK.keys()):
        lesson.show(f"loss_{step}", f"loss of batch {step}", points[step], f"{HANDBOOK[step]} on MNIST")
    counts = [histogram.histogram_value.num for histogram in events.Histograms("weights/fc1.weight")]
    lesson.show("counted", "weights in the histograms of fc1", int(counts[-1]))
    picture = events.Images("digits")[-1]
    lesson.show("picture", "pixels of the sheet of digits", [picture.height, picture.width])
    lesson.show("graph", "nodes of the graph", len(events.Graph().node))
    (embedding,) = folder.rglob("tensors.tsv")
    rows = [line.split("\t") for line in embedding.read_text().splitlines()]
    lesson.show("embedding", "images by numbers in the embedding", [len(rows), len(rows[0])])
    return lesson


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[SummaryWriter]:
    """A writer of events, closed at the end."""
    from torch.utils.tensorboard import SummaryWriter  # imported here as it takes a second

    hook = threading.excepthook
    # Its thread's errors are raised again where the main one adds or waits.
    threading.excepthook = lambda args: None if isinstance(args.exc_value, OSError) else hook(args)
    try:
        writer = SummaryWriter(str(folder))
        try:
            yield writer
        finally:
            writer.close()
    finally:
        threading.excepthook = hook


@contextlib.contextmanager
def folder_of(report: train.Report) -> Iterator[Path]:
    """The folder for the events, one for a moment where the report has none."""
    if report.directory is not None:
        folder = files.refuse_symlink(report.directory / "tensorboard")
        for path in folder.rglob("*"):
            if path.is_symlink():
                raise train.CheckpointError(f"{path}: is a symbolic link; remove it, as TensorBoard would follow it")
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)

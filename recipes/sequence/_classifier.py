"""Shared by names and sentiment: training a classifier of sequences of unequal length, and saving its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funcdl import data, nn, optim, train
from funcdl.data import Sequences

from .. import companion, optimizer_choice, settings, training
from ..training import Task, Trained

Part = tuple[Sequences, Tensor]  # sequences and the number of the class of each

LR = 1e-3  # of Adam
WIDTHS = 4  # each is a graph of its own
EVALUATION_BATCH = 256
VOCABULARY = "vocabulary"


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """The settings of a classifier of sequences, trained by Adam."""

    batch_size: int = 64
    """Sequences per step."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.001, else the usual one of --optimizer."""


def fit(
    settings: Settings,
    report: train.Report,
    model: nn.Layer,
    known: Part,
    held_out: Part,
    vocabulary: dict[str, Any],
    epochs: int,
    **options: Any,
) -> Trained:
    """Trains by Adam on the cross entropy, in batches of similar length, and measures the data held out by epoch.

    Args:
        settings: of the recipe.
        report: gets what `training.fit` gives it, and the vocabulary.
        model: what to train.
        known: the data to train on.
        held_out: the data to measure.
        vocabulary: what the numbers in the data stand for.
        epochs: passes through the data.
        **options: others of the task.
    """
    lengths = known[0]["lengths"]
    widths = data.choose_bucket_widths(torch.cat([lengths, held_out[0]["lengths"]]), WIDTHS)
    report.log(f"{len(lengths)} sequences to train on, cut to {', '.join(map(str, widths))} steps: a graph for each")
    batch_size = settings.batch_size
    return companion.fit(
        settings,
        report,
        make_task(
            settings,
            model,
            epochs,
            collate=lambda batch: (data.trim_padding(batch[0], widths), batch[1]),
            order=partial(data.bucketed_epoch_indices, lengths=lengths, widths=widths, batch_size=batch_size),
            stack=partial(data.bucketed_stacked_batches, batch_size=EVALUATION_BATCH, widths=widths),
            **options,
        ),
        known,
        held_out,
        name=VOCABULARY,
        content=vocabulary,
    )


def make_task(settings: Settings, model: nn.Layer, epochs: int = 1, **options: Any) -> Task:
    """Returns the task of training a classifier; `epochs` and the options do not matter where it only predicts."""
    optimizer = optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), LR)
    return Task(model, optimizer, epochs, settings.batch_size, evaluation_batch=EVALUATION_BATCH, **options)


def predict(settings: Settings, folder: Path, model: nn.Layer, sequences: Sequences) -> Tensor:
    """Returns the probabilities (n, classes) of the classes by the model of a checkpoint.

    Raises:
        CheckpointError: there is none, or of another model.
    """
    task = make_task(settings, model)
    return training.predict(task, training.load(task, folder, sequences), sequences).softmax(1)

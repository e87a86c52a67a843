"""What names and sentiment share: training a classifier of sequences of unequal length, and keeping its vocabulary."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train
from funcdl.data import Sequences
from funcdl.train import CheckpointError, files

from .. import runtime, settings

Part = tuple[Sequences, Tensor]  # sequences and the number of the class of each

WIDTHS = 4  # each is a graph of its own
EVALUATION_BATCH = 256
VOCABULARY = "vocabulary.json"


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """The settings of a classifier of sequences, trained by Adam."""

    batch_size: int = 64
    """Sequences per step."""
    lr: float = 1e-3
    """Adam's rate."""


def fit(
    settings: Settings,
    report: train.Report,
    model: nn.Layer,
    known: Part,
    held_out: Part,
    prefix: str,
    epochs: int,
    best: bool,
    vocabulary: dict[str, Any],
) -> tuple[train.TrainState, bool]:
    """Trains by Adam on the cross entropy, in batches of similar length, and measures the data held out by epoch.

    Args:
        settings: of the recipe.
        report: gets the rows, with `loss`, `accuracy`, and `PREFIX_loss`, `PREFIX_accuracy` of the data held out, and
            the vocabulary.
        model: what to train.
        known: the data to train on.
        held_out: the data to measure.
        prefix: "test" or "val".
        epochs: passes through the data.
        best: whether to return the state of the epoch with the best accuracy on the data held out, not the last.
        vocabulary: what the numbers in the data stand for.

    Returns:
        The state, and whether it was computed by compiled steps.
    """
    sequences, targets = known
    device = targets.device
    steps = runtime.count_steps(settings.batch_size, epochs, len(targets))
    widths = data.choose_bucket_widths(torch.cat([sequences["lengths"], held_out[0]["lengths"]]), WIDTHS)
    report.log(f"{len(targets)} sequences to train on, cut to {', '.join(map(str, widths))} steps: a graph for each")
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    optimizer = optim.adam(lr=settings.lr)
    state_key, order_key = random.split(random.key(settings.seed, device=device)).unbind()
    state = train.make_state(model, optimizer, state_key, data.take(sequences, torch.tensor([0])))
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy})
    evaluate = train.make_evaluate(
        model, {f"{prefix}_loss": metrics.mean_loss(losses.cross_entropy), f"{prefix}_accuracy": metrics.accuracy}
    )
    if compiled:
        step = fd.jit(step, donate_argnums=0)  # evaluation would not repay graphs of its own
    batches = data.bucketed_stacked_batches(held_out, EVALUATION_BATCH, widths)
    text = json.dumps(vocabulary)
    if not settings.resume:
        report.text(VOCABULARY, text)
    state = train.fit(
        state,
        lambda state, batch: step(state, (data.trim_padding(batch[0], widths), batch[1])),
        known,
        key=order_key,
        epochs=epochs,
        batch_size=settings.batch_size,
        order=partial(
            data.bucketed_epoch_indices, lengths=sequences["lengths"], widths=widths, batch_size=settings.batch_size
        ),
        evaluate=lambda params, buffers: evaluate(params, buffers, batches),
        best=f"{prefix}_accuracy" if best else None,
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled, vocabulary=hashlib.sha256(text.encode()).hexdigest()),
    )
    if settings.resume:  # now that it is known to be the run's
        report.text(VOCABULARY, text)
    return state, compiled


def logits(model: nn.Layer, params: Any, sequences: Sequences) -> Tensor:
    """Applies a trained model to sequences, so many at a time as stay in the cache."""
    rows = torch.arange(len(sequences["lengths"])).split(EVALUATION_BATCH)
    return torch.cat([model(params, data.take(sequences, indices)) for indices in rows])


def read_vocabulary(run_dir: Path, description: Any = dict) -> dict[str, Any]:
    """Reads what `fit` kept in the folder of a run, which is as described (`funcdl.train.files.difference`).

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = run_dir / VOCABULARY
    again = "resume the run, which writes it again"
    try:
        text = files.read(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {again}") from None
    try:
        vocabulary = files.parse(text)
    except ValueError:
        raise CheckpointError(f"{path}: is not JSON; {again}") from None
    run = train.read_info(run_dir / "checkpoint").get("run")
    if not isinstance(run, dict) or run.get("vocabulary") != hashlib.sha256(text).hexdigest():
        raise CheckpointError(f"{path}: is damaged (its checksum does not match the checkpoint's); {again}")
    wrong = files.difference(vocabulary, description)
    if wrong:
        raise CheckpointError(f"{path}: is not this recipe's ({wrong}); {again}")
    return vocabulary


def load(settings: Settings, folder: Path, model: nn.Layer, example: Sequences) -> Any:
    """Returns the parameters of a run's checkpoint.

    Raises:
        CheckpointError: there is none, or of another model.
    """
    like = train.make_state(model, optim.adam(lr=settings.lr), random.key(settings.seed), example)
    return runtime.load(folder, like).params

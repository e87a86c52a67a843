"""A recurrent network learns one word by heart: hello in, ohlol out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl import losses, models, nn, optim, train, tree

from .. import pictures, runtime, settings, training
from ..settings import Outcome
from ..training import Task

Variant = Literal["rnn-cell", "rnn", "embedding", "lstm", "gru", "hihell"]
RATES = {"rnn": 0.05, "embedding": 0.05}  # the others 0.1
EPOCHS = {"rnn-cell": 15, "rnn": 15, "embedding": 15}  # the others 100


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Turn the letters of hello into those of ohlol: the smallest task for a recurrent network.

    The target is an arbitrary word (hihell to ihello is a shift by one letter, as a language model learns). In
    `rnn-cell`, `rnn` and `hihell` the hidden states themselves are the logits: a tanh keeps them between -1 and 1, so
    that the loss of four letters cannot fall below ln(1 + 3/e^2) = 0.3407, or summed over five letters, 1.70. With
    an embedding before and a linear layer after, it can. (A GRU is not an "RGU".)
    """

    model: Variant = "rnn-cell"
    """rnn-cell: one cell, called by a loop; rnn: the same as a layer; embedding: two layers of 8 between an embedding
    of 10 and a linear layer; lstm, gru: one of 4, likewise; hihell: an RNN of 5 from hihell to ihello."""
    epochs: int | None = None
    """Steps, each on the whole word; 15, for lstm, gru and hihell 100."""
    lr: float | None = None
    """Adam's rate; 0.1, for rnn and embedding 0.05."""


def make_model(variant: Variant) -> nn.Layer:
    """Letters (1, time) in, logits (1, time, letters) out, with the lecture's sizes."""
    if variant == "embedding":
        return models.letter_model("rnn", 4, 10, 8, num_layers=2)
    if variant in ("lstm", "gru"):
        return models.letter_model("lstm" if variant == "lstm" else "gru", 4, 4, 4)
    letters = 5 if variant == "hihell" else 4
    if variant == "rnn-cell":
        states = models.unrolled(nn.rnn_cell(letters))
    else:
        states = nn.serial(rnn=nn.rnn(letters, batch_first=True), outputs=lambda results: results[0])
    return nn.serial(one_hot=lambda word: F.one_hot(word, letters).float(), states=states)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, and says after each step what the network makes of the word."""
    device = runtime.choose_device(settings.device)
    word, target = ("hihell", "ihello") if settings.model == "hihell" else ("hello", "ohlol")
    letters = "hielo" if settings.model == "hihell" else "ehlo"
    inputs, targets = (
        torch.tensor([[letters.index(letter) for letter in text]], device=device) for text in (word, target)
    )
    model = make_model(settings.model)
    reduction: Literal["sum", "mean"] = "sum" if settings.model == "rnn-cell" else "mean"  # as in the lecture

    def decode(params: tree.Tree) -> Tensor:
        return model(params, inputs).argmax(-1)

    def evaluate(params: tree.Tree, buffers: tree.Tree, batches: tree.Tree) -> dict[str, Tensor]:
        decoded = decode(params)
        report.log(f"{word} -> {spell(decoded, letters)}")
        return {"accuracy": (decoded == targets).float().mean()}

    task = Task(
        model,
        optim.adam(lr=settings.lr or RATES.get(settings.model, 0.1)),
        settings.epochs or EPOCHS.get(settings.model, 100),
        batch_size=1,
        loss=lambda logits, word: losses.cross_entropy(logits[0], word[0], reduction=reduction),
        metrics={},
        evaluate=evaluate,
    )
    trained = training.fit(settings, report, task, (inputs, targets))
    history: dict[str, list[float]] = {settings.model: [row["loss"] for row in report.rows]}
    report.picture("loss", pictures.loss_curves(history, f"{word} to {target}"))
    solved = [int(row["epoch"]) for row in report.rows if row["accuracy"] == 1]
    measured = {name: trained.row[name] for name in ("loss", "accuracy")}
    prediction = spell(decode(trained.state.params), letters)
    found = {"prediction": prediction, "target": target, "first_right_epoch": solved[0] if solved else None}
    return trained.outcome(measured | found)


def spell(numbers: Tensor, letters: str) -> str:
    """The letters of a word's numbers (1, time)."""
    return "".join(letters[number] for number in numbers[0].tolist())

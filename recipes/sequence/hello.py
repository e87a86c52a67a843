"""Recurrent networks learn one word by heart: hello in, ohlol out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from funcdl import losses, metrics, models, optim, train, tree

from .. import optimizer_choice, settings, training
from ..lesson import Lesson
from ..settings import Outcome, at_least
from ..training import Task
from ._letters import BOUNDED, EPOCHS, RATES, Variant, make_model, picture, spell


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Turn the letters of hello into those of ohlol: the smallest task for a recurrent network.

    The target is an arbitrary word (hihell to ihello is a shift by one letter, as a language model learns). In
    `rnn-cell`, `rnn` and `hihell` the hidden states themselves are the logits: a tanh keeps them between -1 and 1, so
    that the loss of four letters cannot fall below ln(1 + 3/e^2) = 0.3407, or summed over five letters, 1.70. With
    an embedding before and a linear layer after, it can. (A GRU is not an "RGU".)

    In the lecture's 15 epochs about seven in ten networks get there, and which ones is chance, as it depends on their
    random start: 20 of them are trained side by side, each as it would be alone.
    """

    model: Variant = "rnn-cell"
    """rnn-cell: one cell, called by a loop; rnn: the same as a layer; embedding: two layers of 8 between an embedding
    of 10 and a linear layer; lstm, gru: one of 4, likewise; hihell: an RNN of 5 from hihell to ihello."""
    epochs: int | None = None
    """Steps, each on the whole word; 15, for lstm, gru and hihell 100."""
    lr: float | None = None
    """Learning rate; by default Adam's 0.1, for rnn and embedding 0.05, else the usual one of --optimizer."""
    seeds: int = 20
    """How many networks, each with a random start of its own, to train at once."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        at_least(1, seeds=self.seeds)


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains all networks at once, and says after each step what they make of the word."""
    seeds, summed = settings.seeds, settings.model == "rnn-cell"  # as in the lecture
    word, target, letters = ("hello", "ohlol", "ehlo") if settings.model != "hihell" else ("hihell", "ihello", "hielo")
    inputs, targets = (torch.tensor([[[letters.index(letter) for letter in text]] * seeds]) for text in (word, target))
    model = models.ensemble(make_model(settings.model), seeds)  # of data (1, networks, time)

    def loss_of_each(logits: Tensor, words: Tensor) -> Tensor:
        each = losses.cross_entropy(logits.flatten(0, 2), words.flatten(), reduction="none").view_as(words)
        return each.sum(-1) if summed else each.mean(-1)

    def evaluate(params: tree.Tree, buffers: tree.Tree, batches: tree.Tree) -> dict[str, Tensor]:
        spelled = spell(model(params, batches), letters)
        common = [f"{one} by {count}" for one, count in Counter(spelled).most_common(3)]
        report.log(f"{word} -> {', '.join(common)} of {seeds} networks")
        return {"solved": torch.tensor(spelled.count(target))}

    optimizer = optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), RATES.get(settings.model, 0.1))
    task = Task(
        model,
        optimizer_choice.for_members(optimizer, seeds),
        settings.epochs or EPOCHS.get(settings.model, 100),
        batch_size=1,
        loss=lambda logits, words: loss_of_each(logits, words).mean(),
        metrics={
            "lowest_loss": metrics.sample_mean(lambda logits, words: loss_of_each(logits, words).amin(-1)),
            "highest_loss": metrics.sample_mean(lambda logits, words: loss_of_each(logits, words).amax(-1)),
        },
        stack=lambda held_out: held_out[0],
        evaluate=evaluate,
        info={"seeds": seeds},
    )
    trained = training.fit(settings, report, task, (inputs, targets), (inputs, targets))
    report.picture("loss", picture(report.rows, f"{seeds} networks learn to turn {word} into {target}"))

    logits = trained.predict(trained.data[0])
    loss, spelled = loss_of_each(logits, trained.data[1])[0], spell(logits, letters)
    lesson = Lesson()
    lesson.show("seeds", "networks, each trained from a random start of its own", seeds)
    lesson.show("solved", f"of these networks, those that spell {target} after the last epoch", spelled.count(target))
    lesson.show("target", f"what {word} is to become", target)
    lesson.show("prediction", f"what the network with the lowest loss makes of {word}", spelled[int(loss.argmin())])
    lesson.show("words", f"what each network makes of {word}", spelled)
    half = next((int(row["epoch"]) for row in report.rows if row["solved"] >= seeds / 2), "none yet")
    lesson.show("half_solved", f"first epoch after which half of the networks spell {target}", half)
    over = "summed over the letters" if summed else "mean over the letters"
    lesson.show("loss", f"loss after the last step ({over}), mean over the networks", loss.mean())
    lesson.show("extremes", "lowest and highest loss of a network", [loss.min().item(), loss.max().item()])
    if settings.model in BOUNDED:
        floor = (len(word) if summed else 1) * math.log(1 + (len(letters) - 1) * math.exp(-2))
        published = {"rnn-cell": "1.70", "rnn": "0.3407"}.get(settings.model, "")
        lesson.show("floor", "least loss possible with outputs between -1 and 1", floor, published)
    lesson.remark("The networks differ only in their random start: it is chance which of them fail.")
    return trained.outcome(lesson.metrics, lesson)

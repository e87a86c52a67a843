"""The training driver, on a task of a moment."""

import torch

from funcdl import nn, optim, random, train
from recipes import training
from recipes.lesson import Lesson
from recipes.settings import BatchSettings


class Listening(train.Report):
    """A report that keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.said = []

    def log(self, text):
        self.said.append(text)


def fitted(report=None, settings=None, **options):
    x = random.normal(random.key(0), (20, 3))
    y = (x[:, 0] > 0).long()
    task = training.Task(nn.linear(2), optim.sgd(lr=0.5), epochs=3, batch_size=5, **options)
    settings = settings or BatchSettings(device="cpu", compile="off")
    return training.fit(settings, report or train.Report(), task, (x, y), (x[:8], y[:8]))


def test_what_was_measured_is_said_in_words_before_the_lesson_of_the_recipe():
    lesson = Lesson()
    lesson.show("majority", "share of the larger class", 0.55)
    trained = fitted()
    outcome = trained.outcome(trained.measurements | lesson.metrics, lesson)
    assert [line.expression for line in outcome.lesson.lines] == [
        "mean loss over the training samples, during epoch 3",
        "share of the training samples predicted right, during epoch 3",
        "mean loss over the test samples, after epoch 3",
        "share of the test samples predicted right, after epoch 3",
        "share of the larger class",
    ]
    assert outcome.lesson.metrics == outcome.metrics
    assert list(outcome.metrics) == ["loss", "accuracy", "test_loss", "test_accuracy", "majority"]


def test_the_best_epoch_is_said_and_what_the_recipe_says_itself_is_said_once():
    trained = fitted(prefix="val", best="val_loss")
    lesson = Lesson()
    lesson.show("val_accuracy", "hits", trained.measurements["val_accuracy"])
    outcome = trained.outcome(trained.measurements, lesson)
    epoch = f"epoch {trained.row['epoch']}, the one with the best val_loss"
    assert [line.expression for line in outcome.lesson.lines] == [
        f"mean loss over the training samples, during {epoch}",
        f"share of the training samples predicted right, during {epoch}",
        f"mean loss over the validation samples, after {epoch}",
        "hits",
    ]


def test_log_every_says_the_loss_of_its_batch_and_nothing_else_changes():
    seen, report = [], Listening()
    quiet = fitted()
    x = random.normal(random.key(0), (20, 3))
    y = (x[:, 0] > 0).long()
    settings = BatchSettings(device="cpu", compile="off", log_every=3)
    trained = training.fit(
        settings, report, quiet.task, (x, y), on_step=lambda state, measured: seen.append(measured["loss"].item())
    )
    assert torch.equal(trained.state.params["weight"], quiet.state.params["weight"])
    said = [text for text in report.said if ", batch " in text]
    assert said == [
        f"epoch {epoch}, batch 3 of 4 (15 of 20 samples, 75%): training loss {seen[4 * epoch - 2]:.4f}"
        for epoch in (1, 2, 3)
    ]

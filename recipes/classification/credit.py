"""Good and bad debtors: logistic regression with two outputs, and a sigmoid where none belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

import funcdl as fd
from funcdl import data, losses, metrics, nn, optim, random, train, tree

from .. import pictures, runtime, scores, settings
from ..lesson import Lesson
from ..settings import Outcome

ROWS = 10


@dataclass(frozen=True, kw_only=True)
class Settings(settings.BatchSettings):
    """Tell good from bad debtors of a German bank by a linear layer of two outputs, all 900 rows in every step.

    The handbook puts a sigmoid before the cross entropy, which takes raw outputs: two numbers between 0 and 1 cannot
    bring it below ln(1 + 1/e) = 0.3133, and the gradient is a quarter or less of what it should be. That is the default
    here; `--outputs raw` is right and learns faster.

    A tenth of the rows is held out, and the columns are brought to mean 0 and deviation 1 by the statistics of the
    others; the handbook takes those of all rows.
    """

    dataset: Literal["sample", "credit"] = "sample"
    """sample: 569 breast tumours of scikit-learn, 30 measurements; credit: the 1,000 debtors, 24 numbers."""
    epochs: int = 1000
    """Steps, each on all rows."""
    batch_size: int = 900
    """Rows per step; by default, and whenever it is more than there are, all of them."""
    lr: float = 1e-3
    """Adam's rate."""
    outputs: Literal["sigmoid", "raw"] = "sigmoid"
    """What goes into the cross entropy: the handbook's sigmoid of the outputs, or the outputs."""


def run(settings: Settings, report: train.Report) -> Outcome:
    """Trains, and tests on the tenth held out."""
    device = runtime.choose_device(settings.device)
    rows, classes = data.credit(settings.data_dir) if settings.dataset == "credit" else data.malignant_tumors()
    names = ["good", "bad"] if settings.dataset == "credit" else ["benign", "malignant"]
    split_key, state_key, order_key = random.split(random.key(settings.seed), 3).unbind()
    known, unknown = data.hold_out(split_key, (rows, classes), share=0.1)
    (inputs, targets), test = tree.map(
        lambda leaf: leaf.to(device), [(data.standardize(x, by=known[0]), y) for x, y in (known, unknown)]
    )
    batch_size = min(settings.batch_size, len(inputs))
    steps = settings.epochs * data.steps_per_epoch(len(inputs), batch_size)
    compiled = runtime.choose_compile(settings.compile, device, steps, report)

    model = nn.serial(nn.linear(2), nn.sigmoid()) if settings.outputs == "sigmoid" else nn.serial(nn.linear(2))
    optimizer = optim.adam(lr=settings.lr)
    state = train.make_state(model, optimizer, state_key.to(device), inputs[:1])
    step = train.make_step(model, losses.cross_entropy, optimizer, metrics={"accuracy": metrics.accuracy})
    if compiled:
        step = fd.jit(step, donate_argnums=0)
    measured = {"test_loss": metrics.mean_loss(losses.cross_entropy), "test_accuracy": metrics.accuracy}
    evaluate = train.make_evaluate(model, measured)
    batches = data.stacked_batches(test, len(test[0]))
    state = train.fit(
        state,
        step,
        (inputs, targets),
        key=order_key,
        epochs=settings.epochs,
        batch_size=batch_size,
        every=max(1, settings.epochs // ROWS),
        evaluate=lambda params, buffers: evaluate(params, buffers, batches),
        report=report,
        resume=settings.resume,
        info=runtime.environment(device, compiled),
    )

    lesson = Lesson()
    handbook = settings.dataset == "credit" and settings.outputs == "sigmoid"
    published = {"loss": "0.6313 to 0.5496", "test_accuracy": "0.76 to 0.80"} if handbook else {}
    lesson.show("parameters", "tree.size(params)", tree.size(state.params))
    for name in ("loss", "accuracy", "test_loss", "test_accuracy"):
        lesson.show(name, name, report.rows[-1][name], published.get(name, ""))
    floor = losses.cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    lesson.show("floor", "cross_entropy([[1., 0.]], [0]), the least loss after a sigmoid", floor, "0.3133")
    predicted = model(state.params, test[0]).argmax(1)
    title = f"credit on {settings.dataset}: {len(predicted)} held out"
    scores.show_classes(lesson, report, predicted, test[1], names, title)
    lesson.remark("The cross entropy takes raw outputs (--outputs raw); of a sigmoid's it cannot come below the floor.")
    report.picture("curves", pictures.curves(report.rows, f"credit on {settings.dataset}, {settings.outputs} outputs"))
    return Outcome(lesson.metrics, settings.epochs, device.type, compiled, lesson)

"""Fine-tuning: six rules for a network that was trained on other data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from funcdl import data, nn, random, train, tree
from funcdl.data import Split

from .. import pictures, runtime, settings
from ..axes import heading, legend_below, whole_numbers
from ..lesson import Lesson, Line, raised
from ..settings import Outcome, at_least, chosen, meant_for
from ..terminal import escaped
from . import _pretrained
from ._pretrained import Pretrained, from_backbone, from_digits, network, read_backbone
from ._tuning import Strategy, is_frozen, tune


@dataclass(frozen=True, kw_only=True)
class Settings(settings.DataSettings, settings.TrainingSettings):
    """Tune a network that was trained on other data, by each of the handbook's six rules, and compare.

    On digits: a small network learns 0 to 4 from all of their images, and is then to tell 5 to 9 apart from five images
    of each. On photographs: a residual network of torchvision, trained on ImageNet, is to tell ants from bees.

    What is frozen has no gradient and `optim.freeze` for an optimizer; rates by layer are an `optim.partition`. While
    it is tuned, a network is applied as in use (`train=False`), so that its batch norms keep the statistics they have.
    """

    dataset: Literal["sample", "mnist", "hymenoptera"] = "sample"
    """sample: scikit-learn's digits; mnist: 60,000 and 10,000; hymenoptera: 397 photographs of ants and bees."""
    epochs: int | None = None
    """Passes through the data to tune on; 10 for digits, 9 for photographs."""
    batch_size: int | None = None
    """Samples per step; 5 digits or 32 photographs."""
    lr: float | None = None
    """Adam's rate, for what is new, or for all; 0.003 for digits, 0.001 for photographs."""
    only: str = ""
    """Strategies to compare, separated by commas; by default all."""
    images: int = 5
    """How many images there are of each digit to tune on."""
    other_size: int | None = None
    """Pixels of the images of rule 5; 40 for digits, 160 for photographs."""
    backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    """The network for photographs."""
    weights: str = ""
    """The file with its weights: a state_dict by torch.save, or in the form of safetensors."""
    size: int = 224
    """Pixels of the photographs."""
    views: int = 2
    """How many views there are of each photograph to tune on: itself, and random parts of it."""
    workers: int = 2
    """Processes that read photographs."""
    skip_unreadable: bool = False
    """Leave out photographs that cannot be read."""

    def check(self) -> None:
        """Also refuses numbers out of range and unknown strategies."""
        super().check()
        chosen("--only", self.only, STRATEGIES)
        at_least(0, workers=self.workers)
        at_least(1, batch_size=self.batch_size, images=self.images, views=self.views)
        at_least(32, other_size=self.other_size, size=self.size)
        if self.dataset == "hymenoptera":
            meant_for(self, "digits", "images")
        else:
            photographs = ("backbone", "weights", "size", "views", "workers", "skip_unreadable")
            meant_for(self, "--dataset hymenoptera", *photographs)


class Defaults(NamedTuple):
    """The numbers that depend on the data set, where the settings have None."""

    epochs: int
    batch_size: int
    lr: float
    other_size: int


DEFAULTS = dict.fromkeys(("sample", "mnist"), Defaults(10, 5, 0.003, 40)) | {"hymenoptera": Defaults(9, 32, 0.001, 160)}
STRATEGIES = {
    "scratch": Strategy("no pre-training", "all", from_random=True),
    "head": Strategy("rule 1: freeze all but a new head", "head", handbook="if the new data is similar"),
    "middle": Strategy("rule 2: train from the middle on", "middle", handbook="if it is small and different"),
    "full": Strategy("rule 3: train all, from what was learned", "all", handbook="if rule 2 does not do"),
    "other-size": Strategy("rules 4 and 5: rule 3 on images of another size", "all", handbook="accuracy drops much"),
    "tenth": Strategy("rule 6: train all, the old layers at a tenth of the rate", "head", 0.1, "old layers below 1/10"),
    "exported": Strategy("rule 1 on features exported once", "all", handbook="by a hook, to features.npy"),
}


def run(settings: Settings, report: train.Report) -> Outcome:
    """Gets a pretrained network and tunes it by all strategies, each in a part of the run."""
    device = runtime.choose_device(settings.device)
    key, old_key, new_key = random.split(random.key(settings.seed, device=device), 3).unbind()
    epochs, batch_size, lr = hyperparameters(settings)
    pretrained, lesson = begin(settings, report, old_key, new_key)
    rows, size = len(pretrained.split.train[0]), settings.other_size or DEFAULTS[settings.dataset].other_size
    steps = runtime.count_steps(batch_size, epochs, rows)
    compiled = runtime.choose_compile(settings.compile, device, steps, report)
    if not settings.resume:
        environment = runtime.environment(device, compiled)
        report.save(pretrained.params, {"run": environment})  # from here on it can be resumed

    lesson.show("refused", f"rule 4: flattened 28 x 28, then {size} x {size}", refusal(size), "an error")
    heads: dict[str, Tensor] = {}
    history: dict[str, Sequence[train.report.Row]] = {}
    for name in chosen("--only", settings.only, STRATEGIES):
        report.log(f"strategy: {name}")
        strategy, this, part, started = STRATEGIES[name], pretrained, report.part(name), time.perf_counter()
        if strategy.from_random:
            params, buffers = pretrained.model.init(new_key, pretrained.prepare(pretrained.split.train[0][:1]))
            this = replace(pretrained, params=params, buffers=buffers)
        elif name == "other-size":
            this = _pretrained.resized(pretrained, size)
        elif name == "exported":
            this = _pretrained.exported(pretrained)
            part.save({"train": this.split.train, "test": this.split.test}, {}, "features")
            seconds = time.perf_counter() - started
            lesson.show("export_seconds", "seconds to export the features of all images, once", seconds, digits=2)
        state = tune(settings, this, strategy, (epochs, batch_size, lr), part, key, compiled)
        part.close()
        history[name], heads[name] = part.rows, tree.ravel(state.params["fc"])[0]
        lesson.metrics[name] = measured = results(this, strategy, part.rows)
        words = f"{measured['test_accuracy']:.2%} of the test data, {measured['parameters']:,} parameters trained"
        line = Line(f"{name}: {strategy.what}", f"{words}, {measured['seconds']:.1f} s", strategy.handbook)
        lesson.lines.append(line)
    if {"head", "exported"} <= heads.keys():
        difference = (heads["head"] - heads["exported"]).abs().max()
        lesson.show("exported_apart", "largest difference of the heads of 'head' and 'exported'", difference, digits=2)
    remark(lesson)
    report.picture("ways", by_epoch(history, f"finetune on {settings.dataset}, {rows} images to tune on"))
    return Outcome(lesson.metrics, epochs, device.type, compiled, lesson)


def hyperparameters(settings: Settings) -> tuple[int, int, float]:
    """The epochs, the batch size and the rate: those of the settings, or the defaults of the data."""
    default = DEFAULTS[settings.dataset]
    return settings.epochs or default.epochs, settings.batch_size or default.batch_size, settings.lr or default.lr


def begin(settings: Settings, report: train.Report, old_key: Tensor, new_key: Tensor) -> tuple[Pretrained, Lesson]:
    """The pretrained network and the new data, on the device, and a lesson that describes them."""
    lesson = Lesson()
    if settings.dataset == "hymenoptera":
        read_backbone(settings.backbone, settings.weights, new_key.device)  # before all photographs are read
        read = data.photographs(
            settings.data_dir,
            size=settings.size,
            views=settings.views,
            seed=settings.seed,
            workers=settings.workers,
            skip_unreadable=settings.skip_unreadable,
        )
        for reason in read.skipped:
            report.log(f"warning: skipped: {escaped(reason)}")
        lesson.show("classes", f"classes of {len(read.split.test[1])} test photographs", " ".join(read.classes))
        lesson.show("skipped", "photographs that cannot be read", len(read.skipped))
        split = Split(*tree.map(lambda leaf: leaf.to(new_key.device), read.split))
        pretrained = from_backbone(settings.backbone, settings.weights, split, len(read.classes), new_key)
    else:
        part = report.part("pretrained")
        split = data.digits() if settings.dataset == "sample" else data.mnist(settings.data_dir)
        split = Split(*tree.map(lambda leaf: leaf.to(new_key.device), split))
        pretrained = from_digits(settings, split, settings.images, old_key, part)
        lesson.show("pretrained", "test accuracy on 0 to 4, before", part.rows[-1]["test_accuracy"], digits=4)
        part.close()
    return pretrained, lesson


def refusal(size: int) -> str:
    """What a network says that was made for 28 x 28 pixels and flattens what is left of them."""
    flat = network(5, pool=nn.identity())
    params, buffers = flat.init(random.key(0), torch.empty(1, 1, 28, 28))
    return raised(flat.apply, params, buffers, torch.empty(1, 1, size, size))


def results(pretrained: Pretrained, strategy: Strategy, rows: Sequence[train.report.Row]) -> dict[str, float]:
    """The last measurements, and the parameters and seconds that the training took."""
    last = {name: value for name, value in rows[-1].items() if name not in ("epoch", "seconds")}
    trained = [tree.size(part) for name, part in pretrained.params.items() if not is_frozen(pretrained, strategy, name)]
    return last | {"parameters": sum(trained), "seconds": sum(row["seconds"] for row in rows)}


def remark(lesson: Lesson) -> None:
    """Where the handbook's rules are to be corrected."""
    lesson.remark("Rule 3 repeats rule 2's condition; cs231n has four cases: little or much data, similar or not.")
    lesson.remark("With much data that is similar all is fine-tuned; with much that differs, too, or trained anew.")
    lesson.remark("Rule 4 holds for networks that flatten; behind adaptive pooling the size of an image is free.")
    lesson.remark("Rule 6 means about a tenth of the new layers' rate.")


def by_epoch(history: Mapping[str, Sequence[train.report.Row]], title: str) -> Figure:
    """The accuracy on the test data by epoch, a line for each strategy."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    heading(figure, f"{title}: what each strategy reads right after each epoch")
    axes = figure.subplots()
    for index, (name, rows) in enumerate(history.items()):
        color, style = pictures.COLORS[index], f"{'osD^v<>'[index]}{pictures.STYLES[index % 4]}"
        epochs, accuracies = [row["epoch"] for row in rows], [row["test_accuracy"] for row in rows]
        axes.plot(epochs, accuracies, style, color=color, label=f"{name} ({accuracies[-1]:.1%})", markersize=4)
    axes.set_ylabel("test accuracy")
    axes.grid(alpha=0.3)
    whole_numbers(axes, "epoch", max(map(len, history.values())))
    legend_below(figure)
    return figure

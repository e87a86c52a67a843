"""Dimension reduction: a learned linear map of digits to three numbers, beside principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree

from .. import pictures, runtime, settings
from ..lesson import Lesson
from ..settings import Outcome


@dataclass(frozen=True, kw_only=True)
class Settings(settings.TrainingSettings):
    """Reduce digits of 64 pixels to 3 numbers by one linear layer, learned with a second one that maps them back.

    A matrix (rows x n) times a matrix (n x 3) is (rows x 3): a linear layer without bias reduces the dimension from n
    to 3. Which n x 3 matrix is best? The one from whose 3 numbers a second layer restores the pixels with the least
    squared error. Principal components give the least there is; a descent finds the same space, if not the same axes.
    The digits are scikit-learn's 1,797, of 8 x 8 pixels.
    """

    epochs: int | None = None
    """Updates, each on all digits; 600."""
    lr: float = 0.02
    """Adam's rate."""
    size: int = 3
    """To how many numbers; pictures show three."""

    def check(self) -> None:
        """Raises SettingsError for a value that no run could use."""
        super().check()
        if not 3 <= self.size <= 64:
            raise settings.SettingsError(f"--size {self.size}: must be from 3 to 64, the pixels of a digit")


def run(settings: Settings, report: train.Report) -> Outcome:
    """Learns the map, computes the principal components, and compares what they restore."""
    epochs, lesson = settings.epochs or 600, Lesson()
    device = runtime.choose_device(settings.device)
    bunch = load_digits()
    digits = torch.from_numpy(bunch.data).float().to(device) / 16
    pixels = digits - digits.mean(0)

    model = nn.serial(encode=nn.linear(settings.size, bias=False), decode=nn.linear(64, bias=False))
    params, _ = model.init(random.key(settings.seed, device=device), pixels)
    start = losses.mse(model(params, pixels), pixels)
    slope = fd.value_and_grad(lambda params: losses.mse(model(params, pixels), pixels))
    compiled = runtime.choose_compile(settings.compile, device, epochs, report)
    params, _ = train.minimize(
        lambda params, _: slope(params),
        params,
        optim.adam(lr=settings.lr),
        steps=epochs,
        compile=compiled,
        report=report,
        info=runtime.environment(device, compiled),
    )
    encode = params["encode"]["weight"].T
    reduced = pixels @ encode
    lesson.show_code("pixels", pixels.shape, "10 x n")
    lesson.show_code("map", encode.shape, "n x 3")
    lesson.show_code("reduced", (pixels @ encode).shape, "10 x 3")
    lesson.show("start_loss", "error of the restored pixels at the start", start)
    lesson.show("loss", "error of the restored pixels, learned map", losses.mse(model(params, pixels), pixels))

    components = torch.linalg.svd(pixels, full_matrices=False).Vh[: settings.size].T
    projected = pixels @ components
    lesson.show("pca_loss", "the same, principal components: the least", losses.mse(projected @ components.T, pixels))
    cosines = torch.linalg.svdvals(torch.linalg.qr(params["decode"]["weight"]).Q.T @ components)
    lesson.show(
        "angles", "angles between the spaces that they restore, degrees", cosines.clamp(max=1).acos().rad2deg(), "", 2
    )
    kept = 1 - losses.mse(projected @ components.T, pixels) / pixels.square().mean()
    lesson.show("kept", f"share of the variance that {settings.size} numbers keep", kept, "", 3)
    lesson.remark("The learned axes are neither orthogonal nor sorted: any mix of them restores as well.")
    labels = torch.from_numpy(bunch.target)
    report.picture("maps", _maps({"learned map": reduced, "principal components": projected}, labels))
    shown = {"digits": pixels, "restored, learned": model(params, pixels), "restored, PCA": projected @ components.T}
    report.picture("restored", _restored(tree.map(lambda leaf: (leaf[:10] + digits.mean(0)).cpu(), shown)))
    return Outcome(lesson.metrics, epochs, device.type, compiled, lesson)


def _maps(maps: dict[str, Float[Tensor, "n size"]], labels: Int[Tensor, " n"], count: int = 400) -> Figure:
    """The first digits at their three numbers, each written as the digit that it is."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for index, (name, values) in enumerate(maps.items()):
        axes = figure.add_subplot(1, 2, index + 1, projection="3d")
        x, y, z = values[:count, :3].T.numpy(force=True)
        for digit in range(10):
            mine = (labels[:count] == digit).numpy()
            colour = pictures.COLOURS[digit % len(pictures.COLOURS)]
            axes.scatter(x[mine], y[mine], z[mine], marker=f"${digit}$", color=colour, s=30, label=str(digit))
        axes.set(title=name, xlabel="first", ylabel="second", zlabel="third")
    figure.suptitle(f"{count} digits of 64 pixels, each as three numbers")
    return figure


def _restored(rows: dict[str, Float[Tensor, "10 64"]]) -> Figure:
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    grid = figure.subplots(len(rows), 10)
    for (name, images), axes in zip(rows.items(), grid, strict=True):
        for image, one in zip(images, axes, strict=True):
            one.imshow(
                rearrange(image, "(height width) -> height width", height=8).numpy(), cmap="gray", vmin=0, vmax=1
            )
            one.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name.replace(", ", ",\n"), fontsize=8, rotation=0, ha="right", va="center")
    figure.suptitle("64 pixels, and what is restored of them")
    return figure

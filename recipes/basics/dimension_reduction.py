"""Dimension reduction: a learned linear map of digits to three numbers, beside principal components."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits

import funcdl as fd
from funcdl import losses, nn, optim, random, train, tree

from .. import optimizer_choice, runtime, settings
from ..lesson import Lesson
from ..minimization import minimizer
from ..settings import Outcome
from . import _pictures


@dataclass(frozen=True, kw_only=True)
class Settings(settings.OptimizerSettings):
    """Reduce digits of 64 pixels to 3 numbers by one linear layer, learned with a second one that maps them back.

    A matrix (rows x n) times a matrix (n x 3) is (rows x 3): a linear layer without bias reduces the dimension from n
    to 3. Which n x 3 matrix is best? The one from whose 3 numbers a second layer restores the pixels with the least
    squared error. Principal components give the least there is; a descent finds the same space, if not the same axes.
    The digits are scikit-learn's 1,797, of 8 x 8 pixels.
    """

    epochs: int | None = None
    """Updates, each on all digits; 600."""
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
    minimize = minimizer(settings, report, epochs, runtime.REPAY_STEPS)
    bunch = load_digits()
    digits = torch.from_numpy(bunch.data).float().to(minimize.device) / 16
    pixels = digits - digits.mean(0)

    model = nn.serial(encode=nn.linear(settings.size, bias=False), decode=nn.linear(64, bias=False))
    params, _ = model.init(random.key(settings.seed, device=minimize.device), pixels)
    start = losses.mse(model(params, pixels), pixels)
    error = fd.value_and_grad(lambda params, _: losses.mse(model(params, pixels), pixels))
    optimizer = optimizer_choice.choose(settings, lambda lr: optim.adam(lr=lr), 0.02)
    params, _ = minimize(error, params, optimizer, steps=epochs)
    encode = params["encode"]["weight"].T
    reduced = pixels @ encode
    lesson.show_code("pixels", pixels.shape, "10 x n")
    lesson.show_code("map", encode.shape, "n x 3")
    lesson.show_code("reduced", (pixels @ encode).shape, "10 x 3")
    lesson.show("start_loss", "mean squared error of the restored pixels before training", start)
    lesson.show(
        "loss",
        "mean squared error of the restored pixels, by the learned map",
        losses.mse(model(params, pixels), pixels),
    )

    components = torch.linalg.svd(pixels, full_matrices=False).Vh[: settings.size].T
    projected = pixels @ components
    lesson.show(
        "pca_loss",
        "the same by the principal components: the least possible",
        losses.mse(projected @ components.T, pixels),
    )
    cosines = torch.linalg.svdvals(torch.linalg.qr(params["decode"]["weight"]).Q.T @ components)
    lesson.show(
        "angles",
        "angles between the spaces that both restore, in degrees: 0 is the same space",
        cosines.clamp(max=1).acos().rad2deg(),
        "",
        2,
    )
    share = 1 - losses.mse(projected @ components.T, pixels) / pixels.square().mean()
    lesson.show("kept", f"share of the variance that {settings.size} numbers explain", share, "", 3)
    lesson.remark("The learned axes are neither orthogonal nor sorted: any mix of them restores as well.")
    labels = torch.from_numpy(bunch.target)
    report.picture("maps", _pictures.maps({"learned map": reduced, "principal components": projected}, labels))
    shown = {"digits": pixels, "restored, learned": model(params, pixels), "restored, PCA": projected @ components.T}
    report.picture("restored", _pictures.restored(tree.map(lambda leaf: (leaf[:10] + digits.mean(0)).cpu(), shown)))
    return minimize.outcome(lesson, epochs)

"""Which recipes there are, and where: read without importing any of them."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any

from .settings import SettingsError

LONGEST = 60  # characters of a name that are looked at


@dataclass(frozen=True)
class Recipe:
    """One entry of the list.

    Its module has `Settings`, a dataclass whose docstring is the lesson, and `run(settings, report) -> Outcome`; it may
    have `predict(settings, run_dir, inputs) -> list of predictions`.
    """

    id: str
    folder: str
    summary: str

    def load(self) -> Any:
        """Imports the recipe's module."""
        return importlib.import_module(f".{self.folder}.{self.id.replace('-', '_')}", __package__)


FOLDERS = {
    "basics": "what tensors, gradients and layers are",
    "regression": "fitting lines and curves by gradient descent",
    "classification": "telling classes apart in tables of numbers",
    "vision": "reading images",
    "sequence": "text, signals, and rows of pixels, step by step",
}

RECIPES = {
    recipe.id: recipe
    for recipe in (
        Recipe("tensors", "basics", "Make, add, view, index, convert, move, broadcast and save tensors"),
        Recipe("storage", "basics", "What lies under a tensor: storage, offset, size, stride, and views that share it"),
        Recipe("numpy-bridge", "basics", "Arrays and tensors that share memory, and the mathematics of both"),
        Recipe("autograd", "basics", "Gradients by hand, by backward() and by funcdl.grad, side by side"),
        Recipe("activations", "basics", "Activations and their derivatives, drawn, and what they compose to"),
        Recipe(
            "layers", "basics", "What linear, convolution, pooling, dropout, recurrent and embedding layers compute"
        ),
        Recipe("loss-functions", "basics", "Cross-entropy from softmax to logits, binary cross-entropy, squared error"),
        Recipe("real-data", "basics", "Images, a table, hours of bicycle rental, a text and names, as tensors"),
        Recipe("dimension-reduction", "basics", "Digits as three numbers, by a learned linear map and by PCA"),
        Recipe("linear-grid", "regression", "The cost of a line as a curve and a surface, and a descent on it"),
        Recipe("gradient-descent", "regression", "One parameter downhill: rates that arrive, and one that diverges"),
        Recipe("stochastic-gradient-descent", "regression", "An update after every sample, and mini-batches"),
        Recipe("quadratic", "regression", "A parabola by back-propagation, sample by sample"),
        Recipe("linear-regression", "regression", "A linear layer by SGD, and by seven other optimizers"),
        Recipe("thermometer", "regression", "A thermometer without a scale: five ways to descend to its line"),
        Recipe("thermometer-network", "regression", "The thermometer by layers: linear, and with a hidden tanh"),
        Recipe("curve-fit", "regression", "A parabola through noise by a small network, saved and restored"),
        Recipe("optimizers", "regression", "The race of seven optimizers, swept over rates, and their paths downhill"),
        Recipe("overfitting", "regression", "Over-fitting on purpose: where it begins, and four ways against it"),
        Recipe("logistic", "classification", "Hours of study and passing the exam, by logistic regression"),
        Recipe("blobs", "classification", "Two clouds of points, told apart by the smallest network"),
        Recipe("diabetes", "classification", "Diabetes from eight measurements; a network that learns only the prior"),
        Recipe("batching", "classification", "Epochs, iterations, batches, by a Dataset and a DataLoader with workers"),
        Recipe("titanic", "classification", "Who survived the Titanic: gaps, categories, five seeds trained at once"),
        Recipe("otto", "classification", "Products in nine classes: over-fitting, and the epoch to stop at"),
        Recipe("credit", "classification", "Good and bad debtors by a linear layer, and a sigmoid where none belongs"),
        Recipe("digits-softmax", "vision", "Handwritten digits by five linear layers and a softmax"),
        Recipe("digits-cnn", "vision", "Handwritten digits by two convolutions"),
        Recipe("digits-cnn-deep", "vision", "Handwritten digits by three convolutions, in three sizes compared"),
        Recipe("digits-inception", "vision", "Handwritten digits by Inception blocks"),
        Recipe("digits-resnet", "vision", "Handwritten digits by residual blocks"),
        Recipe("digits-identity", "vision", "Handwritten digits by eleven kinds of residual blocks compared"),
        Recipe("digits-densenet", "vision", "Handwritten digits by dense blocks"),
        Recipe(
            "digits-convnet", "vision", "Handwritten digits by a convolutional network: train, evaluate, look, predict"
        ),
        Recipe("digits-rows", "sequence", "Handwritten digits, read row by row by an LSTM"),
        Recipe("finetune", "vision", "A network trained on other data, tuned by six rules: digits, or photographs"),
        Recipe("visualize", "vision", "Curves, histograms, images, an embedding and a graph, for TensorBoard"),
        Recipe("hello", "sequence", "Letters of hello to ohlol by an RNN, with and without embedding, LSTM or GRU"),
        Recipe("names", "sequence", "The country of a surname, by its letters and a bidirectional GRU: train, predict"),
        Recipe("sentiment", "sequence", "What a phrase of a review thinks of the film, by an LSTM or a transformer"),
        Recipe("sine", "sequence", "From the sine to the cosine, ten points at a time, with the state carried on"),
    )
}


def find(name: str) -> Recipe:
    """Returns the recipe of that name.

    Raises:
        SettingsError: there is none; the message has the nearest name.
    """
    if name in RECIPES:
        return RECIPES[name]
    shown = name if name.isprintable() and len(name) <= LONGEST else f"{ascii(name[:LONGEST])[1:-1]} ..."
    near = difflib.get_close_matches(name[:LONGEST], RECIPES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "see them with: funcdl list"
    raise SettingsError(f"there is no recipe '{shown}'; {hint}")

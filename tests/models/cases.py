"""What the tests know of each model: how to make it, its twin, and what goes in."""

import functools
from dataclasses import dataclass
from typing import Any

import torch

from funcdl import models, nn
from funcdl.models.residual import VARIANTS
from tests.twins import zoo
from tests.twins.convnet import ConvNet


@dataclass(frozen=True)
class Case:
    """A model, the function that makes its twin, the shape of an input, and its number of parameters."""

    covers: str
    make: Any
    twin: Any
    shape: tuple
    parameters: int
    tokens: int = 0  # integers below this go in, instead of normal numbers

    def inputs(self, dtype=torch.float64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        if self.tokens:
            tokens = torch.randint(1, self.tokens, self.shape, generator=generator)
            tokens[0, -3:] = 0
            return tokens
        return torch.randn(self.shape, generator=generator, dtype=torch.float64).to(dtype)


DIGITS = (4, 1, 28, 28)


def diabetes():
    return nn.serial(models.mlp(6, 4, 1, activation=torch.sigmoid), torch.sigmoid)


def diabetes_twin():
    return torch.nn.Sequential(zoo.mlp(8, 6, 4, 1, activation=torch.nn.Sigmoid), torch.nn.Sigmoid())


CASES = {
    "mlp": Case(
        "mlp",
        lambda: models.mlp(512, 256, 128, 64, 10),
        lambda: zoo.mlp(784, 512, 256, 128, 64, 10),
        DIGITS,
        575_050,
    ),
    "mlp-wide": Case(
        "mlp",
        lambda: models.mlp(520, 320, 240, 120, 10),
        lambda: zoo.mlp(784, 520, 320, 240, 120, 10),
        DIGITS,
        682_090,
    ),
    "mlp-diabetes": Case("mlp", diabetes, diabetes_twin, (6, 8), 87),
    "lenet": Case("lenet", models.lenet, zoo.LeNet, DIGITS, 8_490),
    "handbook_cnn": Case("handbook_cnn", models.handbook_cnn, zoo.HandbookCNN, DIGITS, 1_007_590),
    "cnn": Case("cnn", lambda: models.cnn((4, 8, 16), (32, 16), padding=1), zoo.CNN, DIGITS, 6_842),
    "cnn-106058": Case(
        "cnn",
        lambda: models.cnn((16, 32, 64), (128, 64), padding=1),
        lambda: zoo.CNN((16, 32, 64), (128, 64)),
        DIGITS,
        106_058,
    ),
    "convnet": Case("convnet", models.convnet, ConvNet, DIGITS, 300_426),
    "inception_block": Case("inception_block", models.inception_block, lambda: zoo.Inception(5), (2, 5, 9, 9), 18_744),
    "inception_net": Case("inception_net", models.inception_net, zoo.InceptionNet, DIGITS, 97_298),
    "residual_net": Case("residual_net", models.residual_net, zoo.ResidualNet, DIGITS, 41_514),
    **{
        f"residual_block-{variant}": Case(
            "residual_block",
            functools.partial(models.residual_block, 6, variant),
            functools.partial(zoo.ResidualBlock, 6, variant),
            (3, 6, 7, 7),
            2 * (6 * 6 * 9 + 6) + extra,
        )
        for variant, extra in zip(VARIANTS, (0, 0, 0, 42, 42, 42, 0, 12, 0, 24, 24), strict=True)
    },
    "dense_block": Case(
        "dense_block", lambda: models.dense_block(2, 5), lambda: zoo.DenseBlock(2, 6, 5), (3, 6, 7, 7), 2_254
    ),
    "dense_transition": Case(
        "dense_transition", lambda: models.dense_transition(4), lambda: zoo.DenseTransition(6, 4), (3, 6, 7, 7), 36
    ),
    "densenet": Case("densenet", models.densenet, zoo.DenseNet, DIGITS, 46_702),
    "autoencoder": Case("autoencoder", models.autoencoder, lambda: zoo.Autoencoder(128, 64, 12, 3), DIGITS, 219_891),
    "transformer_classifier": Case(
        "transformer_classifier",
        lambda: models.transformer_classifier(
            20, 5, d_model=8, nhead=2, num_layers=2, dim_feedforward=16, max_length=12
        ),
        lambda: zoo.TransformerClassifier(20, 5),
        (3, 9),
        1_501,
        tokens=20,
    ),
}

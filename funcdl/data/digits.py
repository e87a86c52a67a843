"""scikit-learn's handwritten digits, converted to MNIST's format: they need no download."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from funcdl._extras import require
from funcdl.data.digit_images import BOX, center
from funcdl.data.splits import Split


def digits() -> Split:
    """Returns scikit-learn's 1,797 handwritten digits in MNIST's format, a fifth held out as the test set.

    The originals are 8 x 8 with ink from 0 to 16. They are enlarged to MNIST's box of 20 x 20 (bicubic) and placed in
    28 x 28 with the center of mass in the middle. A small convolutional network trained on MNIST classifies 86 % of
    them correctly; if the digits are enlarged to the full 28 x 28 instead, 65 %.

    The test set is every fifth image of each class, in the original order, so that both parts have the same proportions
    of classes and the split is reproducible.

    Returns:
        `Split(train, test)` of `(images, labels)`: uint8 (n, 1, 28, 28), 0 the background and 255 full ink, and
        int64 (n,) in [0, 9]; n is 1,442 and 355.

    >>> (images, labels), test = digits()
    >>> images.shape, images.dtype, labels[:5]
    (torch.Size([1442, 1, 28, 28]), torch.uint8, tensor([0, 1, 2, 3, 4]))

    Source: `sklearn.datasets.load_digits`; Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    require("sklearn", "data.digits")
    from sklearn.datasets import load_digits  # imported here because it takes a second

    bunch = load_digits()
    ink = torch.from_numpy(bunch.images).float() / 16
    labels = torch.from_numpy(bunch.target).long()
    enlarged = F.interpolate(ink.unsqueeze(1), (BOX, BOX), mode="bicubic", align_corners=False).squeeze(1)
    images = (255 * center(enlarged.clamp(0, 1))).round().to(torch.uint8).unsqueeze(1)
    held_out = _rank_in_class(labels) % 5 == 4
    return Split(train=(images[~held_out], labels[~held_out]), test=(images[held_out], labels[held_out]))


def _rank_in_class(labels: Tensor) -> Tensor:
    """Returns, for each row, how many earlier rows have the same label."""
    one_hot = F.one_hot(labels)
    return (one_hot.cumsum(0) * one_hot).sum(1) - 1

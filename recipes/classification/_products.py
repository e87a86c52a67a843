"""What is known of the products of Otto, and of the digits that stand in for them."""

from __future__ import annotations

import torch
from torch import Tensor

CLASSES = {"sample": list("0123456789"), "otto": list("123456789")}
KINDS = {"sample": "digits in place of products", "otto": "products"}
WHAT = {
    "sample": "1,797 handwritten digits of scikit-learn in ten classes, no products: 64 counts of ink each",
    "otto": "61,878 products of Otto in nine classes, 93 counts each",
}
# of a public run of the wide network
PUBLISHED = {"best_epoch": "5", "val_loss": "0.5071", "val_accuracy": "0.8042 at best"}
PUBLISHED |= {"last_accuracy": "0.9461", "last_val_accuracy": "0.7915", "parameters": "65,801"}


def sample() -> tuple[Tensor, Tensor]:
    """The digits as counts: the ink of 8 x 8 squares, from 0 to 16."""
    from sklearn.datasets import load_digits  # imported here as it takes a second

    bunch = load_digits()
    return torch.from_numpy(bunch.data).float(), torch.from_numpy(bunch.target).long()

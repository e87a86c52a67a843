"""Data in memory: sources that return tensors, batches drawn by a key, and pictures for a trained model to read."""

from funcdl.data.batching import (
    batch_indices,
    epoch_indices,
    length,
    padded_batches,
    padded_indices,
    shuffled_batches,
    stacked_batches,
    steps_per_epoch,
    take,
)
from funcdl.data.digits import digits
from funcdl.data.download import download
from funcdl.data.images import load_digit
from funcdl.data.mnist import mnist, read_idx
from funcdl.data.source import DataError, Split, data_dir

__all__ = [
    "DataError",
    "Split",
    "batch_indices",
    "data_dir",
    "digits",
    "download",
    "epoch_indices",
    "length",
    "load_digit",
    "mnist",
    "padded_batches",
    "padded_indices",
    "read_idx",
    "shuffled_batches",
    "stacked_batches",
    "steps_per_epoch",
    "take",
]

"""What is known of the phrases of reviews, and the sentences of them that are held out."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from funcdl import data, random
from funcdl.data.errors import DataError

WHAT = {
    "sample": "2,127 invented phrases that a rule makes of 30 words",
    "sentiment": "156,060 phrases of film reviews, from Kaggle",
}
FIGURES = {"val_accuracy": "0.605, at best 0.608", "majority": "0.51"}


def held_out(key: Tensor, phrases: data.Phrases) -> Bool[Tensor, " n"]:
    """Draws a fifth of the sentences to hold out, and returns which phrases are theirs.

    Raises:
        DataError: there are fewer than five sentences.
    """
    ids = phrases.sentences.unique()
    if len(ids) < 5:
        raise DataError(f"sentiment has {len(ids)} sentences, expected 5 or more, to hold a fifth of them out")
    return torch.isin(phrases.sentences, ids[random.permutation(key, len(ids))[: len(ids) // 5]])

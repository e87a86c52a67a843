import torch

from funcdl import nn
from tests.nn.cases.case import Case, Integers

T = torch.nn
flat = {"input": Integers((9,), 0, 5), "offsets": Integers((4,), 0, 1)}

CASES = {
    "embedding": [
        Case(nn.embedding(5, 3), lambda: T.Embedding(5, 3), Integers((4,), 0, 5)),
        Case(nn.embedding(5, 3, padding_idx=-4), lambda: T.Embedding(5, 3, -4), Integers((4, 7), 0, 5), frozen_row=1),
    ],
    "embedding_bag": [
        *(
            Case(
                nn.embedding_bag(5, 3, mode=mode, padding_idx=padding),
                lambda mode=mode, padding=padding: T.EmbeddingBag(5, 3, mode=mode, padding_idx=padding),
                Integers((6, 4), 0, 5),
                unbatched=False,
                exact=False,
            )
            for mode in ("sum", "mean", "max")
            for padding in (None, 1)
        ),
        *(
            Case(
                nn.embedding_bag(5, 3, mode=mode),
                lambda mode=mode: T.EmbeddingBag(5, 3, mode=mode),
                flat,  # three empty bags and a full one; test_embedding has others
                unbatched=False,
                exact=False,
            )
            for mode in ("sum", "mean", "max")
        ),
        Case(
            nn.embedding_bag(5, 3, mode="sum"),
            lambda: T.EmbeddingBag(5, 3, mode="sum"),
            {**flat, "per_sample_weights": (9,)},
            unbatched=False,
            exact=False,
        ),
    ],
}

import torch

from funcdl import nn
from tests.nn.cases.case import Case, image, sequence, volume

T = torch.nn

SHAPES = (sequence, image, volume)
UNEVEN = ((1, 2), (2, 0, 1, 3), (1, 0, 2, 1, 0, 1))  # (left, right, top, bottom, front, back)
CROPPED = ((-1, 2), (3, -2, -1, -1), (1, 1, -2, 1, 0, -1))
TORCH = {"circular": "Circular", "constant": "Constant", "reflection": "Reflection", "replication": "Replication"}


def cases(kind, rank):
    layer = getattr(nn, f"{kind}_pad{rank}d")
    twin = getattr(T, f"{TORCH.get(kind, 'Zero')}Pad{rank}d")
    value = (0.5,) if kind == "constant" else ()
    return [
        Case(layer(padding, *value), lambda p=padding: twin(p, *value), SHAPES[rank - 1])
        for padding in (2, UNEVEN[rank - 1], CROPPED[rank - 1])
    ]


CASES = {f"{kind}_pad{rank}d": cases(kind, rank) for kind in (*TORCH, "zero") for rank in (1, 2, 3)}

"""The passengers of the Titanic as a network takes them: gaps filled, columns scaled, and a split for each member."""

from __future__ import annotations

import torch
from torch import Tensor

from funcdl import data, random
from funcdl.data.titanic import COLUMNS, PORTS, SEXES

from ..training import Part
from . import _tables

WHAT = {
    "sample": "891 invented passengers, drawn by a rule: the real ones are --dataset titanic",
    "titanic": "891 real passengers, from Kaggle",
}
KINDS = {"sample": "invented passengers", "titanic": "passengers"}
WORDS = {"Pclass": {"1": 1.0, "2": 2.0, "3": 3.0}, "Sex": SEXES, "Embarked": PORTS}


def scaling_of(known: Tensor) -> _tables.Scaling:
    """The scaling by the rows `known` (n, 7): the median fills the gaps of a column, for ports the most frequent."""
    if (gaps := known.isnan().all(0)).any():
        column = COLUMNS[int(gaps.nonzero()[0])]
        raise data.DataError(f"no passenger of the training part has a value in column '{column}'; it cannot be filled")
    typical, port = known.nanmedian(0).values, COLUMNS.index("Embarked")
    typical[port] = known[:, port][~known[:, port].isnan()].mode().values
    return _tables.scaling(known, typical)


def split(key: Tensor, passengers: data.Passengers) -> tuple[_tables.Scaling, Part, Part, Tensor]:
    """Returns the scaling, a training and a validation part, a fifth held out, and the sexes of those held out."""
    known, unknown = data.hold_out(key, passengers, share=0.2)
    scaling = scaling_of(known.values)
    parts = [(scaling(part.values), part.survived) for part in (known, unknown)]
    return scaling, parts[0], parts[1], unknown.values[:, COLUMNS.index("Sex")]


def members(key: Tensor, passengers: data.Passengers, count: int) -> tuple[list[_tables.Scaling], Part, Part, Tensor]:
    """Returns `split` for each of so many members, stacked: a row has one passenger for each, (rows, members, 7)."""
    splits = [split(member_key, passengers) for member_key in random.split(key, count).unbind()]
    known, unknown = (
        (torch.stack([part[0] for part in parts], 1), torch.stack([part[1] for part in parts], 1))
        for parts in ([one[1] for one in splits], [one[2] for one in splits])
    )
    return [one[0] for one in splits], known, unknown, torch.stack([one[3] for one in splits], 1)

"""The passengers of the Titanic: a table with categories and missing values."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from funcdl import random
from funcdl.data.errors import DataError
from funcdl.data.kaggle import kaggle_file
from funcdl.data.tables import read_table

SEXES = {"male": 0.0, "female": 1.0}
PORTS = {"S": 0.0, "C": 1.0, "Q": 2.0}  # Southampton, Cherbourg, Queenstown
COLUMNS = ("Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Embarked")


class Passengers(NamedTuple):
    """Passengers: seven features each (NaN if missing), and 1 for those who survived."""

    values: Float[Tensor, "n 7"]
    survived: Float[Tensor, "n 1"]


def titanic(path: str | os.PathLike[str] | None = None) -> Passengers:
    """Returns the 891 passengers of Kaggle's `train.csv`, of whom 342 survived.

    The columns are `COLUMNS`; sex is 0 for male and 1 for female, the port 0 for Southampton, 1 for Cherbourg and 2 for
    Queenstown. 177 ages and 2 ports are missing, which is NaN.

    The file is `path/titanic/train.csv` or `path/titanic/train.csv.gz`.

    Args:
        path: the folder of data sets; None means what `data_dir` says.

    Returns:
        `Passengers(values, survived)`: float32 (891, 7) and (891, 1).

    Raises:
        DataError: the file is missing (the message says where to get it), is damaged, or has an unknown category (the
            message has file, line and column).

    Source: https://www.kaggle.com/competitions/titanic.
    """
    found = kaggle_file("titanic/train.csv", "titanic", path)
    table = read_table(
        found,
        columns=["Survived", *COLUMNS],
        convert={"Survived": {"0": 0.0, "1": 1.0}, "Pclass": {"1": 1.0, "2": 2.0, "3": 3.0}}
        | {"Sex": SEXES, "Embarked": PORTS},
        missing=torch.nan,
    )
    unknown = table.values[:, 0].isnan().nonzero()
    if len(unknown):
        raise DataError(
            f"{found}, passenger {int(unknown[0]) + 1}, column 'Survived': the cell is empty, expected 0 or 1; "
            "correct it or get the file again"
        )
    return Passengers(table.values[:, 1:].contiguous(), table.values[:, :1].contiguous())


def synthetic_passengers(key: Tensor, n: int = 891) -> Passengers:
    """Returns synthetic passengers like those of `titanic`, with missing values, drawn from `key`.

    About a third are women. The probability of survival is the logistic function of
    `2 + 4 * female - 1.5 * (class - 1) - 0.05 * age`; the signs are those of the real data, but the effects are
    stronger. A fifth of the ages and 2 ports are missing.

    >>> values, survived = synthetic_passengers(random.key(0))
    >>> values.shape, survived.shape, values[:, COLUMNS.index("Embarked")].isnan().sum()
    (torch.Size([891, 7]), torch.Size([891, 1]), tensor(2))
    """
    keys = iter(random.split(key, 10))
    grade = 1 + random.categorical(next(keys), torch.tensor([0.24, 0.21, 0.55]).log(), shape=(n,)).float()
    female = random.bernoulli(next(keys), 0.35, (n,)).float()
    age = (29 + 14 * random.normal(next(keys), (n,))).clamp(1, 75).round()
    relatives = random.categorical(next(keys), torch.tensor([0.65, 0.22, 0.08, 0.05]).log(), shape=(2, n)).float()
    fare = (90 / grade**1.7) * (0.4 * random.normal(next(keys), (n,))).exp()
    port = random.categorical(next(keys), torch.tensor([0.72, 0.19, 0.09]).log(), shape=(n,)).float()
    logits = 2 + 4 * female - 1.5 * (grade - 1) - 0.05 * age
    survived = random.bernoulli(next(keys), logits.sigmoid(), (n,)).float()
    age[random.bernoulli(next(keys), 0.2, (n,))] = torch.nan
    port[random.permutation(next(keys), n)[:2]] = torch.nan
    return Passengers(torch.stack([grade, female, age, *relatives, fare, port], 1), survived.unsqueeze(1))

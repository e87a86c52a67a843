"""One or more rows for every constructor that `funcdl.nn` exports, with its `nn.Module` twin: the batteries' table."""

from tests.nn.cases import (
    activation,
    attention,
    combinators,
    convolution,
    dropout,
    embedding,
    linear,
    normalization,
    padding,
    pooling,
    recurrent,
    resize,
    shape,
    transformer,
)

FAMILIES = (
    activation,
    attention,
    combinators,
    convolution,
    dropout,
    embedding,
    linear,
    normalization,
    padding,
    pooling,
    recurrent,
    resize,
    shape,
    transformer,
)
CASES = {name: rows for family in FAMILIES for name, rows in family.CASES.items()}
ROWS = [(f"{name}{index}", case) for name, rows in CASES.items() for index, case in enumerate(rows)]

"""One or more cases for every constructor that `funcdl.nn` exports, with its `nn.Module` twin: the batteries' table."""

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
CASES = {name: cases for family in FAMILIES for name, cases in family.CASES.items()}
NAMED_CASES = [(f"{name}{index}", case) for name, cases in CASES.items() for index, case in enumerate(cases)]

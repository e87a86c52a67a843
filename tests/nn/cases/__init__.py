"""One or more rows for every constructor that `funcdl.nn` exports, with its `nn.Module` twin: the batteries' table."""

from tests.nn.cases import activation, combinators, convolution, dropout, linear, pooling, shape

FAMILIES = (activation, combinators, convolution, dropout, linear, pooling, shape)
CASES = {name: rows for family in FAMILIES for name, rows in family.CASES.items()}
ROWS = [(f"{name}{index}", case) for name, rows in CASES.items() for index, case in enumerate(rows)]

"""One row for each optimizer and part, one file for each family."""

from tests.optim.rows import basic, optax_family, torch_family, wrappers

FAMILIES = {"basic": basic.ROWS, **wrappers.FAMILIES, **optax_family.FAMILIES, **torch_family.FAMILIES}
ROWS = {name: row for rows in FAMILIES.values() for name, row in rows.items()}

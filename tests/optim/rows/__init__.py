"""One row for each optimizer and part, one file for each family."""

from tests.optim.rows import basic

FAMILIES = {"basic": basic.ROWS}
ROWS = {name: row for rows in FAMILIES.values() for name, row in rows.items()}

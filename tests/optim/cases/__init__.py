"""One case for each optimizer and transformation, one file for each family."""

from tests.optim.cases import basic, optax_family, torch_family, wrappers

FAMILIES = {"basic": basic.CASES, **wrappers.FAMILIES, **optax_family.FAMILIES, **torch_family.FAMILIES}
CASES = {name: case for cases in FAMILIES.values() for name, case in cases.items()}

"""Fixtures that these tests share with those of `jit`."""

from tests.transforms.conftest import compiled_graphs, without_inductor  # noqa: F401

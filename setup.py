"""The packages of a distribution: `funcdl`, and the folder `recipes` as `funcdl.recipes`. See also pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["funcdl", "funcdl.*"]),
        "funcdl.recipes",  # another distribution has the top-level name
        *(f"funcdl.recipes.{name}" for name in find_packages("recipes")),
    ],
    package_dir={"funcdl.recipes": "recipes"},
)

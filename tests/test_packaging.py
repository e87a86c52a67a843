"""What the distributions hold, what they install, and which packages they need."""

import ast
import email
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import funcdl
from funcdl import _extras

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SOURCE = (".git", ".venv*", "venv*", "*_cache", "*.egg-info", ".hypothesis", "__pycache__", "build", "dist", "runs")
MODULES = {"optree", "einops", "jaxtyping", "numpy", "safetensors", "torch", "tqdm"}  # of the dependencies
BUILD = """
import sys
import setuptools.build_meta as backend
folder = sys.argv[1]
backend.build_sdist(folder)
backend.build_wheel(folder)
"""


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {path.relative_to(folder).as_posix() for path in paths}


def run(code, *arguments, cwd, **environment):
    """Runs Python in a process of its own, where the repository cannot be imported; returns what it prints."""
    done = subprocess.run(
        [sys.executable, *(["-c", code] if code else []), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the repository, as a fresh clone of it would be."""

    def ignored(folder, names):
        patterns = (*NOT_SOURCE, "data") if Path(folder) == ROOT else NOT_SOURCE
        return [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("clone") / "funcdl", ignore=ignored))


@pytest.fixture(scope="module")
def distributions(source, tmp_path_factory):
    """The folder with the sdist and the wheel, both built from a copy of the repository."""
    before = files(source)
    folder = tmp_path_factory.mktemp("dist")
    run(BUILD, str(folder), cwd=source)
    for path in files(source) - before:  # the backend leaves folders behind
        (source / path).unlink()
    return folder


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory):
    """A folder that holds what the wheel installs, and nothing else."""
    folder = tmp_path_factory.mktemp("site-packages")
    zipfile.ZipFile(next(distributions.glob("*.whl"))).extractall(folder)
    return folder


def test_the_wheel_holds_every_module_below_one_name(source, installed):
    modules = {f"funcdl/{path}" for path in files(source / "funcdl")}
    modules |= {f"funcdl/recipes/{path}" for path in files(source / "recipes")}
    information = f"funcdl-{funcdl.__version__}.dist-info"
    assert {path for path in files(installed) if not path.startswith(information)} == modules
    assert sorted(path.name for path in installed.iterdir()) == ["funcdl", information]


def test_every_folder_of_modules_is_a_package(source):
    folders = {path.parent for name in ("funcdl", "recipes", "tests") for path in (source / name).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_sdist_holds_the_whole_repository(source, distributions):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert files(source) - names == set()
    assert {name for name in names - files(source) if "egg-info" not in name} <= {"PKG-INFO", "setup.cfg"}


def test_the_metadata(installed):
    information = installed / f"funcdl-{funcdl.__version__}.dist-info"
    metadata = email.message_from_string((information / "METADATA").read_text())
    assert metadata["Version"] == funcdl.__version__
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert "funcdl = funcdl.recipes.__main__:command" in (information / "entry_points.txt").read_text()


def test_the_installed_command(installed, tmp_path):
    def recipes(*arguments):
        return run(None, "-m", "funcdl.recipes", *arguments, cwd=tmp_path, PYTHONPATH=str(installed))

    assert recipes("--version") == f"funcdl {funcdl.__version__}\n"
    assert "digits-convnet" in recipes("list")
    assert '"recipe": "blobs"' in recipes("run", "blobs", "--compile", "off", "--json", "--out", "run")


def test_every_recipe_can_be_imported_where_it_is_installed(installed, tmp_path):
    code = """
        from funcdl import recipes
        from funcdl.recipes import registry
        for recipe in registry.RECIPES.values():
            assert recipe.load().__name__.startswith("funcdl.recipes."), recipe.id
        print(recipes.__file__)
    """
    shown = run("if True:" + code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert shown.strip() == str(installed / "funcdl" / "recipes" / "__init__.py")


def imported(folder):
    """The third-party packages that the modules of a folder import, here or there."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"funcdl", "__future__"}


@pytest.mark.parametrize("folder", ["funcdl", "recipes"])
def test_what_is_imported_is_a_dependency_or_comes_with_the_recipes(folder):
    assert imported(folder) <= MODULES | set(_extras.DISTRIBUTIONS)


def test_the_lists_of_dependencies_agree():
    def names(requirements):
        return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}

    extras = PROJECT["optional-dependencies"]
    assert names(PROJECT["dependencies"]) == MODULES
    assert names(extras["recipes"]) == set(_extras.DISTRIBUTIONS.values())
    assert "funcdl[recipes]" in extras["test"]


ALONE = """
import importlib, pkgutil, sys
for name in {absent}:
    sys.modules[name] = None  # as if it were not installed
import funcdl
for module in pkgutil.walk_packages(funcdl.__path__, "funcdl."):
    if not module.name.startswith("funcdl.recipes"):
        importlib.import_module(module.name)
print("imported")
from funcdl import data, train
for use in (data.digits, data.malignant_tumors, lambda: data.load_image("digit.png"),
            lambda: train.Report("run")):
    try:
        use()
    except ModuleNotFoundError as error:
        print(error)
"""


def test_the_library_needs_its_dependencies_only_and_names_what_else_a_function_needs(installed, tmp_path):
    code = ALONE.format(absent=[*_extras.DISTRIBUTIONS, "scipy", "pandas"])
    lines = run(code, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert lines == [
        "imported",
        *(
            f"{user} needs {package}, which is not installed; install it with: pip install 'funcdl[recipes]'"
            for user, package in (
                ("data.digits", "scikit-learn"),
                ("the breast tumor data", "scikit-learn"),
                ("reading pictures", "pillow"),
                ("train.Report(directory)", "tensorboard"),
            )
        ),
    ]


def test_the_command_without_the_packages_of_the_recipes_says_so_in_one_line(installed, tmp_path):
    code = f"""
        import sys
        sys.modules.update(dict.fromkeys({list(_extras.DISTRIBUTIONS)}))
        sys.argv = ["funcdl", "run", "blobs"]
        from funcdl.recipes.__main__ import command
        command()
    """
    done = subprocess.run(
        [sys.executable, "-c", "if True:" + code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]  # torch may have warned before
    assert re.fullmatch(r"funcdl: this recipe needs \S+, which is not installed; install it with: .*", last)
    assert "Traceback" not in done.stderr

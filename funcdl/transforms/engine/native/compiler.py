"""C++ to a function: compiled once for a source, a compiler and a processor, and kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from funcdl.transforms.engine.native.ir import NotSupported

# Without -ffast-math, and without contraction, which would round otherwise in one loop than in another: an operation
# has the same bits wherever it stands.
FLAGS = (
    "-std=c++17",
    "-O2",
    "-ftree-vectorize",
    "-fvect-cost-model=dynamic",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-fPIC",
    "-shared",
)


def load(source: str) -> Callable[[int], None]:
    """Compiles C++, or finds it compiled, and returns its function `program`, which takes the address of pointers.

    Raises:
        NotSupported: there is no compiler, or it fails.
    """
    command = find()
    if command is None:
        raise NotSupported("no C++ compiler")
    key = hashlib.sha256("\0".join((source, *command, *FLAGS, _machine(command[0]))).encode()).hexdigest()
    folder = cache_folder()
    path = folder / f"{key[:32]}.so"
    if not path.exists():
        _compile(command, source, path)
    try:
        function = ctypes.CDLL(str(path)).program
    except OSError as error:  # a damaged file, or a folder whose files may not be run
        path.unlink(missing_ok=True)
        raise NotSupported(f"{path} cannot be loaded ({error})") from None
    function.argtypes, function.restype = [ctypes.c_void_p], None
    return function


@functools.cache
def find() -> tuple[str, ...] | None:
    """The command of the C++ compiler, or None: that of the environment variable CXX, else g++ or clang++."""
    chosen = os.environ.get("CXX")
    paths = [path for name in ([chosen] if chosen else ["g++", "clang++"]) if (path := shutil.which(name))]
    return (paths[0],) if paths else None


def cache_folder() -> Path:
    """The user's folder for compiled programs, which nobody else may write into.

    Raises:
        NotSupported: it belongs to someone else, or others may write into it.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "funcdl" / "programs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except (OSError, RuntimeError) as error:  # without a home folder it is a RuntimeError
        raise NotSupported(f"no folder for compiled programs ({error})") from None
    if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotSupported(f"{folder} can be written by others")
    return folder


@functools.cache
def _machine(compiler: str) -> str:
    """What a compiled program depends on besides its source: the processor's instructions and the compiler."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    features = ""
    with_features = Path("/proc/cpuinfo")
    if with_features.exists():
        lines = with_features.read_text(errors="replace").splitlines()
        features = "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return f"{platform.machine()} {features} {version}"


def _compile(command: tuple[str, ...], source: str, path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            code, compiled = Path(folder) / "program.cpp", Path(folder) / "program.so"
            code.write_text(source)
            done = subprocess.run(
                [*command, *FLAGS, str(code), "-o", str(compiled), "-lm"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise NotSupported(f"{command[0]} fails: {done.stderr[:1000]}")
            compiled.replace(path)
    except OSError as error:
        raise NotSupported(f"{path.parent} cannot be written ({error})") from None

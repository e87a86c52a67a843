"""The folder of a run: its settings, its lock, and whether it can be resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from funcdl.train import checkpoint, files
from funcdl.train.report import METRICS

from .settings import SESSION_ONLY, Settings, SettingsError

CONFIG = "config.json"


def write_config(run_dir: Path, name: str, settings: Settings) -> None:
    """Writes the settings of a run, without those that may change when it is resumed."""
    text = json.dumps({"recipe": name, "settings": settings_of_run(settings)}, indent=1)
    files.write_atomically(run_dir / CONFIG, text.encode())


def settings_of_run(settings: Settings) -> dict[str, Any]:
    """The settings of a run by name, without those that may change when it is resumed."""
    return {name: value for name, value in dataclasses.asdict(settings).items() if name not in SESSION_ONLY}


@contextlib.contextmanager
def changed(run_dir: Path, name: str, settings: Settings) -> Iterator[None]:
    """Writes the settings of a run that is resumed, which may have another number of epochs.

    What was there before comes back if the run cannot go on with them.
    """
    before = files.read(run_dir / CONFIG)
    write_config(run_dir, name, settings)
    try:
        yield
    except (SettingsError, files.CheckpointError):
        files.write_atomically(run_dir / CONFIG, before)
        raise


def read_config(run_dir: Path) -> dict[str, Any]:
    """Reads a run's `recipe`, a name, and `settings`, which are not looked at yet.

    Raises:
        SettingsError: there is none, or it is damaged.
        CheckpointError: it is no regular file, or far too large.
    """
    path = run_dir / CONFIG
    try:
        config = files.parse(files.read(path))
    except OSError as error:
        raise SettingsError(f"{run_dir}: holds no run ({CONFIG}: {error.strerror}); name the folder of a run") from None
    except files.CheckpointError:
        raise
    except ValueError:
        raise SettingsError(f"{path}: is not JSON; it is damaged or not a run's") from None
    wrong = files.find_mismatch(config, {"recipe": str, "settings": dict})
    if wrong:
        raise SettingsError(f"{path}: is not a run's; it needs a 'recipe' and its 'settings' ({wrong})")
    return config


def read_settings(settings_class: type[Settings], config: dict[str, Any], run_dir: Path) -> Any:
    """Returns the settings that a run's configuration has.

    Raises:
        SettingsError: they are not this recipe's, or one of them is none that it could have.
    """
    path, found = run_dir / CONFIG, config["settings"]
    hints = get_type_hints(settings_class)
    names = {field.name for field in dataclasses.fields(settings_class)} - set(SESSION_ONLY)
    sides = (("has", found.keys() - names), ("lacks", names - found.keys()))
    if differences := [f"{word} {', '.join(sorted(which))}" for word, which in sides if which]:
        raise SettingsError(
            f"{path}: has other settings than this version's '{config['recipe']}': it {' and '.join(differences)}; "
            "start a new run"
        )
    for name in sorted(names):
        if not _fits(found[name], hints[name]):
            raise SettingsError(
                f"{path}: has the setting '{name}' {files.quote(found[name])}, which it cannot be; "
                "put the run's own file in its place, or start a new run"
            )
    settings = settings_class(**found)
    try:
        settings.check()
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None
    return settings


def is_begun(run_dir: Path) -> bool:
    """Whether a run has a checkpoint to resume from. It has rows only after its first checkpoint."""
    return checkpoint.exists(run_dir / "checkpoint") or (run_dir / METRICS).exists()


def clear(run_dir: Path) -> None:
    """Removes the files of a run that failed before its first checkpoint, so that its folder can be used again."""
    if checkpoint.exists(run_dir / "checkpoint"):
        return
    (run_dir / CONFIG).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it held other files before
        run_dir.rmdir()


def describe_error(error: OSError, run_dir: Path) -> str:
    """Returns the sentence for an error of the operating system that ended a run."""
    if isinstance(error, files.WriteError) or error.errno is None:  # what it says is a sentence
        return str(error)
    advice = files.ADVICE.get(error.errno or 0)
    return f"{error.filename or run_dir}: {error.strerror or error}{f'; {advice}' if advice else ''}"


@contextlib.contextmanager
def locked(run_dir: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Locks the folder of a run for this process; the lock ends with the process.

    Args:
        run_dir: a folder that is there.
        log: gets a warning if the file system has no locks.

    Raises:
        SettingsError: another one works in it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        log(f"warning: {run_dir} cannot be locked here; see that no other process works in it")
        yield
        return
    descriptor = None
    try:
        try:
            descriptor = os.open(run_dir, os.O_RDONLY)
            _locks.add(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"{run_dir}: another process works in it; wait until it has ended, or choose another folder by --out"
            ) from None
        except OSError as error:
            log(f"warning: {run_dir} cannot be locked ({error.strerror}); see that no other process works in it")
        yield
    finally:
        if descriptor is not None:
            _locks.discard(descriptor)
            os.close(descriptor)


_locks: set[int] = set()  # of this process


def _close_locks() -> None:
    """Closes the locks in a forked child, such as a worker that loads data, which may outlive a killed run."""
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == one and type(value) is type(one) for one in get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    return hint in files.TYPE_NAMES and files.find_mismatch(value, hint) is None

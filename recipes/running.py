"""The command `run`: a recipe with the settings of the command line, in a folder of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from . import flags, registry
from .settings import SESSION_ONLY, DeviceSettings, Settings, SettingsError, flag
from .terminal import escaped


def run(name: str, words: Sequence[str]) -> None:
    """Runs a recipe with the flags in `words`, and prints and leaves its results.

    Raises:
        SettingsError: a flag or the folder of the run cannot be used; one sentence.
        KeyboardInterrupt: the run was interrupted; says how to go on.
    """
    recipe = registry.find(name)
    module = recipe.load()
    settings = flags.parse(module.Settings, recipe.id, words)
    run_dir = settings.out or (_latest if settings.resume else _new)(recipe.id)
    new = not settings.resume
    taken = f"--out {run_dir}: holds a run already; add --resume to go on with it, or choose another"
    if settings.resume:
        settings = _resumed(module.Settings, recipe.id, words, run_dir)
    elif (run_dir / "config.json").exists():
        raise SettingsError(taken)
    settings.check()

    from funcdl import train

    from . import results, runtime, summary, tables

    started = time.perf_counter()
    again = f"go on with: funcdl run {recipe.id} --resume --out {run_dir}"
    try:
        report = train.Report(run_dir, progress=True)
    except train.WriteError as error:
        raise SettingsError(f"--out {run_dir}: cannot be written ({error.strerror}); {error.advice}") from None
    with results.locked(run_dir, report.log):
        if new and (run_dir / "config.json").exists():  # it began a moment ago
            raise SettingsError(taken)
        try:
            if new:
                results.write_config(run_dir, recipe.id, settings)
        except train.WriteError as error:
            results.clear(run_dir)
            raise SettingsError(f"--out {run_dir}: cannot be written ({error.strerror}); {error.advice}") from None
        asked = settings
        if not new:  # one that was stopped before its first checkpoint begins again
            if results.is_begun(run_dir):
                settings = runtime.restore_settings(settings, run_dir)
            else:
                settings = dataclasses.replace(settings, resume=False)
        try:
            if isinstance(settings, DeviceSettings):
                runtime.choose_device(settings.device)  # a device that is missing is refused before data is read
            with contextlib.nullcontext() if new else results.changed(run_dir, recipe.id, asked):
                outcome = module.run(settings, report)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"{str(interrupt) or 'interrupted'}; {again}") from None
        except FileNotFoundError as error:  # a file of the user's
            if new:
                results.clear(run_dir)
            raise SettingsError(results.describe_error(error, run_dir)) from error
        except OSError as error:
            raise SettingsError(f"{results.describe_error(error, run_dir)}; then {again}") from error
        except Exception as error:
            if new:
                results.clear(run_dir)
            if runtime.is_out_of_memory(error):
                raise SettingsError("the run needs more memory than there is; ask for less of it") from error
            raise
        finally:
            report.close()
        result = {
            "recipe": recipe.id,
            "dataset": settings.dataset,
            "seed": settings.seed,
            "device": outcome.device,
            "compiled": outcome.compiled,
            "epochs": outcome.epochs,
            "seconds": round(time.perf_counter() - started, 2),
            "metrics": outcome.metrics,
            "run_dir": str(run_dir),
        }
        lesson = summary.lesson_of(outcome)
        found = summary.write(run_dir, result, results.settings_of_run(asked), report.rows, lesson)
    if settings.json:
        print(json.dumps(result))
    else:
        tables.print_summary(found)
        print(f"what the run leaves behind is in {escaped(str(run_dir))}")


def _resumed(settings_class: type[Settings], name: str, words: Sequence[str], run_dir: Path) -> Settings:
    """The settings of the run in `run_dir`, which flags may repeat but not change, except for its number of epochs."""
    from . import results

    config = results.read_config(run_dir)
    if config["recipe"] != name:
        raise SettingsError(f"{run_dir}: is a run of '{registry.find(config['recipe']).id}', not of '{name}'")
    saved = dataclasses.replace(results.read_settings(settings_class, config, run_dir), out=run_dir, resume=True)
    asked = flags.parse(settings_class, name, words, default=saved)
    for field in dataclasses.fields(saved):
        was, now = getattr(saved, field.name), getattr(asked, field.name)
        if was != now and field.name not in (*SESSION_ONLY, "epochs"):
            given = flag(field.name)
            its = f"has {given} {was}, not {now}" if was is not None else f"has no {given}, and now it would be {now}"
            raise SettingsError(f"--resume: the run in {run_dir} {its}; leave {given} out, or start a new run")
    return asked


def _new(name: str) -> Path:
    return Path("runs") / name / datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]


def _latest(name: str) -> Path:
    runs = sorted(path.parent for path in (Path("runs") / name).glob("*/config.json"))
    if not runs:
        raise SettingsError(f"--resume: there is no run of '{name}' under runs/; name its folder with --out")
    return runs[-1]

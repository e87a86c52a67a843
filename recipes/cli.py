"""The command line: it reads a command, and calls what does it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import funcdl

from . import code, completion, flags, overview, predicting, registry, running, terminal
from .settings import SettingsError
from .terminal import sentence

DONE, BUG, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
COMMANDS = {
    "list": "show all recipes",
    "run": "run a recipe; run ID --help shows what it teaches, and its flags",
    "predict": "ask the network of a run about data of your own",
    "code": "show a recipe's model, loss and step, beside the same in plain PyTorch",
    "show": "print the results of a run again, and where its pictures are",
    "compare": "put several runs side by side, in a table and a picture",
    "completion": "print the script that completes commands, recipes and flags on Tab",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others here."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 2 bad arguments or data, 1 a bug, 130 interrupted."""
    with terminal.writable():
        try:
            with _signals_as_ctrl_c():
                _command(sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt as interrupt:
            print(f"funcdl: {sentence(str(interrupt)) or 'interrupted'}", file=sys.stderr)
            return INTERRUPTED
        except Exception as error:
            if not _is_for_the_user(error):
                raise
            print(f"funcdl: {sentence(str(error))}", file=sys.stderr)
            return BAD_INPUT
    return DONE


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does at that moment, where they would end the process."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only it may handle signals
        for number in (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")):
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
                before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell's background job ignores Ctrl-C
        raise KeyboardInterrupt
    handler(number, frame)


def _command(arguments: Sequence[str]) -> None:
    if not arguments:
        print(overview.welcome())
        return
    parser = _Parser(
        prog="funcdl",
        description="Recipes that train and explain, one for every task of five PyTorch tutorials.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="funcdl alone says what to do first.",
    )
    parser.add_argument("--version", action="version", version=f"funcdl {funcdl.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, add_help=name != "run") for name, text in COMMANDS.items()}
    made["run"].add_argument("id", nargs="?", metavar="ID", help="the recipe's name, before its flags")
    arguments = predicting.add_arguments(made["predict"], arguments)
    made["completion"].add_argument("shell", choices=completion.SHELLS, metavar="|".join(completion.SHELLS))
    made["completion"].formatter_class = argparse.RawDescriptionHelpFormatter
    made["completion"].epilog = "\n".join(["Where the script goes:", *overview.pairs(list(completion.SHELLS.items()))])
    made["code"].add_argument("id", metavar="ID")
    made["code"].add_argument("--plain", action="store_true", help="print the plain script alone, as it is")
    made["show"].add_argument("run_dir", metavar="RUN_DIR")
    made["compare"].add_argument("run_dirs", nargs="+", metavar="RUN_DIR")
    made["compare"].add_argument("--picture", metavar="FILE", help="where to; by default under runs/comparisons/")
    for name in ("list", "predict", "show", "compare"):
        made[name].add_argument("--json", action="store_true", help="print one line of JSON")
    made["list"].add_argument("--tutorials", action="store_true", help="show what shows each task of the tutorials")
    known, unknown = parser.parse_known_args(arguments)
    if known.command == "run":
        if known.id is None and {"-h", "--help"} & set(unknown):
            made["run"].print_help()
        elif known.id is None or known.id != arguments[1]:
            raise SettingsError("run: name a recipe, before its flags; see them with: funcdl list")
        else:
            running.run(known.id, arguments[2:])
    elif known.command == "predict" and unknown and not unknown[0].startswith("-"):
        parser.error(f"{unknown[0]}: stands apart from the other inputs; name them side by side")
    elif unknown:
        has = re.findall(r"--[\w-]+", made[known.command].format_usage())
        parser.error(f"{unknown[0]}: '{known.command}' takes no such argument; {flags.nearest(unknown[0], has)}")
    elif known.command == "list":
        _list(known.tutorials, known.json)
    elif known.command == "completion":
        print(completion.script(known.shell, list(COMMANDS)), end="")
    elif known.command == "code":
        code.show(known.id, known.plain)
    elif known.command == "show":
        from .show import show

        show(flags.folder("show RUN_DIR", known.run_dir), known.json)
    elif known.command == "compare":
        from .compare import compare

        picture = None if known.picture is None else flags.folder("--picture", known.picture)
        compare([flags.folder("compare RUN_DIR", path) for path in known.run_dirs], picture, known.json)
    else:
        predicting.run(known)


def _list(of_tutorials: bool, as_json: bool) -> None:
    if of_tutorials:
        from . import tutorials

        tasks = {name: dataclasses.asdict(task) for name, task in tutorials.read().items()} if as_json else None
        print(json.dumps(tasks) if as_json else tutorials.listing())
    elif as_json:
        print(json.dumps([dataclasses.asdict(recipe) for recipe in registry.RECIPES.values()]))
    else:
        print(overview.listing())


def _is_for_the_user(error: Exception) -> bool:
    """Whether an error comes from bad input rather than from a bug."""
    if isinstance(error, (SettingsError, OSError)):
        return True
    from funcdl.data import DataError
    from funcdl.train import CheckpointError, NonFiniteLossError

    return isinstance(error, (DataError, CheckpointError, NonFiniteLossError))

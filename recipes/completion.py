"""Scripts that complete the command line on Tab, for bash, zsh and fish: commands, recipes, flags and their values."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import registry
from .helptext import choices, without_none
from .settings import flag

SHELLS = {
    "bash": "funcdl completion bash > ~/.local/share/bash-completion/completions/funcdl",
    "zsh": "funcdl completion zsh > a folder of your $fpath/_funcdl",
    "fish": "funcdl completion fish > ~/.config/fish/completions/funcdl.fish",
}
FOLDERS = ("show", "compare", "predict")  # commands that take the folder of a run

Flags = dict[str, list[str]]  # the values of each flag, where it has a choice


def script(shell: str, commands: Sequence[str]) -> str:
    """Returns the script for a shell; it calls nothing of funcdl when it completes, so that it answers at once."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands, recipe_flags())


def recipe_flags() -> dict[str, Flags]:
    """Returns the flags of every recipe."""
    return {recipe.id: _flags(recipe.load().Settings) for recipe in registry.RECIPES.values()}


def _flags(settings_class: type) -> Flags:
    hints = typing.get_type_hints(settings_class)
    fields = [field.name for field in dataclasses.fields(settings_class)]
    return {flag(name): _values(hints[name]) for name in fields} | {"--help": []}


def _values(hint: Any) -> list[str]:
    return [FOLDER] if without_none(hint) is Path else choices(hint)


FOLDER = "<folder>"


def _cases(flags: dict[str, Flags], folder: str, choice: str) -> list[str]:
    """The cases of "RECIPE FLAG" whose value can be completed, in the syntax that bash and zsh share."""
    lines = []
    for name, of_recipe in flags.items():
        for one, values in of_recipe.items():
            if values and values != [FOLDER]:
                lines.append(f'"{name} {one}") {choice.format(" ".join(values))};;')
    folders = sorted({one for of_recipe in flags.values() for one, values in of_recipe.items() if values == [FOLDER]})
    return [*lines, "|".join(f'*" {one}"' for one in folders) + f") {folder};;"]


def _bash(commands: Sequence[str], flags: dict[str, Flags]) -> str:
    choice = 'COMPREPLY=($(compgen -W "{}" -- "$cur")); return'
    folder = 'compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return'
    any_file = 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return'
    names = choice.format(" ".join(flags))
    return "\n".join(
        [
            "_funcdl() {",
            'local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
            "COMPREPLY=()",
            f"if ((COMP_CWORD == 1)); then {choice.format(' '.join(commands))}; fi",
            'case "${COMP_WORDS[1]} $COMP_CWORD" in',
            f'"run 2"|"code 2") {names};;',
            f'"completion 2") {choice.format(" ".join(SHELLS))};;',
            '"list 2") ' + choice.format("--json") + ";;",
            *[f'"{one} "*) {any_file if one == "predict" else folder};;' for one in FOLDERS],
            "run*) ;;",
            "*) return;;",
            "esac",
            'case "${COMP_WORDS[2]} $prev" in',
            *_cases(flags, folder, choice),
            "esac",
            'case "${COMP_WORDS[2]}" in',
            *[f"{name}) {choice.format(' '.join(of_recipe))};;" for name, of_recipe in flags.items()],
            "esac",
            "}",
            "complete -F _funcdl funcdl",
            "",
        ]
    )


def _zsh(commands: Sequence[str], flags: dict[str, Flags]) -> str:
    choice = "compadd -- {}; return"
    summaries = " ".join(_quoted(f"{name}:{registry.RECIPES[name].summary}") for name in flags)
    return "\n".join(
        [
            "#compdef funcdl",
            "_funcdl() {",
            "local -a recipes",
            f"recipes=({summaries})",
            f"if ((CURRENT == 2)); then {choice.format(' '.join(commands))}; fi",
            'case "$words[2] $CURRENT" in',
            '"run 3"|"code 3") _describe recipe recipes; return;;',
            f'"completion 3") {choice.format(" ".join(SHELLS))};;',
            '"list 3") ' + choice.format("--json") + ";;",
            *[f'"{one} "*) _files{"" if one == "predict" else " -/"}; return;;' for one in FOLDERS],
            "run*) ;;",
            "*) return;;",
            "esac",
            'case "$words[3] $words[CURRENT-1]" in',
            *_cases(flags, "_files -/; return", choice),
            "esac",
            'case "$words[3]" in',
            *[f"{name}) {choice.format(' '.join(of_recipe))};;" for name, of_recipe in flags.items()],
            "esac",
            "}",
            'if [ "$funcstack[1]" = _funcdl ]; then _funcdl; else compdef _funcdl funcdl; fi',
            "",
        ]
    )


def _fish(commands: Sequence[str], flags: dict[str, Flags]) -> str:
    def when(condition: str, what: str) -> str:
        return f"complete -c funcdl -n {_quoted(condition)} {what}"

    first = "test (count (commandline -opc)) -eq 1"
    second = "test (count (commandline -opc)) -eq 2; and __fish_seen_subcommand_from"
    lines = ["complete -c funcdl -f", when(first, f"-a {_quoted(' '.join(commands))}")]
    for name in flags:
        summary = registry.RECIPES[name].summary
        lines.append(when(f"{second} run code", f"-a {name} -d {_quoted(summary)}"))
    lines.append(when(f"{second} completion", f"-a {_quoted(' '.join(SHELLS))}"))
    lines.append(when(f"{second} list", "-l json"))
    lines.append(when("__fish_seen_subcommand_from predict", "-F"))
    folders = [one for one in FOLDERS if one != "predict"]
    lines.append(when(f"__fish_seen_subcommand_from {' '.join(folders)}", "-a '(__fish_complete_directories)'"))
    for name, of_recipe in flags.items():
        chosen = f"set -l typed (commandline -opc); and test (count $typed) -gt 2; and test $typed[3] = {name}"
        for one, values in of_recipe.items():
            value = "(__fish_complete_directories)" if values == [FOLDER] else " ".join(values)
            lines.append(when(chosen, f"-l {one[2:]}" + (f" -x -a {_quoted(value)}" if values else "")))
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

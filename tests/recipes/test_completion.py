import shutil
import subprocess

import pytest

from recipes import cli, completion, registry
from tests.recipes.small import call

BASH = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _funcdl 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
ZSH = """
compdef() {}
compadd() { shift; print -l -- $@ }
_describe() { print -l -- ${${(P)2}%%:*} }
_files() { print -l -- *(/) }
source $0; words=("$@"); CURRENT=$#; _funcdl
"""
FISH = "source $argv[1]; complete -C (string join -- ' ' $argv[2..])"


@pytest.fixture(scope="module", params=completion.SHELLS)
def complete(request, tmp_path_factory):
    """A function from the words of a command line to what a shell offers for the last one."""
    shell = request.param
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path_factory.mktemp(shell)
    (folder / "a_run").mkdir()
    code, out, err = call("completion", shell)
    assert (code, err) == (0, [])
    script = folder / "script"
    script.write_text("\n".join(out) + "\n")

    def offers(*words):
        run = [shell, *(["-f"] if shell == "zsh" else []), "-c", {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell]]
        done = subprocess.run(
            [*run, str(script), "funcdl", *words], capture_output=True, text=True, timeout=60, check=True, cwd=folder
        )
        assert done.stderr == ""
        found = [line.split("\t")[0].rstrip("/") for line in done.stdout.splitlines()]
        return [one for one in found if one.startswith(words[-1])]

    return offers


def test_commands_recipes_flags_and_values_are_completed(complete):
    assert set(complete("")) == set(cli.COMMANDS)
    assert set(complete("run", "")) == set(registry.RECIPES)
    assert set(complete("run", "digits-con")) == {"digits-convnet"}
    assert set(complete("run", "digits-convnet", "--data")) == {"--dataset", "--data-dir"}
    assert set(complete("run", "digits-convnet", "--epochs", "2", "--dataset", "")) == {"sample", "mnist"}
    assert "--network" in complete("run", "digits-cnn", "--net")
    assert not complete("run", "tensors", "--lr")
    assert set(complete("completion", "")) == set(completion.SHELLS)
    assert complete("list", "--") == ["--json"]


def test_folders_are_completed_where_a_folder_belongs(complete):
    assert complete("run", "digits-convnet", "--out", "a_") == ["a_run"]
    assert complete("predict", "a_") == ["a_run"]


def test_every_flag_of_every_recipe_is_in_the_scripts():
    flags = completion.recipe_flags()
    assert list(flags) == list(registry.RECIPES)
    for shell in completion.SHELLS:
        text = completion.script(shell, list(cli.COMMANDS))
        for of_recipe in flags.values():
            assert all((f"-l {one[2:]}" if shell == "fish" else one) in text for one in of_recipe)


def test_another_shell_is_refused_with_those_that_there_are():
    code, out, err = call("completion", "sh")
    assert (code, out) == (2, [])
    assert len(err) == 1
    assert all(word in err[0] for word in ("'sh'", *completion.SHELLS))

"""Paths in a tree, such as "layer1.0.weight", and reading or replacing the part of a tree at a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from funcdl.tree.containers import Tree, children, like


def leaves_with_paths(tree: Tree) -> list[tuple[str, Any]]:
    """Returns `(path, leaf)` pairs in the order of `flatten`.

    >>> leaves_with_paths({"fc": {"weight": 1, "bias": 2}, "scale": (3,)})
    [('fc.bias', 2), ('fc.weight', 1), ('scale.0', 3)]
    """
    return list(_walk(tree))


def paths(tree: Tree) -> list[str]:
    """Returns the path of each leaf in the order of `flatten`."""
    return [path for path, _ in _walk(tree)]


@dataclass(frozen=True)
class At:
    """The part of `tree` at `path`, for reading or replacing it; see `at`."""

    tree: Tree
    path: str

    def get(self) -> Any:
        """Returns the leaf or subtree at the path."""
        return _find(self.tree, self.path)[0]

    def set(self, value: Any) -> Tree:
        """Returns a copy of the tree with `value` at the path."""
        return self.apply(lambda _: value)

    def apply(self, f: Callable[[Any], Any]) -> Tree:
        """Returns a copy of the tree in which `f` is applied to the leaf or subtree at the path."""
        return _replace(self.tree, _find(self.tree, self.path)[1], f)


def at(tree: Tree, path: str) -> At:
    """Addresses one leaf or subtree: `at(tree, path).get()`, `.set(value)`, `.apply(f)`. `tree` itself does not change.

    Keys may contain dots, as long as only one way to split the path into keys exists in the tree.

    Raises:
        KeyError: there is nothing at `path`, or several parts of the tree have this path.

    >>> at({"fc": {"weight": 1, "bias": 2}}, "fc.bias").apply(lambda bias: -bias)
    {'fc': {'weight': 1, 'bias': -2}}
    """
    return At(tree, path)


def difference(tree: Tree, other: Tree) -> str:
    """Describes how the paths of two trees differ, for error messages.

    >>> difference({"a": 1, "b": 2}, {"a": 1, "c": 2})
    "missing ['b'], unexpected ['c']"
    """
    mine, theirs = paths(tree), paths(other)
    missing = [path for path in mine if path not in theirs]
    extra = [path for path in theirs if path not in mine]
    if missing or extra:
        return f"missing {missing[:3] or 'nothing'}, unexpected {extra[:3] or 'nothing'}"
    return "the same paths in containers of other types"


def join_path(path: str | None, key: Any) -> str:
    """Returns the path of the child `key` of the part at `path`, which is None for the whole tree."""
    return str(key) if path is None else f"{path}.{key}"


def _walk(tree: Tree, path: str | None = None) -> Iterator[tuple[str, Any]]:
    parts = children(tree)
    if parts is None:
        yield path or "", tree
        return
    for key, child in parts:
        yield from _walk(child, join_path(path, key))


def _find(tree: Tree, path: str) -> tuple[Tree, list[int]]:
    """Returns the part of `tree` at `path`, and the index of the child that leads to it on each level."""
    found: list[tuple[Tree, list[int]]] = []
    if path == "" and children(tree) is None:
        return tree, []
    # Branches of the search: a subtree, the indices of the children that lead to it, its path, and the rest of `path`.
    branches: list[tuple[Tree, list[int], str | None, str]] = [(tree, [], None, path)]
    last = branches[0]
    while branches:
        last = branches[-1]
        further: list[tuple[Tree, list[int], str | None, str]] = []
        for node, steps, here, rest in branches:
            for index, (key, child) in enumerate(children(node) or ()):
                name = str(key)
                if rest == name:
                    found.append((child, [*steps, index]))
                elif rest.startswith(f"{name}."):
                    further.append((child, [*steps, index], join_path(here, key), rest[len(name) + 1 :]))
        branches = further
    if not found:
        node, _, here, rest = last
        where = "the tree" if here is None else f"'{here}'"
        names = ", ".join(str(key) for key, _ in children(node) or ()) or "no children"
        raise KeyError(f"tree.at: no '{rest.partition('.')[0]}' in {where}, which has {names}")
    if len(found) > 1:
        raise KeyError(
            f"tree.at: '{path}' leads to {len(found)} places; rename a key that has a dot, or is not a string"
        )
    return found[0]


def _replace(tree: Tree, steps: list[int], f: Callable[[Any], Any]) -> Tree:
    if not steps:
        return f(tree)
    parts = [child for _, child in children(tree) or ()]
    parts[steps[0]] = _replace(parts[steps[0]], steps[1:], f)
    return like(tree, parts)

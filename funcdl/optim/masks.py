"""Masks and labels: parameters chosen by path, pattern, predicate or a tree of bools."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from funcdl import tree
from funcdl.tree import Tree

Mask = str | Sequence[str] | Callable[[str, Tensor], bool] | Tree
Labels = Mapping[str, str] | Callable[[str, Tensor], str] | Tree


def resolve_mask(owner: str, mask: Mask) -> Callable[[Tree], list[bool]]:
    """Returns the function `params -> mask` with one bool for each leaf, in the order of `tree.leaves`.

    Args:
        owner: the name of the caller in error messages.
        mask: one or more patterns, a predicate `(path, leaf) -> bool`, or a tree of bools with the structure of the
            parameters. A pattern is the path of a leaf or of a subtree, and may contain the wildcards `*` (which also
            matches dots), `?` and `[...]`. A predicate may depend only on the shape, dtype and device of the leaf.

    Raises:
        ValueError: raised by the function if the mask matches no parameter, or is not a tree like the parameters.

    >>> resolve_mask("freeze", "*.bias")({"a": {"bias": 1, "weight": 2}, "b": {"bias": 3}})
    [True, False, True]
    """
    patterns: Any = [mask] if isinstance(mask, str) else mask if _is_list_of_patterns(mask) else []
    matchers = [(pattern, path_matcher(pattern)) for pattern in patterns]

    def choose(params: Tree) -> list[bool]:
        named = tree.leaves_with_paths(params)
        if matchers or patterns is mask:
            for pattern, matches in matchers:
                if named and not any(matches(path) for path, _ in named):
                    raise _no_match(owner, f"pattern {pattern!r}", params)
            chosen = [any(matches(path) for _, matches in matchers) for path, _ in named]
        elif callable(mask):
            chosen = [bool(mask(path, leaf)) for path, leaf in named]
        else:
            chosen = _leaves_like(owner, "mask", mask, params, bool)
        if named and not any(chosen):
            raise _no_match(owner, "mask", params)
        return chosen

    return choose


def resolve_labels(owner: str, labels: Labels, known: Sequence[str]) -> Callable[[Tree], list[str]]:
    """Returns the function `params -> labels` with one label for each leaf, in the order of `tree.leaves`.

    Args:
        owner: the name of the caller in error messages.
        labels: `{pattern: label}`, where the first pattern that matches a leaf counts; a function
            `(path, leaf) -> label`; or a tree of labels with the structure of the parameters.
        known: all valid labels.

    Raises:
        ValueError: raised by the function if a leaf has no valid label, or if a label or pattern matches no leaf.

    >>> label_leaves = resolve_labels("partition", {"head": "fast", "*": "slow"}, ["fast", "slow"])
    >>> label_leaves({"head": {"w": 1}, "body": {"w": 2}})
    ['slow', 'fast']
    """
    patterns = labels if isinstance(labels, Mapping) and all(isinstance(v, str) for v in labels.values()) else {}
    matchers = [(pattern, path_matcher(pattern), label) for pattern, label in patterns.items()]

    def label_of(path: str) -> str | None:
        return next((label for _, matches, label in matchers if matches(path)), None)

    def assign(params: Tree) -> list[str]:
        named = tree.leaves_with_paths(params)
        found: list[Any]
        if callable(labels):
            found = [labels(path, leaf) for path, leaf in named]
        elif patterns is labels and tree.structure(labels) != tree.structure(params):
            for pattern, matches, _ in matchers:
                if named and not any(matches(path) for path, _ in named):
                    raise _no_match(owner, f"pattern {pattern!r}", params)
            found = [label_of(path) for path, _ in named]
        else:
            found = _leaves_like(owner, "tree of labels", labels, params, str)
        for (path, _), label in zip(named, found, strict=True):
            if label not in known:
                raise ValueError(
                    f"{owner}: parameter '{path}' has {'no label' if label is None else f'the label {label!r}'}, "
                    f"expected one of {', '.join(map(repr, known))}; give it one of these, or add a transformation"
                )
        for label in known:
            if named and label not in found:
                raise ValueError(
                    f"{owner}: no parameter has the label {label!r}; leave its transformation out, or label one of "
                    f"{', '.join(path for path, _ in named[:5])}{', ...' if len(named) > 5 else ''}"
                )
        return found

    return assign


def path_matcher(pattern: str) -> Callable[[str], bool]:
    """Returns the function `path -> bool` that tests whether a pattern matches a leaf or a subtree that contains it.

    >>> [path_matcher("layer?.0")(path) for path in ("layer1.0", "layer1.0.weight", "layer1.05")]
    [True, True, False]
    """
    leaf, subtree = fnmatch.translate(pattern), fnmatch.translate(f"{pattern}.*")
    expression = re.compile(f"{leaf}|{subtree}")  # compiled here, because traced functions call the result
    return lambda path: expression.match(path) is not None


def mask_leaves(values: Tree, chosen: Sequence[bool]) -> Tree:
    """Returns `values` with an empty tuple in place of each leaf that is not chosen, like `tree.partition`.

    >>> mask_leaves({"a": 1, "b": 2}, [True, False])
    {'a': 1, 'b': ()}
    """
    leaves, structure = tree.flatten(values)
    return tree.unflatten(structure, [leaf if c else () for leaf, c in zip(leaves, chosen, strict=True)])


def _is_list_of_patterns(mask: Mask) -> bool:
    return (
        isinstance(mask, (list, tuple))
        and not tree.is_namedtuple(mask)
        and all(isinstance(pattern, str) for pattern in mask)
    )


def _leaves_like(owner: str, what: str, values: Tree, params: Tree, kind: type) -> list[Any]:
    leaves = tree.leaves(values)
    if tree.structure(values) != tree.structure(params) or not all(isinstance(leaf, kind) for leaf in leaves):
        theirs, ours = tree.paths(values), tree.paths(params)
        raise ValueError(
            f"{owner}: the {what} is not a tree of {kind.__name__} like the parameters: missing "
            f"{[p for p in ours if p not in theirs][:3] or 'nothing'}, unexpected "
            f"{[p for p in theirs if p not in ours][:3] or 'nothing'}; make it with tree.map_with_path(f, params), or "
            "pass a pattern or a function of path and leaf"
        )
    return leaves


def _no_match(owner: str, what: str, params: Tree) -> ValueError:
    paths = tree.paths(params)
    return ValueError(
        f"{owner}: the {what} matches no parameter; there are {', '.join(paths[:5])}{', ...' if len(paths) > 5 else ''}"
    )

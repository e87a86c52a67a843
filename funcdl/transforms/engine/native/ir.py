"""What a program is made of: buffers, views of them, and statements that read and write views in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

C_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "long",
    torch.int32: "int",
    torch.uint64: "unsigned long",
    torch.uint8: "unsigned char",
    torch.bool: "bool",
}


class NotSupported(Exception):
    """The compiler does not take this graph; the message says what it does not know."""


def c_type(dtype: torch.dtype) -> str:
    """The C++ type of numbers of a dtype.

    Raises:
        NotSupported: there is none here.
    """
    if dtype not in C_TYPES:
        raise NotSupported(f"{dtype}")
    return C_TYPES[dtype]


@dataclass(eq=False)
class Buffer:
    """A piece of memory.

    Attributes:
        name: of its pointer in C++.
        size: how many numbers it holds; 0 for an argument, whose memory is the caller's.
        dtype: of its numbers.
        kind: "temporary", "result", "argument" or "constant".
    """

    name: str
    size: int
    dtype: torch.dtype
    kind: str = "temporary"


@dataclass(frozen=True)
class View:
    """A tensor: which numbers of a buffer it reads.

    Attributes:
        buffer: where they lie.
        shape: its sizes.
        strides: how far apart neighbors along each dimension lie in the buffer.
        offset: where in the buffer the first one lies.
        dtype: what the numbers are read as; as long as those of the buffer.
        steps: for each loop around the view, its variable and how far the view moves in each iteration.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    steps: tuple[tuple[str, int], ...] = ()

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    def expand(self, shape: Sequence[int]) -> View:
        """The view of a larger shape that reads elements again along the dimensions that it lacks."""
        if self.shape == tuple(shape):
            return self
        missing = len(shape) - len(self.shape)
        strides = [0] * missing
        for size, stride, wanted in zip(self.shape, self.strides, shape[missing:], strict=True):
            if size not in (1, wanted):
                raise NotSupported(f"{self.shape} broadcast to {tuple(shape)}")
            strides.append(0 if size == 1 else stride)
        return View(self.buffer, tuple(shape), tuple(strides), self.offset, self.dtype, self.steps)


@dataclass(eq=False)
class Map:
    """`out[i] = expression(inputs[0][i], inputs[1][i], ...)` for each index of `out`.

    In the expression `{0}`, `{1}` ... stand for the inputs, and `{index}` for the index along the only dimension.
    """

    out: View
    expression: str
    inputs: tuple[View, ...] = ()


@dataclass(eq=False)
class Reduce:
    """`out[j] = ` the sum, maximum or minimum over the indices of `dims` of `x`; `out` keeps them, with size 1."""

    out: View
    kind: str
    x: View
    dims: tuple[int, ...]


@dataclass(eq=False)
class MatMul:
    """`out[..., i, j] = sum over k of a[..., i, k] b[..., k, j]`."""

    out: View
    a: View
    b: View


@dataclass(eq=False)
class Call:
    """C++ with `{0}`, `{1}` ... for pointers to the inputs and `{out0}`, `{out1}` ... for those to the outputs."""

    outs: tuple[View, ...]
    code: str
    inputs: tuple[View, ...]


@dataclass(eq=False)
class Loop:
    """`body`, once for each value of a variable from 0."""

    variable: str
    length: int
    body: list[Statement] = field(default_factory=list)


@dataclass(eq=False)
class Group:
    """Maps of one shape, which share a loop over the elements: each element goes through all of them in turn."""

    maps: list[Map]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the loop."""
        return self.maps[0].out.shape


Statement = Map | Reduce | MatMul | Call | Loop | Group


def reads(statement: Statement) -> Iterator[View]:
    """The views that a statement reads."""
    if isinstance(statement, Map):
        yield from statement.inputs
    elif isinstance(statement, Reduce):
        yield statement.x
    elif isinstance(statement, MatMul):
        yield from (statement.a, statement.b)
    elif isinstance(statement, Call):
        yield from statement.inputs
    else:
        for part in parts(statement):
            yield from reads(part)


def writes(statement: Statement) -> Iterator[View]:
    """The views that a statement writes."""
    if isinstance(statement, (Map, Reduce, MatMul)):
        yield statement.out
    elif isinstance(statement, Call):
        yield from statement.outs
    else:
        for part in parts(statement):
            yield from writes(part)


def parts(statement: Loop | Group) -> Sequence[Statement]:
    """The statements inside a loop or a group."""
    return statement.body if isinstance(statement, Loop) else statement.maps


def buffers(views: Iterable[View]) -> set[Buffer]:
    """The buffers of views."""
    return {view.buffer for view in views}


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a tensor of this shape without gaps, the last dimension fastest.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(math.prod(shape[dim + 1 :]) for dim in range(len(shape)))

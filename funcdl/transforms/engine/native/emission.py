"""Statements written out as C++."""

from __future__ import annotations

import math
from collections.abc import Sequence

from funcdl.transforms.engine.native import library
from funcdl.transforms.engine.native.fusion import read_outside, stored
from funcdl.transforms.engine.native.ir import (
    Buffer,
    Call,
    Group,
    Loop,
    MatMul,
    NotSupported,
    Reduce,
    Statement,
    View,
    c_type,
    reads,
    writes,
)

ALIGNMENT = 64  # bytes of a cache line, and of the widest vector
WIDTH = 32  # sums of a matrix product at a time
LANES = 16  # partial sums of a reduction, which compilers keep in vectors


class Program:
    """The source of a program, and what its function is called with.

    Attributes:
        source: C++ with `extern "C" void program(void** pointers)`.
        pointers: the buffers whose addresses the function gets, in order; after them comes that of the workspace.
        workspace: bytes of memory for all temporary buffers.
    """

    def __init__(self, statements: list[Statement], results: Sequence[Buffer]) -> None:
        self._outside = read_outside(statements, set(results))
        self._lines: list[str] = []
        self._depth = 1
        self._names = 0
        touched: dict[Buffer, None] = {}
        for statement in statements:
            touched |= dict.fromkeys(view.buffer for view in (*reads(statement), *writes(statement)))
        touched |= dict.fromkeys(results)
        self._block(statements)
        self.pointers = [buffer for buffer in touched if buffer.kind != "temporary"]
        written = {view.buffer for statement in statements for view in writes(statement)}
        head = []
        for index, buffer in enumerate(self.pointers):
            const = "" if buffer in written else "const "
            pointer = f"{const}{c_type(buffer.dtype)}*"
            head.append(f"    {pointer} __restrict__ const {buffer.name} = ({pointer})pointers[{index}];")
        self.workspace = 0
        body = "\n".join(self._lines)
        for buffer in touched:
            if buffer.kind == "temporary":
                number = c_type(buffer.dtype)
                place = f"((char*)pointers[{len(self.pointers)}] + {self.workspace})"
                head.append(f"    {number}* __restrict__ const {buffer.name} = ({number}*){place};")
                self.workspace += -(-buffer.size * buffer.dtype.itemsize // ALIGNMENT) * ALIGNMENT
        philox = library.PHILOX if "philox_" in body else ""
        lines = "\n".join(head)
        self.source = f'{library.SOURCE}{philox}\nextern "C" void program(void** pointers) {{\n{lines}\n{body}\n}}\n'

    # Writing lines.

    def _write(self, line: str) -> None:
        self._lines.append("    " * self._depth + line)

    def _open(self, line: str) -> None:
        self._write(f"{line} {{")
        self._depth += 1

    def _close(self, count: int = 1) -> None:
        for _ in range(count):
            self._depth -= 1
            self._write("}")

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    # Addresses.

    def _pointer(self, view: View) -> str:
        name = view.buffer.name
        if view.dtype != view.buffer.dtype:
            name = f"(({c_type(view.dtype)}*){name})"
        moves = [f"{variable} * {stride}" for variable, stride in view.steps if stride]
        if view.offset:
            moves.append(str(view.offset))
        return f"({name} + {' + '.join(moves)})" if moves else name

    def _element(self, view: View, indices: Sequence[str]) -> str:
        """The element of a view at these indices, one for each dimension."""
        terms = [
            index if stride == 1 else f"{index} * {stride}"
            for index, size, stride in zip(indices, view.shape, view.strides, strict=True)
            if size != 1 and stride != 0
        ]
        return f"{self._pointer(view)}[{' + '.join(terms) or '0'}]"

    # Statements.

    def _block(self, statements: list[Statement]) -> None:
        for statement in statements:
            if isinstance(statement, Loop):
                variable = statement.variable
                self._open(f"for (long {variable} = 0; {variable} < {statement.length}; {variable}++)")
                self._block(statement.body)
                self._close()
            elif isinstance(statement, Group):
                self._group(statement)
            elif isinstance(statement, Reduce):
                self._reduce(statement)
            elif isinstance(statement, MatMul):
                self._matmul(statement)
            elif isinstance(statement, Call):
                inputs = [f"({self._pointer(view)})" for view in statement.inputs]
                outs = {f"out{index}": f"({self._pointer(view)})" for index, view in enumerate(statement.outs)}
                self._write(statement.code.format(*inputs, **outs))
            else:
                raise NotSupported(f"{type(statement).__name__} outside of a group")

    def _group(self, group: Group) -> None:
        """Loops over the elements; each map's result is a variable, for the maps after it."""
        kept = stored(group, self._outside[group])
        made: set[Buffer] = set()
        loaded: dict[View, None] = {}
        for one in group.maps:
            loaded |= dict.fromkeys(view for view in one.inputs if view.buffer not in made)
            made.add(one.out.buffer)
        views = [*loaded, *(one.out for one in kept)]
        dims = _merged_dims(group.maps[-1].out, views)
        names = [self._name("i") for _ in dims]

        def element(view: View) -> str:
            terms = []
            for name, dim in zip(names, dims, strict=True):
                stride = view.strides[dim[-1]]
                if stride:
                    terms.append(name if stride == 1 else f"{name} * {stride}")
            return f"{self._pointer(view)}[{' + '.join(terms) or '0'}]"

        for level, (name, dim) in enumerate(zip(names, dims, strict=True)):
            if level == len(names) - 1:
                self._write("#pragma GCC ivdep")
            size = math.prod(group.shape[d] for d in dim)
            self._open(f"for (long {name} = 0; {name} < {size}; {name}++)")
        if not names:
            self._open("")
        values: dict[View | Buffer, str] = {}
        for one in group.maps:
            words = []
            for view in one.inputs:
                if view.buffer in values:
                    words.append(values[view.buffer])
                    continue
                if view not in values:
                    values[view] = self._name("v")
                    self._write(f"const {c_type(view.dtype)} {values[view]} = {element(view)};")
                words.append(values[view])
            result, number = self._name("v"), c_type(one.out.dtype)
            index = names[0] if names else "0"
            expression = one.expression.format(*words, index=index)
            self._write(f"const {number} {result} = ({number})({expression});")
            values[one.out.buffer] = result
        last = {one.out.buffer: one for one in kept}
        for one in last.values():
            self._write(f"{element(one.out)} = {values[one.out.buffer]};")
        self._close(max(1, len(names)))

    def _reduce(self, statement: Reduce) -> None:
        """Sums in a fixed order: by `LANES` where neighbors are added up, else one after the other."""
        x, out, number = statement.x, statement.out, c_type(statement.out.dtype)
        start, combine = {
            "sum": ("0", "{0} += {1};"),
            "larger": (None, "{0} = larger({0}, {1});"),
            "smaller": (None, "{0} = smaller({0}, {1});"),
        }[statement.kind]
        names = [self._name("i") if size != 1 else "0" for size in x.shape]
        over = [dim for dim in statement.dims if x.shape[dim] != 1]
        kept = [dim for dim in range(len(x.shape)) if dim not in over and x.shape[dim] != 1]
        over.sort(key=lambda dim: -x.strides[dim])
        kept.sort(key=lambda dim: -x.strides[dim])
        first = self._element(x, ["0" if dim in over else name for dim, name in enumerate(names)])

        def loop(dim: int, size: int | None = None) -> None:
            self._open(f"for (long {names[dim]} = 0; {names[dim]} < {size or x.shape[dim]}; {names[dim]}++)")

        total = self._name("s")
        if kept and over and x.strides[kept[-1]] == 1 and x.strides[over[-1]] != 1:
            # The elements that stay lie side by side: rows are added to a row of sums.
            inner = kept[-1]
            for dim in kept[:-1]:
                loop(dim)
            self._open("")
            self._write(f"{number} {total}[{x.shape[inner]}];")
            loop(inner)
            self._write(f"{total}[{names[inner]}] = {first if start is None else start};")
            self._close()
            for dim in over:
                loop(dim)
            loop(inner)
            self._write(combine.format(f"{total}[{names[inner]}]", self._element(x, names)))
            self._close(1 + len(over))
            loop(inner)
            self._write(f"{self._element(out, names)} = {total}[{names[inner]}];")
            self._close(2 + len(kept[:-1]))
            return
        for dim in kept:
            loop(dim)
        self._open("")
        lanes = LANES if statement.kind == "sum" and over and x.shape[over[-1]] >= 2 * LANES else 1
        if lanes == 1:
            self._write(f"{number} {total} = {first if start is None else start};")
            for dim in over:
                loop(dim)
            self._write(combine.format(total, self._element(x, names)))
            self._close(len(over))
        else:
            inner = over[-1]
            whole = x.shape[inner] // lanes * lanes
            self._write(f"{number} {total}_lanes[{lanes}] = {{}}, {total} = 0;")
            for dim in over[:-1]:
                loop(dim)
            self._open(
                f"for (long block = 0; block < {whole}; block += {lanes}) for (long lane = 0; lane < {lanes}; lane++)"
            )
            at = ["(block + lane)" if dim == inner else name for dim, name in enumerate(names)]
            self._write(f"{total}_lanes[lane] += {self._element(x, at)};")
            self._close()
            self._open(f"for (long {names[inner]} = {whole}; {names[inner]} < {x.shape[inner]}; {names[inner]}++)")
            self._write(f"{total} += {self._element(x, names)};")
            self._close(1 + len(over[:-1]))
            self._write(f"for (long lane = 0; lane < {lanes}; lane++) {total} += {total}_lanes[lane];")
        self._write(f"{self._element(out, names)} = {total};")
        self._close(1 + len(kept))

    def _matmul(self, statement: MatMul) -> None:
        """Adds up over `k` in order, a row of the result at a time, whose numbers lie side by side in vectors."""
        a, b, out, number = statement.a, statement.b, statement.out, c_type(statement.out.dtype)
        *batch, rows, inner = a.shape
        columns = b.shape[-1]
        names = [self._name("n") for _ in batch]
        for name, size in zip(names, batch, strict=True):
            self._open(f"for (long {name} = 0; {name} < {size}; {name}++)")
        # The longer side of the result goes into vectors; for the rows, everything is read transposed.
        by_rows = _padded(columns) * rows > _padded(rows) * columns
        length, others = (rows, columns) if by_rows else (columns, rows)
        padded = _padded(length)

        def scalar(other: str, k: str) -> str:
            return self._element(b, [*names, k, other]) if by_rows else self._element(a, [*names, other, k])

        def vector(k: str, lane: str) -> str:
            return self._element(a, [*names, lane, k]) if by_rows else self._element(b, [*names, k, lane])

        def result(other: str, lane: str) -> str:
            return self._element(out, [*names, lane, other] if by_rows else [*names, other, lane])

        stride = (a.strides[-2] if by_rows else b.strides[-1]) if length > 1 else 1
        packed = self._name("p") if stride != 1 or padded != length else None
        self._open("")
        if packed:  # copied once, side by side
            self._write(f"{number} {packed}[{inner * padded}] __attribute__((aligned({ALIGNMENT})));")
            self._open(f"for (long k = 0; k < {inner}; k++)")
            self._write(f"for (long j = 0; j < {length}; j++) {packed}[k * {padded} + j] = {vector('k', 'j')};")
            if padded != length:
                self._write(f"for (long j = {length}; j < {padded}; j++) {packed}[k * {padded} + j] = 0;")
            self._close()
        width = min(padded, WIDTH)
        sums = self._name("s")
        self._open(f"for (long r = 0; r < {others}; r++) for (long start = 0; start < {padded}; start += {width})")
        self._write(f"{number} {sums}[{width}] __attribute__((aligned({ALIGNMENT}))) = {{}};")
        self._open(f"for (long k = 0; k < {inner}; k++)")
        self._write(f"const {number} x = {scalar('r', 'k')};")
        self._write("#pragma GCC ivdep")
        lane = f"{packed}[k * {padded} + start + j]" if packed else vector("k", "(start + j)")
        self._write(f"for (long j = 0; j < {width}; j++) {sums}[j] += x * {lane};")
        self._close()
        end = f"({width} < {length} - start ? {width} : {length} - start)" if padded != length else width
        self._write(f"for (long j = 0; j < {end}; j++) {result('r', '(start + j)')} = {sums}[j];")
        self._close(2 + len(names))


def _padded(length: int) -> int:
    """The length of the vectors for so many numbers: a few, or whole blocks."""
    for width in (1, 2, 4, 8, 16):
        if length <= width:
            return width
    return -(-length // WIDTH) * WIDTH


def _merged_dims(out: View, views: list[View]) -> list[list[int]]:
    """The dimensions to loop over, the widest strides first; those that all views walk through as one are together."""
    order = sorted((dim for dim, size in enumerate(out.shape) if size != 1), key=lambda dim: -out.strides[dim])
    merged: list[list[int]] = []
    for dim in order:
        above = merged[-1][-1] if merged else None
        if above is not None and all(view.strides[above] == view.strides[dim] * view.shape[dim] for view in views):
            merged[-1].append(dim)
        else:
            merged.append([dim])
    return merged

"""A traced graph as a function that runs its program."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.fx import GraphModule

from funcdl import _torch
from funcdl.transforms.engine.aliasing import aliased_args
from funcdl.transforms.engine.native import compiler, fusion
from funcdl.transforms.engine.native.emission import Program
from funcdl.transforms.engine.native.ir import Buffer, Loop, Map, MatMul, NotSupported, Reduce, Statement, View
from funcdl.transforms.engine.native.lowering import Lowering

# Beyond these Inductor's loops on several threads and its matrix products are faster: measured on two cores with
# AVX-512, where both take 20 us for a product of 2^16 and 15 us for a tanh and an exp of 2^12 numbers.
MOST_ELEMENTS = 2**12  # of a map or a reduction
MOST_PRODUCTS = 2**16  # of a matrix product: rows x inner x columns
IN_LOOPS = 4  # times as many, since Inductor's own cost of an iteration is larger than that of a call
MOST_PACKED = 2**14  # numbers of a matrix that lies on the stack while it is multiplied
MOST_STATEMENTS = 4000  # a compiler's time grows with them
MOST_WORKSPACE = 2**23  # bytes


def compile_graph(graph: GraphModule) -> Callable[..., list[Tensor]]:
    """Returns a function that computes what a traced graph does, from the same arguments.

    Raises:
        NotSupported: the graph has an operation, a dtype, a device or a size that this compiler does not take.
    """
    placeholders = graph.graph.find_nodes(op="placeholder")
    examples = [node.meta["val"] for node in placeholders]
    if not placeholders:
        raise NotSupported("a graph without arguments")
    _refuse_large_results(graph)
    lowering = Lowering()
    arguments = [lowering.argument(example) for example in examples]
    results = lowering.run(graph, arguments)
    storages = _torch.storage_ids(examples)
    for index, argument in enumerate(arguments):
        if argument.buffer in lowering.written and storages.count(storages[index]) > 1:
            raise NotSupported("a write into memory that two arguments share")
    statements = lowering.statements
    _refuse_large(statements)
    for result in results:
        if result.steps or result.buffer.kind == "constant":
            raise NotSupported("a result that lies in a loop, or is a tensor that the function closes over")
        if result.buffer.kind == "temporary":
            result.buffer.kind = "result"
    fresh = list(dict.fromkeys(view.buffer for view in results if view.buffer.kind == "result"))
    statements = fusion.join_maps(fusion.drop_unread(statements, set(fresh)))
    program = Program(statements, fresh)
    if program.workspace > MOST_WORKSPACE:
        raise NotSupported(f"{program.workspace} bytes of temporary results")
    return _runner(program, compiler.load(program.source), arguments, results, lowering)


def _refuse_large_results(graph: GraphModule) -> None:
    """Sees at once that a program is not a small one, before anything is lowered."""
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        computes = isinstance(node.target, _torch.OpOverload) and not aliased_args(node)  # and is no view
        if computes and isinstance(value, Tensor) and value.numel() > MOST_ELEMENTS:
            raise NotSupported("a large tensor")


def _refuse_large(statements: Sequence[Statement], most: int = 1) -> int:
    """Refuses statements that compute more than `most` times what is small; returns how many there are."""
    count = 0
    for statement in statements:
        count += 1
        if isinstance(statement, Loop):
            count += _refuse_large(statement.body, IN_LOOPS)
        elif isinstance(statement, MatMul):
            *batch, rows, inner = statement.a.shape
            columns = statement.b.shape[-1]
            products = math.prod(batch) * rows * inner * columns
            if products > most * MOST_PRODUCTS or inner * max(rows, columns) > MOST_PACKED:
                raise NotSupported("a large matrix product")
        elif isinstance(statement, (Map, Reduce)):
            view = statement.out if isinstance(statement, Map) else statement.x
            if view.numel > most * MOST_ELEMENTS:
                raise NotSupported("a large tensor")
    if count > MOST_STATEMENTS:
        raise NotSupported("a program of many statements")
    return count


def _runner(
    program: Program,
    function: Callable[[int], None],
    arguments: Sequence[View],
    results: Sequence[View],
    lowering: Lowering,
) -> Callable[..., list[Tensor]]:
    """The function of tensors around the function of pointers."""
    number = {argument.buffer: index for index, argument in enumerate(arguments)}
    made = [buffer for buffer in program.pointers if buffer.kind == "result"]
    places: dict[Buffer, int] = {buffer: index for index, buffer in enumerate(program.pointers)}
    from_arguments = [(places[buffer], number[buffer]) for buffer in program.pointers if buffer in number]
    from_constants = [(places[buffer], value) for buffer, value in lowering.constants if buffer in places]
    no_pointers = [0] * (len(program.pointers) + 1)
    owner = {buffer: next(view for view in results if view.buffer is buffer) for buffer in made}
    makers = [_maker(buffer, owner[buffer]) for buffer in made]
    made_places = [places[buffer] for buffer in made]
    made_numbers = {buffer: index for index, buffer in enumerate(made)}
    written = [number[buffer] for buffer in lowering.written]
    finish = [_result(view, arguments, number, made_numbers, owner) for view in results]
    workspace, last = program.workspace, len(program.pointers)
    empty, data_ptr, uint8, cpu = torch.empty, Tensor.data_ptr, torch.uint8, torch.device("cpu")

    def run(*inputs: Tensor) -> list[Tensor]:
        pointers = array("Q", no_pointers)
        for place, constant in from_constants:
            pointers[place] = data_ptr(constant)
        for place, index in from_arguments:
            pointers[place] = data_ptr(inputs[index])
        outputs = [make() for make in makers]
        for place, output in zip(made_places, outputs, strict=True):
            pointers[place] = data_ptr(output)
        memory = empty(workspace, dtype=uint8, device=cpu) if workspace else None
        if memory is not None:
            pointers[last] = data_ptr(memory)
        function(pointers.buffer_info()[0])
        if written:
            increment_version([inputs[index] for index in written])
        return [one(inputs, outputs) for one in finish]

    return run


def _maker(buffer: Buffer, view: View) -> Callable[[], Tensor]:
    """Makes the memory of a result: as the tensor itself, where it is all of the buffer."""
    if view.numel == buffer.size and view.offset == 0 and view.dtype == buffer.dtype:
        shape, strides, dtype = view.shape, view.strides, view.dtype
        return lambda: torch.empty_strided(shape, strides, dtype=dtype, device="cpu")
    size, dtype = buffer.size, buffer.dtype
    return lambda: torch.empty(size, dtype=dtype, device="cpu")


def _result(
    view: View,
    arguments: Sequence[View],
    number: dict[Buffer, int],
    made: dict[Buffer, int],
    owner: dict[Buffer, View],
) -> Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]:
    """Finds a result after a run: an argument, a fresh tensor, or a view of one."""
    shape, strides, offset, dtype = view.shape, view.strides, view.offset, view.dtype
    if view.buffer in number:
        index = number[view.buffer]
        if view == arguments[index]:
            return lambda inputs, outputs: inputs[index]
        return lambda inputs, outputs: _view_as(inputs[index], dtype).as_strided(
            shape, strides, inputs[index].storage_offset() + offset
        )
    index = made[view.buffer]
    if view == owner[view.buffer] and view.numel == view.buffer.size and offset == 0 and dtype == view.buffer.dtype:
        return lambda inputs, outputs: outputs[index]
    return lambda inputs, outputs: _view_as(outputs[index], dtype).as_strided(shape, strides, offset)


def _view_as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor if tensor.dtype == dtype else tensor.view(dtype)

"""Fewer statements, and fewer loops over elements: what nobody reads goes, and maps of one shape share a loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from funcdl.transforms.engine.native.ir import Buffer, Group, Loop, Map, Statement, buffers, reads, writes

REACH = 400  # statements to look back for a loop to join: what is further away is seldom found


def drop_unread(statements: list[Statement], results: set[Buffer]) -> list[Statement]:
    """The statements without those whose buffers nobody reads; `results` are read after the last of them."""
    read = set(results)
    kept: list[Statement] = []
    for statement in reversed(statements):
        if isinstance(statement, Loop):  # what an iteration reads, the one before it may have written
            before: set[Buffer] = set()
            while before != read:
                before = set(read)
                read |= {view.buffer for part in statement.body if not _is_dead(part, read) for view in reads(part)}
            statement.body = drop_unread(statement.body, read)
            if statement.body:
                kept.append(statement)
        elif not _is_dead(statement, read):
            read |= buffers(reads(statement))
            kept.append(statement)
    return kept[::-1]


def _is_dead(statement: Statement, read: set[Buffer]) -> bool:
    return all(view.buffer.kind in ("temporary", "result") and view.buffer not in read for view in writes(statement))


def join_maps(statements: list[Statement]) -> list[Statement]:
    """The statements with maps of one shape in groups.

    A map joins an earlier group if each statement between the two could as well run after it. In a group each element
    goes through all maps in turn, so that what one has written another may read at the same place only.
    """
    joined: list[Statement] = []
    touched: list[tuple[set[Buffer], set[Buffer]]] = []  # what each reads and writes
    for statement in statements:
        if isinstance(statement, Loop):
            statement.body = join_maps(statement.body)
        mine = buffers(reads(statement)), buffers(writes(statement))
        place = _place(statement, mine, joined, touched) if isinstance(statement, Map) else None
        if place is not None:
            joined[place].maps.append(statement)  # type: ignore[union-attr, arg-type]
            touched[place] = touched[place][0] | mine[0], touched[place][1] | mine[1]
        else:
            joined.append(Group([statement]) if isinstance(statement, Map) else statement)
            touched.append(mine)
    return joined


def _place(
    statement: Map,
    mine: tuple[set[Buffer], set[Buffer]],
    joined: list[Statement],
    touched: list[tuple[set[Buffer], set[Buffer]]],
) -> int | None:
    """The number of the group to join, the latest that is possible."""
    read, written = mine
    for index in range(len(joined) - 1, max(-1, len(joined) - 1 - REACH), -1):
        candidate = joined[index]
        if isinstance(candidate, Group) and candidate.shape == statement.out.shape and _agrees(statement, candidate):
            return index
        reads_before, writes_before = touched[index]
        if read & writes_before or written & (reads_before | writes_before):
            return None
    return None


def _agrees(statement: Map, group: Group) -> bool:
    """Whether a map and those of a group touch what they both touch, and one writes, at the same place."""
    if "{index}" in statement.expression and len(statement.out.shape) != 1:
        return False
    for other in group.maps:
        for view in (*other.inputs, other.out):
            if view.buffer is statement.out.buffer and view != statement.out:
                return False
        for view in statement.inputs:
            if view.buffer is other.out.buffer and view != other.out:
                return False
    return True


def stored(group: Group, outside: set[Buffer]) -> list[Map]:
    """The maps of a group whose results have to reach memory: others, `outside`, read them there."""
    return [one for one in group.maps if one.out.buffer.kind != "temporary" or one.out.buffer in outside]


def read_outside(statements: list[Statement], results: set[Buffer]) -> dict[Group, set[Buffer]]:
    """For each group the buffers that something else reads: other statements, the next iteration, or the caller."""
    flat = list(_flattened(statements))
    readers = Counter(buffer for statement in flat for buffer in buffers(reads(statement)))
    found = {}
    for group in (statement for statement in flat if isinstance(statement, Group)):
        own = buffers(reads(group))
        within = _first_written(group)
        found[group] = {
            buffer
            for buffer in buffers(writes(group))
            if buffer in results or readers[buffer] > (buffer in own) or buffer not in within
        }
    return found


def _flattened(statements: list[Statement]) -> Iterator[Statement]:
    for statement in statements:
        if isinstance(statement, Loop):
            yield from _flattened(statement.body)
        else:
            yield statement


def _first_written(group: Group) -> set[Buffer]:
    """The buffers that a group does not read before it has written them."""
    read: set[Buffer] = set()
    written: set[Buffer] = set()
    for one in group.maps:
        read |= {view.buffer for view in one.inputs if view.buffer not in written}
        written.add(one.out.buffer)
    return written - read

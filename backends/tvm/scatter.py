"""Writing at computed places and running totals, as loops in the order of `evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ir import Op
from ...ir.ops import Cumulative, ScatterElements, ScatterRows
from .loops import Loops, Memory, loop, over, where, whole
from .packages import Expr, kind_of, tirx
from .spelling import literal

SCATTERS = (Cumulative, ScatterElements, ScatterRows)


def scatter_loops(op: Op) -> Loops:
    """The function of a scatter or a running total."""
    memory = Memory(op)
    body = next(write for kind, write in BODIES.items() if isinstance(op, kind))
    return memory.written(lambda: body(op, memory), {})


def _elements(op: ScatterElements, memory: Memory) -> None:
    _copy(op, memory)
    extent = op.data.shape[op.axis]
    with over(op.indices.shape) as place:
        found = memory.at(op.indices, *place)
        with where(_is_inside(found, extent)):
            target = [*place[: op.axis], _wrapped(found, extent), *place[op.axis + 1 :]]
            _write(op, memory, target, memory.at(op.updates, *place))


def _rows(op: ScatterRows, memory: Memory) -> None:
    _copy(op, memory)
    extents = op.data.shape[: op.depth]
    with over(op.indices.shape[:-1]) as place:
        found = [memory.at(op.indices, *place, whole(axis)) for axis in range(op.depth)]
        inside = [_is_inside(one, extent) for one, extent in zip(found, extents, strict=True)]
        target = [_wrapped(one, extent) for one, extent in zip(found, extents, strict=True)]
        with where(tirx.all(*inside)), over(op.data.shape[op.depth :], "r") as rest:
            _write(op, memory, [*target, *rest], memory.at(op.updates, *place, *rest))


def _copy(op: ScatterElements | ScatterRows, memory: Memory) -> None:
    with over(op.data.shape) as place:
        memory.store(memory.at(op.data, *place), *place)


def _write(op: ScatterElements | ScatterRows, memory: Memory, place: Sequence[Expr], update: Expr) -> None:
    memory.store(JOINS[op.reduction](memory.at(op.result, *place), update), *place)


def _is_inside(index: Expr, extent: int) -> Expr:
    return tirx.all(index >= tirx.const(-extent, "int64"), index < tirx.const(extent, "int64"))


def _wrapped(index: Expr, extent: int) -> Expr:
    narrow = tirx.Cast("int32", index)
    return tirx.Select(narrow < 0, narrow + extent, narrow)


def _unordered(wins: Expr, a: Expr) -> Expr:
    """Whether the first of two stays: it wins, or it is NaN."""
    return tirx.any(wins, a != a) if kind_of(a).startswith("float") else wins


JOINS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "none": lambda a, b: b,
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "max": lambda a, b: tirx.Select(_unordered(b < a, a), a, b),
    "min": lambda a, b: tirx.Select(_unordered(a < b, a), a, b),
}
"""What becomes of an element and the update that it meets."""


def _totals(op: Cumulative, memory: Memory) -> None:
    join, start = (JOINS["add"], 0) if op.kind == "sum" else (JOINS["mul"], 1)
    extent = op.x.shape[op.axis]
    with over([*op.x.shape[: op.axis], *op.x.shape[op.axis + 1 :]]) as others:

        def along(step: Expr) -> tuple[Expr, ...]:
            at = extent - 1 - step if op.reverse else step
            return (*others[: op.axis], at, *others[op.axis :])

        first = along(whole(0))
        memory.store(literal(start, op.x.dtype) if op.exclusive else memory.at(op.x, *first), *first)
        with loop("step", extent - 1) as before:
            place, last = along(before + 1), along(before)
            more = memory.at(op.x, *(last if op.exclusive else place))
            memory.store(join(memory.at(op.result, *last), more), *place)


BODIES: dict[type, Callable[..., None]] = {ScatterElements: _elements, ScatterRows: _rows, Cumulative: _totals}
"""What writes the statements of an op."""

"""A graph for one sample made to take several at once: numpy and its matrix products are much faster that way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import EdgecError
from ..ir import Graph, Op, Value
from ..ir.ops import (
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Elementwise,
    Expand,
    LayerNorm,
    MatMul,
    Pad,
    Pool,
    Reduce,
    Relayout,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Transpose,
)


def rebatched(graph: Graph, count: int) -> Graph | None:
    """The graph with `count` in the place of a leading 1 of every input; None where samples would mix."""
    if count == 1 and all(v.shape for v in graph.inputs):
        return graph
    if not all(v.shape[:1] == (1,) for v in (*graph.inputs, *graph.outputs)):
        return None
    made = Graph(graph.name)
    table = {v: made.input(v.type.with_shape((count, *v.shape[1:])), v.name) for v in graph.inputs}
    wide = set(graph.inputs)
    for op in graph:
        new = _rebatched_op(op, table, wide, count)
        if new is None:
            return None
        made.add(new)
        table.update(zip(op.results, new.results, strict=True))
    if not all(v in wide for v in graph.outputs):
        return None
    made.set_outputs([table[v] for v in graph.outputs], graph.output_names)
    return made


def _rebatched_op(op: Op, table: dict[Value, Value], wide: set[Value], count: int) -> Op | None:
    """The op on wide operands, None where it would mix samples; notes which results are wide."""
    carried = [v in wide for v in op.operands]
    try:
        if not any(carried):
            return _copied(op, table)
        if not _keeps_samples(op, carried):
            return None
        new = op.replace(**{**_mapped(op, table), **_changes(op, count)})
    except EdgecError:
        return None
    expected = [(count, *r.shape[1:]) for r in op.results]
    if [r.shape for r in new.results] != expected or any(r.shape[:1] != (1,) for r in op.results):
        return None
    wide.update(op.results)
    return new if isinstance(new, Op) else None


def _copied(op: Op, table: dict[Value, Value]) -> Op:
    made: Op = op.with_operands(table.__getitem__)
    return made


def _mapped(op: Op, table: dict[Value, Value]) -> dict[str, Any]:
    def swapped(value: Any) -> Any:
        return tuple(table[v] for v in value) if isinstance(value, tuple) else None if value is None else table[value]

    return {f.name: swapped(getattr(op, f.name)) for f in op.operand_fields()}


def _changes(op: Op, count: int) -> dict[str, Any]:
    """The attributes that hold the leading 1."""
    if isinstance(op, Reshape | Expand):
        return {"shape": (count, *op.shape[1:])}
    if isinstance(op, Slice | Resize):
        return {"sizes": (count, *op.sizes[1:])}
    if isinstance(op, Reduce) and op.axes[:1] == (0,):
        return {"axes": op.axes[1:]}
    return {}


def _first_only(op: Op, carried: list[bool]) -> bool:
    return carried[0] and not any(carried[1:])


def _broadcasts(op: Op, carried: list[bool]) -> bool:
    """Each wide operand leads with the samples, each other one does not reach that axis or is 1 there."""
    rank = op.type.rank
    pairs = zip(op.operands, carried, strict=True)
    return all(v.rank == rank if wide else v.rank < rank or v.shape[0] == 1 for v, wide in pairs)


def _product(op: Any, carried: list[bool]) -> bool:
    if op.a.rank < 2 or op.b.rank < 2 or not carried[0]:
        return False
    return bool(op.b.rank == 2 if not carried[1] else op.a.rank == op.b.rank > 2)


KEEPS: dict[type[Op], Callable[[Any, list[bool]], bool]] = {
    Elementwise: _broadcasts,
    Conv: _first_only,
    ConvTranspose: _first_only,
    Pool: _first_only,
    Resize: _first_only,
    Relayout: _first_only,
    Reshape: _first_only,
    Expand: _first_only,
    MatMul: _product,
    Concat: lambda op, carried: all(carried) and op.axis != 0,
    Pad: lambda op, carried: not op.pads[0] and not op.pads[op.x.rank],
    Slice: lambda op, carried: op.starts[0] == 0,
    Transpose: lambda op, carried: op.perm[0] == 0,
    Softmax: lambda op, carried: op.axis != 0,
    LayerNorm: lambda op, carried: op.axis != 0 and not any(carried[1:]),
    Reduce: lambda op, carried: 0 not in op.axes or (op.keepdims and len(op.axes) > 1),
}


def _keeps_samples(op: Op, carried: list[bool]) -> bool:
    check = next((KEEPS[kind] for kind in KEEPS if isinstance(op, kind)), None)
    return check is not None and not isinstance(op, Constant) and check(op, carried)

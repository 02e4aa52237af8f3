"""Contractions of any element type over strides, as loops: a sum, of floats in double precision, for each place."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Value
from ...ir.ops import Contract
from .contraction import least
from .functions import number
from .loops import Loops, Memory, over, whole
from .packages import Expr, statements, tirx
from .scatter import JOINS
from .spelling import DTYPES, literal


def strided_loops(op: Contract) -> Loops:
    """The function of a contraction."""
    memory = Memory(op)
    return memory.written(lambda: _body(op, memory), {})


def _body(op: Contract, memory: Memory) -> None:
    kind = DTYPES[op.x.dtype.name]
    wide = "float64" if op.x.dtype.is_float and op.reduction == "add" else kind
    start = least(kind) if op.reduction == "max" else number(0.0, wide) if wide != kind else literal(0, op.x.dtype)
    with over(op.shape) as place:
        total = statements.alloc_buffer((1,), wide, scope="local", layout=None)
        statements.buffer_store(total, start, [whole(0)])
        with over(op.reduced, "r") as step:
            index = (*place, *step)
            term = tirx.Cast(wide, _element(op.x, op.x_strides, index, memory))
            if op.w is not None:
                term = term * tirx.Cast(wide, _element(op.w, op.w_strides, index, memory))
            statements.buffer_store(total, JOINS[op.reduction](total[0], term), [whole(0)])
        memory.store(tirx.Cast(kind, total[0]), *place)


def _element(value: Value, strides: Sequence[int], index: Sequence[Expr], memory: Memory) -> Expr:
    """The element that strides over a row-major tensor lead to."""
    at: Expr = whole(0)
    for i, stride in zip(index, strides, strict=True):
        at = at + i * stride
    place: list[Expr] = []
    for extent in reversed(value.shape[1:]):
        place.append(tirx.floormod(at, extent))
        at = tirx.floordiv(at, extent)
    return memory.at(value, *([at] if value.rank else []), *reversed(place))

"""Loops that look for the place of an extreme element."""

from __future__ import annotations

from ...ir.ops import ArgReduce
from ...passes.places import Place
from . import spelling
from .affine import ZERO, Affine, address
from .code import Assign, Convert, Declare, Element, Expression, For, If, Infix, Name, Prefix, Statement, size, variable


def arg_reduce(op: ArgReduce, source: Place, target: Place) -> tuple[list[Statement], int]:
    """Statements over tasks begin .. end, and the number of tasks: the extent of the outermost kept dimension."""
    kept = [a for a in range(op.x.rank) if a != op.axis and op.x.shape[a] != 1]
    index = tuple(Affine.variable(f"i{a}") if a in kept else ZERO for a in range(op.x.rank))
    along = tuple(Affine.variable("k") if a == op.axis else i for a, i in enumerate(index))
    ctype = spelling.CTYPES[op.x.dtype.name]
    element = Element("x0", address(along, source.strides))
    place = index if op.keepdims else tuple(i for a, i in enumerate(index) if a != op.axis)
    body: list[Statement] = [
        Declare(ctype, "best", Element("x0", address(index, source.strides)), constant=False),
        Declare("size_t", "found", size(0), constant=False),
        For("k", size(1), size(op.x.shape[op.axis]), size(1), [
            Declare(ctype, "candidate", element),
            If(_better(op), [Assign(Name("best"), Name("candidate")), Assign(Name("found"), variable("k"))]),
        ]),
        Assign(Element("y", address(place, target.strides)), Convert("int64_t", Name("found"))),
    ]  # fmt: skip
    if not kept:
        return [If(Infix("<", Name("begin"), Name("end")), body)], 1
    for axis in reversed(kept[1:]):
        body = [For(f"i{axis}", size(0), size(op.x.shape[axis]), size(1), body)]
    return [For(f"i{kept[0]}", Name("begin"), Name("end"), size(1), body)], op.x.shape[kept[0]]


def _better(op: ArgReduce) -> Expression:
    """Whether a candidate takes the place of the best so far; of floats, NaN is the best of all."""
    ahead, behind = (">", "<") if op.kind == "max" else ("<", ">")
    candidate, best = Name("candidate"), Name("best")
    if not op.x.dtype.is_float:
        return Infix(f"{ahead}=" if op.last else ahead, candidate, best)
    if op.last:
        return Infix("||", Infix(f"{ahead}=", candidate, best), Infix("!=", candidate, candidate))
    return Infix("&&", Prefix("!", Infix(f"{behind}=", candidate, best)), Infix("==", best, best))

"""One kernel's worth of work: ops, the places they read and the place they write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...ir import Graph, Op, Value
from ...ir.ops import Constant, Fused, uniform
from ...passes.places import Place


@dataclass
class Region:
    """The ops of a `fused` op, or a single op, with the places of what comes from outside (`leaves`).

    `result` is the value that is computed and `target` the place where it is stored.
    """

    op: Op
    ops: list[Op]
    leaves: dict[Value, Place]
    result: Value
    target: Place
    outer: dict[Value, Value]
    """The graph's value for each leaf."""
    by_rows: bool = False
    """Whether each row of the result must be a task."""

    def literal(self, value: Value) -> float | None:
        """The number behind a scalar constant that is written into the code."""
        return uniform(value) if value.type.size == 1 and isinstance(value.producer, Constant) else None

    def is_constant(self, value: Value) -> bool:
        """Whether a leaf is known at compile time."""
        return isinstance(self.outer.get(value, value).producer, Constant)


def region_of(op: Op, place: Callable[[Value], Place], by_rows: bool = False) -> Region:
    """The region of a planned op."""
    (result,) = op.results
    if isinstance(op, Fused):
        body: Graph = op.body
        outer = dict(zip(body.inputs, op.xs, strict=True))
        ops = [o for o in body if not isinstance(o, Constant)]
        inner = body.outputs[0]
        return Region(op, ops, {v: place(outer[v]) for v in body.inputs}, inner, place(result), outer, by_rows)
    leaves = {v: place(v) for v in op.operands}
    return Region(op, [op], leaves, result, place(result), {v: v for v in leaves}, by_rows)

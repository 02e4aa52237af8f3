"""Loop nests for regions without a kernel of their own: elementwise work, gathers, copies, and row programs.

A row program is a region with reductions over the same axes of one shape: softmax, normalizations, plain reductions.
For each element of what is kept it passes over the row once for each reduction and once more to store the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...ir import Value
from ...ir.dims import is_open, upper
from ...ir.ops import Elementwise, Gather, Reduce
from ...ir.scalar import apply, argument, cost
from ...passes.places import broadcast_strides
from . import spelling
from .affine import Affine
from .code import Assign, Call, Declare, Expression, For, If, Infix, Literal, Name, Remark, Scope, Statement, size
from .elements import Elements, Lanes, Names, is_float_region
from .region import Region
from .space import Access, Loop, index_of, lane_loop, loops

CHUNK = 8192
"""Elements of one task where a nest has a single loop."""

STASH_COST = 12
"""From this cost on a row value that is needed again is kept in the output row instead of computed twice."""


@dataclass
class Nest:
    """Statements of a kernel's body over tasks `begin` .. `end`, and how many tasks there are."""

    body: list[Statement]
    tasks: int


def generate(region: Region, pointers: dict[Value, str], target: str, lanes: int) -> Nest:
    """The loop nest of a region; `target` names the pointer to the result, `lanes` is the vector width in floats."""
    return _Generator(region, pointers, target, lanes).nest()


class _Generator:
    def __init__(self, region: Region, pointers: dict[Value, str], target: str, lanes: int) -> None:
        self.region, self.pointers, self.target, self.lanes = region, pointers, target, lanes
        self.reductions = [op for op in region.ops if isinstance(op, Reduce)]
        self.shape = self.reductions[0].x.shape if self.reductions else region.result.shape
        self.axes = self.reductions[0].axes if self.reductions else ()
        self.vector = is_float_region(region) and all(op.kind != "prod" for op in self.reductions)
        self.names = Names()
        order = self.physical()
        accesses = self.accesses()
        merge = not any(isinstance(op, Gather) for op in region.ops)
        kept_axes = [a for a in range(len(self.shape)) if a not in self.axes]
        self.kept = loops(self.shape, kept_axes, order, accesses, merge)
        self.rows = loops(self.shape, self.axes, order, accesses, merge)
        self.lane = self.choose_lane(accesses) if self.vector else None
        self.vector = self.vector and (self.lane is not None or not [*self.kept, *self.rows])
        self.index = index_of(len(self.shape), [*self.kept, *self.rows])

    # --- the space ------------------------------------------------------------------------------------------------

    def accesses(self) -> list[Access]:
        """Strides of everything read and written, along the dimensions of the space."""
        found = [self.over_space(self.region.result, self.region.target.strides)]
        indices = {op.indices for op in self.region.ops if isinstance(op, Gather)}
        for value, place in self.region.leaves.items():
            if self.region.literal(value) is None and value not in indices:
                found.append(self.over_space(value, place.strides))
        return found

    def over_space(self, value: Value, strides: tuple[int, ...]) -> Access:
        if value.rank > len(self.shape) or any(
            e not in (1, s) for e, s in zip(reversed(value.shape), reversed(self.shape), strict=False)
        ):
            return tuple(0 for _ in self.shape)
        return broadcast_strides(value.shape, strides, self.shape)

    def physical(self) -> Access:
        """The strides that decide the order of loops: the result's, or for a plain reduction the operand's."""
        own = self.over_space(self.region.result, self.region.target.strides)
        if self.region.result.shape == self.shape:
            return own
        leaf = max(self.region.leaves, key=lambda v: upper(v.type.size))
        return self.over_space(leaf, self.region.leaves[leaf].strides)

    def choose_lane(self, accesses: list[Access]) -> Loop | None:
        """The loop over lanes: not one that picks what a gather reads."""
        picked = _picking_axes(self.region, len(self.shape))
        innermost = ([self.kept[-1]] if self.kept else []) + ([self.rows[-1]] if self.rows else [])
        candidates = [loop for loop in (innermost if self.axes else self.kept) if loop.axis not in picked]
        return lane_loop(candidates, accesses, self.lanes)

    # --- the code -------------------------------------------------------------------------------------------------

    def nest(self) -> Nest:
        outer = [loop for loop in self.kept if loop is not self.lane]
        inner = self.row_program if self.reductions else self.store_all
        if self.lane in self.kept:
            return self.over_tasks(outer, lambda: self.over_lanes(self.lane, inner))
        if self.vector and self.lane is None:
            return self.over_tasks(outer, lambda: inner(Lanes("", size(1))))
        return self.over_tasks(outer, lambda: inner(None))

    def over_tasks(self, outer: list[Loop], make: Callable[[], list[Statement]]) -> Nest:
        """The outermost loop runs over tasks; a nest without one is split into chunks, or is one task."""
        if outer:
            body = _nested(outer[1:], make())
            return Nest([For(outer[0].variable, Name("begin"), Name("end"), size(1), body)], outer[0].extent)
        long = self.lane is not None and upper(self.lane.extent) >= 2 * CHUNK
        if self.lane in self.kept and self.lane is not None and long and not self.reductions:
            return self.chunks(self.lane)
        return Nest([If(Infix("<", Name("begin"), Name("end")), make())], 1)

    def chunks(self, lane: Loop) -> Nest:
        whole = lane.extent // self.lanes * self.lanes
        tasks = -(-lane.extent // CHUNK)
        stop = Call("ec_min_size", (Infix("*", Name("end"), size(CHUNK)), size(whole)))
        start = Infix("*", Name("begin"), size(CHUNK))
        body: list[Statement] = [
            For(lane.variable, start, stop, Name("EC_LANES"), self.store_all(Lanes(lane.variable)))
        ]
        if whole != lane.extent:
            body.append(If(Infix("==", Name("end"), size(tasks)), self.tail(lane, whole, self.store_all)))
        return Nest(body, tasks)

    def over_lanes(self, lane: Loop | None, make: Callable[[Lanes | None], list[Statement]]) -> list[Statement]:
        """A loop by whole vectors, and what is left behind it."""
        assert lane is not None
        whole = lane.extent // self.lanes * self.lanes
        found: list[Statement] = []
        if whole != 0:
            found.append(For(lane.variable, size(0), size(whole), Name("EC_LANES"), make(Lanes(lane.variable))))
        if whole != lane.extent:
            found += self.tail(lane, whole, make)
        return found

    def tail(self, lane: Loop, start: int, make: Callable[[Lanes | None], list[Statement]]) -> list[Statement]:
        rest = Lanes(lane.variable, size(lane.extent - start))
        body = [Declare("size_t", lane.variable, size(start)), *make(rest)]
        if is_open(lane.extent):
            return [If(Infix("<", size(start), size(lane.extent)), body)]
        return [Scope(body)]

    def elements(self, lanes: Lanes | None) -> Elements:
        return Elements(self.region, self.pointers, lanes, self.names)

    def store_all(self, lanes: Lanes | None) -> list[Statement]:
        elements = self.elements(lanes)
        value = elements.element(self.region.result, self.index)
        store = elements.store(self.target, self.region.target, self.index, value)
        return [*elements.statements, store]

    # --- row programs ---------------------------------------------------------------------------------------------

    def row_program(self, lanes: Lanes | None) -> list[Statement]:
        """Passes over the row. `lanes` is set when lanes run over a kept dimension."""
        fixed: dict[Value, Expression] = {}
        stored: dict[Value, object] = {}
        found: list[Statement] = []
        for reduction in self.reductions:
            found.append(Remark(f"{reduction.kind} over the row"))
            found += self.reduce(reduction, lanes, fixed, stored)
        found += self.finish(lanes, fixed, stored)
        return found

    def row_elements(
        self, lanes: Lanes | None, fixed: dict[Value, Expression], stored: dict[Value, object]
    ) -> Elements:
        elements = self.elements(lanes or (Lanes("") if self.vector else None))
        elements.fixed = fixed
        elements.stored = stored  # type: ignore[assignment]
        return elements

    def reduce(
        self, op: Reduce, lanes: Lanes | None, fixed: dict[Value, Expression], stored: dict[Value, object]
    ) -> list[Statement]:
        prepared = self.row_elements(lanes, fixed, stored)
        self.prepare(prepared, op.x)
        total = self.names.new("total")
        keep = self.worth_keeping(op, stored)

        def step(inner: Lanes | None) -> list[Statement]:
            elements = self.row_elements(inner, fixed, stored)
            value = elements.element(op.x, self.index)
            if keep:
                elements.statements.append(elements.store(self.target, self.region.target, self.index, value))
            if inner is not None and inner.count is not None and lanes is None:
                value = Call("ec_f32_keep", (value, inner.count, Literal(_START[op.kind])))
            return [*elements.statements, Assign(Name(total), self.combine(op, Name(total), value))]

        start = prepared.number(_START[op.kind], op.result) if self.vector else self.scalar_start(op)
        ctype = prepared.ctype(op.result) if not self.vector else "ec_f32"
        found = [*prepared.statements, Declare(ctype, total, start, constant=False), *self.over_row(lanes, step)]
        if keep:
            stored[op.x] = (self.target, self.region.target)
        value = self.finished(op, total, lanes)
        if not isinstance(value, Name):
            name = self.names.new("v")
            found.append(Declare("ec_f32", name, value))
            value = Name(name)
        fixed[op.result] = value
        return found

    def prepare(self, elements: Elements, value: Value) -> None:
        """Compute what is the same for the whole row before the pass over it."""
        for op in self.region.ops:
            ready = not isinstance(op, Reduce) and op.result.shape != self.shape
            if ready and all(self.is_ready(v, elements) for v in op.operands) and op.result not in elements.fixed:
                elements.fixed[op.result] = elements.element(op.result, self.index)

    def is_ready(self, value: Value, elements: Elements) -> bool:
        op = value.producer
        inside = op is not None and op in self.region.ops
        return not inside or value in elements.fixed

    def over_row(self, lanes: Lanes | None, step: Callable[[Lanes | None], list[Statement]]) -> list[Statement]:
        if lanes is not None or not self.vector or self.lane not in self.rows:
            return _nested(self.rows, step(lanes))
        outer = [loop for loop in self.rows if loop is not self.lane]
        return _nested(outer, self.over_lanes(self.lane, step))

    def combine(self, op: Reduce, total: Expression, value: Expression) -> Expression:
        if self.vector and op.kind == "sum":
            return Call("ec_f32_add", (total, value))
        if self.vector:
            return Call(f"ec_f32_{op.kind}_nan", (value, total))
        primitive = {"sum": "add", "prod": "mul"}.get(op.kind, op.kind)
        expression = apply(primitive, argument(0), argument(1))
        return spelling.scalar(expression, [total, value], op.x.dtype, lambda shared, _: shared)

    def scalar_start(self, op: Reduce) -> Expression:
        if op.x.dtype.is_float or op.kind in ("sum", "prod"):
            return Literal(_START[op.kind], spelling.CTYPES[op.x.dtype.name])
        limits = np.iinfo(op.x.dtype.numpy) if op.x.dtype.is_integer else None
        low, high = (int(limits.min), int(limits.max)) if limits else (0, 1)
        return Literal(low if op.kind == "max" else high, spelling.CTYPES[op.x.dtype.name])

    def finished(self, op: Reduce, total: str, lanes: Lanes | None) -> Expression:
        """The reduced value, in every lane where lanes ran along the row."""
        if lanes is not None or not self.vector or self.lane not in self.rows:
            return Name(total)
        across = {"sum": "ec_f32_reduce_add", "max": "ec_f32_reduce_max", "min": "ec_f32_reduce_min"}
        found: Expression = Call(across[op.kind], (Name(total),))
        if op.kind != "sum" and self.lanes > 1:
            found = Infix("+", found, self.unordered(total))
        return Call("ec_f32_set", (found,))

    def unordered(self, total: str) -> Expression:
        """NaN where a lane is NaN, which min and max across lanes may lose; else -0, which adds nothing."""
        ordered = Call("ec_f32_eq", (Name(total), Name(total)))
        nothing = Call("ec_f32_set", (Literal(-0.0),))
        return Call("ec_f32_reduce_add", (Call("ec_f32_select", (ordered, nothing, Name(total))),))

    def worth_keeping(self, op: Reduce, stored: dict[Value, object]) -> bool:
        """Whether the row that is being reduced should stand in the output row until the last pass."""
        value = op.x
        result = self.region.result
        fits = value.type.shape == result.shape and value.dtype == result.dtype and value is not result and not stored
        again = [u for u in value.users if u is not op and u in self.region.ops]
        return bool(
            self.vector
            and fits
            and again
            and isinstance(value.producer, Elementwise)
            and _row_cost(value) >= STASH_COST
        )

    def finish(
        self, lanes: Lanes | None, fixed: dict[Value, Expression], stored: dict[Value, object]
    ) -> list[Statement]:
        """Store the result: the row, or the one element that is left of it."""
        elements = self.row_elements(lanes, fixed, stored)
        self.prepare(elements, self.region.result)
        if self.region.result.shape != self.shape:
            value = elements.element(self.region.result, self.index)
            one = lanes or (Lanes("", size(1)) if self.vector else None)
            store = Elements(self.region, self.pointers, one, self.names).store(
                self.target, self.region.target, self.kept_index(), value
            )
            return [*elements.statements, store]

        def step(inner: Lanes | None) -> list[Statement]:
            last = self.row_elements(inner, fixed, stored)
            value = last.element(self.region.result, self.index)
            return [*last.statements, last.store(self.target, self.region.target, self.index, value)]

        return [*elements.statements, Remark("the result"), *self.over_row(lanes, step)]

    def kept_index(self) -> tuple[Affine, ...]:
        return index_of(len(self.shape), self.kept)


_START = {"sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf")}


def _row_cost(value: Value) -> int:
    """Operations to compute a row value again, as far as elementwise ops reach back."""
    op = value.producer
    if not isinstance(op, Elementwise):
        return 0
    return cost(op.expression) + sum(_row_cost(v) for v in op.operands if v.shape == value.shape)


def _picking_axes(region: Region, rank: int) -> set[int]:
    """The dimensions of the space along which the indices of a gather change, behind other gathers too."""
    follows: dict[Value, list[set[int]]] = {region.result: [{a} for a in range(rank - region.result.rank, rank)]}
    picked: set[int] = set()
    for op in reversed(region.ops):
        axes = follows.get(op.result, [])
        for value in op.operands:
            seen = axes[len(axes) - value.rank :] if value.rank <= len(axes) else axes
            if isinstance(op, Gather):
                end = op.axis + op.indices.rank
                chosen = set().union(*axes[op.axis : end])
                picked |= chosen
                seen = [*axes[: op.axis], chosen, *axes[end:]] if value is op.x else axes[op.axis : end]
            known = follows.get(value, [set[int]() for _ in seen])
            follows[value] = [a | b for a, b in zip(known, seen, strict=True)]
    return picked


def _nested(outer: list[Loop], body: list[Statement]) -> list[Statement]:
    for loop in reversed(outer):
        body = [For(loop.variable, size(0), size(loop.extent), size(1), body)]
    return body

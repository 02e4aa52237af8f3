"""A region as stages of tensor expressions, and from these a function of tensor IR."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import Op, Value
from ...ir.ops import (
    ArgReduce,
    Assembly,
    BitCast,
    Cast,
    Constant,
    Contract,
    Conv,
    ConvInteger,
    Cumulative,
    Elementwise,
    Gather,
    Lookup,
    MatMulInteger,
    Pool,
    Recurrent,
    Reduce,
    ScatterElements,
    ScatterRows,
    WinogradConv,
)
from ...ir.scalar import cost
from .contraction import Builder, Sums, greatest, integer_offset, largest, least, smallest
from .elements import VIEWS, Elements, Index, logical, physical_shape
from .packages import Expr, Tensor, te, tirx, tvm
from .region import CONTRACTIONS, GROUPED, Region
from .spelling import DTYPES, literal
from .tiles import Machine

KEEP_COST = 12
"""From this cost on, elements that a reduction reads and something else too are kept instead of computed twice."""


@dataclass
class Stages:
    """The stages of a region: placeholders in the order of its operands, `result` in the result's physical order.

    `constants` gives the packed form of operands that are read in another form than the graph holds; `rows` are stages
    of row programs that belong inside the loops over what is kept; `sums` is the stage of the anchor.
    """

    region: Region
    machine: Machine
    operands: list[tuple[Value, Tensor]] = field(default_factory=list)
    constants: list[tuple[Tensor, np.ndarray]] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    sums: Sums | None = None
    result: Tensor = None

    @property
    def arguments(self) -> list[Tensor]:
        """All placeholders, then the result."""
        return [*(t for _, t in self.operands), *(t for t, _ in self.constants), self.result]

    def function(self) -> Any:
        """The function of tensor IR, without a schedule."""
        made = with_element_alignment(te.create_prim_func(self.arguments))
        return made.with_attr("tirx.noalias", True)


def with_element_alignment(function: Any) -> Any:
    """A function whose buffers may lie at any multiple of their element, as callers' tensors do.

    TVM takes 64 bytes for granted and has no setting for it; the alignment of a buffer stands in its type.
    """

    def align(nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            if node["type"] == "tirx.BufferType":
                element = nodes[node["data"]["dtype"]]["data"]["dtype"]
                node["data"]["data_alignment"] = 1 if element == "bool" else np.dtype(element).itemsize

    return rewritten(function, align)


def rewritten(function: Any, change: Callable[[list[dict[str, Any]]], None]) -> Any:
    """A function after a change of its nodes in TVM's JSON form; its Python API has no visitor of statements."""
    document = json.loads(tvm.ir.save_json(function))
    change(document["nodes"])
    return tvm.ir.load_json(json.dumps(document))


def stages_of(op: Op, machine: Machine) -> Stages:
    """The stages of an op of a fused graph."""
    return _Maker(Region.of(op), machine).make()


class _Maker:
    def __init__(self, region: Region, machine: Machine) -> None:
        self.region, self.machine = region, machine
        self.made = Stages(region, machine)
        self.tensors: dict[Value, Tensor] = {}
        self.anchor_value: Any = None

    def make(self) -> Stages:
        for place, value in enumerate(self.region.operands):
            self.tensors[value] = te.placeholder(physical_shape(value.type), DTYPES[value.dtype.name], f"x{place}")
        if self.region.anchor is not None:
            self.add_anchor(self.region.anchor)
        for reduction in self.region.reductions:
            self.add_reduction(reduction)
        for search in self.region.searches:
            self.add_search(search)
        self.made.result = self.add_result()
        self.made.operands = [(v, self.tensors[v]) for v in self.region.operands if self.is_read(v)]
        return self.made

    def is_read(self, value: Value) -> bool:
        """Whether an operand is read from memory: not a number in the code, not a constant that was packed."""
        if self.region.literal(value) is not None:
            return False
        readers = [op for op in self.region.ops if value in op.operands]
        return not all(self.packs(op, value) for op in readers)

    def packs(self, op: Op, value: Value) -> bool:
        """Whether an anchor takes a constant operand in a form of its own."""
        if self.region.constant(value) is None or not isinstance(op, CONTRACTIONS):
            return False
        bias = None if isinstance(op, Conv) else getattr(op, "bias", None)
        return value in (op.operands[1], bias, getattr(op, "scale", None))

    def elements(self) -> Elements:
        """Fresh elements for one stage."""
        made = Elements(self.region, self.tensors)
        if self.anchor_value is not None:
            made.fixed[self.region.anchor.result] = self.anchor_value  # type: ignore[union-attr]
        return made

    # --- anchors --------------------------------------------------------------------------------------------------

    def add_anchor(self, op: Op) -> None:
        builder = Builder(self.region, self.tensors, self.machine)
        sums = self.made.sums = builder.build(op)
        offset = None
        if isinstance(op, ConvInteger | MatMulInteger) and not isinstance(op, GROUPED):
            offset = builder.constant(integer_offset(op, self.region), "offset")
        self.made.constants += sums.packed
        spatial = isinstance(op, Conv | ConvInteger | Pool)
        bias = op.bias if isinstance(op, Conv) else None

        def value(index: Index) -> Expr:
            place = (index[0], *index[2:], index[1]) if spatial else index
            found = sums.tensor(*place)
            column = place[-1]
            if offset is not None:
                return tirx.Cast("float32", found + offset(column))
            return found if bias is None else found + builder.element(bias, (column,), "float32")

        self.anchor_value = value

    # --- reductions -----------------------------------------------------------------------------------------------

    def add_reduction(self, op: Reduce) -> None:
        if self.worth_keeping(op) or (op.kind in ("max", "min") and self.has_variables(op.x)):
            self.keep(op.x)
        partial = self.lanes(op)
        total = self.total(op) if partial is None else self.total_of_lanes(op, partial)
        self.tensors[op.result] = total
        self.made.rows.append(total)

    def worth_keeping(self, op: Reduce) -> bool:
        """Whether the elements are dear and needed again."""
        if op.x.producer not in self.region.ops or op.x in self.tensors or sum(op.x.users.values()) < 2:
            return False
        return self.chain_cost(op.x) >= KEEP_COST

    def has_variables(self, value: Value) -> bool:
        """Whether an element has parts that are used more than once; a comparison may write it down but once."""
        elements = self.elements()
        elements.element(value, [tirx.Var(f"i{axis}", "int32") for axis in range(value.rank)])
        return bool(elements.variables)

    def chain_cost(self, value: Value) -> int:
        """Operations that an element costs from what is in memory."""
        op = value.producer
        if value in self.tensors or op not in self.region.ops:
            return 0
        own = cost(op.expression) if hasattr(op, "expression") else 1
        return own + sum(self.chain_cost(v) for v in op.operands)

    def keep(self, value: Value) -> None:
        """Make a value a stage."""

        def element(*place: Expr) -> Expr:
            elements = self.elements()
            return elements.whole(elements.element(value, logical(value.type, place)))

        shape = physical_shape(value.type)
        self.tensors[value] = te.compute(shape, element, f"kept{len(self.made.rows)}")
        self.made.rows.append(self.tensors[value])

    def lanes(self, op: Reduce) -> tuple[Tensor, int, int] | None:
        """Sums of every lane where the innermost dimension is reduced, with that axis and how many elements they take.

        One accumulator is one lane: a vector of them is as fast as memory, and the order of a sum is ours to choose.
        """
        lanes, inner = 2 * self.machine.lanes, op.x.type.physical[-1]
        extent = op.x.shape[inner]
        if inner not in op.axes or op.x.dtype.name != "f32" or op.kind == "prod" or extent < 2 * lanes:
            return None
        kept, reduced = self.split_axes(op)
        axes = {a: te.reduce_axis((0, op.x.shape[a] if a != inner else extent // lanes), f"r{a}") for a in reduced}

        def lane(*place: Expr) -> Expr:
            elements = self.elements()
            index = dict(zip(kept, place[:-1], strict=True)) | dict(axes)
            index[inner] = axes[inner] * lanes + place[-1]
            found = elements.element(op.x, tuple(index[a] for a in range(op.x.rank)))
            return self.combined(op)(elements.whole(found), axis=list(axes.values()))

        shape = (*(op.x.shape[a] for a in kept), lanes)
        partial = te.compute(shape, lane, f"lanes{len(self.made.rows)}")
        self.made.rows.append(partial)
        return partial, inner, extent // lanes * lanes

    def split_axes(self, op: Reduce) -> tuple[list[int], list[int]]:
        """The dimensions that stay and those that are reduced, both in physical order."""
        order = op.x.type.physical
        return [a for a in order if a not in op.axes], [a for a in order if a in op.axes]

    def total(self, op: Reduce) -> Tensor:
        """The reduction in one stage."""
        _, reduced = self.split_axes(op)
        axes = {a: te.reduce_axis((0, op.x.shape[a]), f"r{a}") for a in reduced}

        def element(*place: Expr) -> Expr:
            elements = self.elements()
            index = self.index(op, place) | dict(axes)
            found = elements.element(op.x, tuple(index[a] for a in range(op.x.rank)))
            return self.combined(op)(elements.whole(found), axis=list(axes.values()))

        return te.compute(physical_shape(op.type), element, f"total{len(self.made.rows)}")

    def total_of_lanes(self, op: Reduce, partial: tuple[Tensor, int, int]) -> Tensor:
        """The reduction from the lanes' sums, and the elements that no lane took."""
        tensor, inner, taken = partial
        lanes, extent = int(tensor.shape[-1]), op.x.shape[inner]
        kept, reduced = self.split_axes(op)
        rest = [te.reduce_axis((0, op.x.shape[a]), f"q{a}") for a in reduced if a != inner] if extent > taken else []
        every = te.reduce_axis((0, lanes + extent - taken), "lane")

        def element(*place: Expr) -> Expr:
            index = self.index(op, place)
            found = tensor(*(index[a] for a in kept), tirx.min(every, lanes - 1))
            if extent == taken:
                return self.combined(op)(found, axis=[every])
            elements = self.elements()
            others = dict(zip([a for a in reduced if a != inner], rest, strict=True))
            index = index | others | {inner: tirx.max(every - lanes + taken, taken)}
            left = elements.whole(elements.element(op.x, tuple(index[a] for a in range(op.x.rank))))
            first = [axis.var.equal(0) for axis in rest]
            found = tirx.Select(tirx.all(*first), found, self.neutral(op)) if first else found
            return self.combined(op)(tirx.Select(every < lanes, found, left), axis=[*rest, every])

        return te.compute(physical_shape(op.type), element, f"total{len(self.made.rows)}")

    def index(self, op: Reduce, place: Sequence[Expr]) -> dict[int, Expr]:
        """The kept dimensions of the operand's index, from a place of the result."""
        found = logical(op.type, place)
        if op.keepdims:
            return {a: i for a, i in enumerate(found) if a not in op.axes}
        return dict(zip((a for a in range(op.x.rank) if a not in op.axes), found, strict=True))

    def combined(self, op: Reduce) -> Any:
        kind = DTYPES[op.type.dtype.name]
        if op.kind == "prod":
            return te.comm_reducer(lambda a, b: a * b, lambda _: literal(1, op.type.dtype), name="product")
        return {"sum": te.sum, "max": largest(kind), "min": smallest(kind)}[op.kind]

    def neutral(self, op: Reduce) -> Expr:
        kind = DTYPES[op.type.dtype.name]
        return {"max": least, "min": greatest}[op.kind](kind) if op.kind != "sum" else literal(0, op.type.dtype)

    # --- searches -------------------------------------------------------------------------------------------------

    def add_search(self, op: ArgReduce) -> None:
        """Two stages: the best element, and the first (or last) place where it stands."""
        kind, extent = DTYPES[op.x.dtype.name], op.x.shape[op.axis]
        best_axis, axis = te.reduce_axis((0, extent), "r"), te.reduce_axis((0, extent), "s")

        def at(place: Sequence[Expr], position: Expr) -> Expr:
            found = list(logical(op.type, place))
            found = [*found[: op.axis], position, *found[op.axis + 1 if op.keepdims else op.axis :]]
            elements = self.elements()
            return elements.whole(elements.element(op.x, tuple(found)))

        if self.has_variables(op.x):
            self.keep(op.x)
        find = (largest if op.kind == "max" else smallest)(kind)
        shape = physical_shape(op.type)
        best = te.compute(shape, lambda *p: find(at(p, best_axis.var), axis=[best_axis]), f"best{len(self.made.rows)}")
        miss = tirx.const(-1 if op.last else extent - 1, "int64")
        choose = (largest if op.last else smallest)("int64")

        def position(*place: Expr) -> Expr:
            here = tirx.Cast("int64", axis.var)
            return choose(tirx.Select(at(place, axis.var).equal(best(*place)), here, miss), axis=[axis])

        self.made.rows.append(best)
        self.tensors[op.result] = te.compute(shape, position, f"total{len(self.made.rows)}")
        self.made.rows.append(self.tensors[op.result])

    # --- the result -----------------------------------------------------------------------------------------------

    def add_result(self) -> Tensor:
        kind = self.region.result.type

        def element(*place: Expr) -> Expr:
            elements = self.elements()
            found = elements.whole(elements.element(self.region.result, logical(kind, place)))
            return found

        return te.compute(physical_shape(kind), element, "result")


def fault(op: Op) -> str:
    """Why an op of a fused graph has no translation; empty where it has one."""
    region = Region.of(op)
    return next((reason for one in region.ops if (reason := _fault(one, region))), "")


def _fault(op: Op, region: Region) -> str:
    if isinstance(op, Conv | ConvInteger | Pool) and op.type.rank != 4:
        return f"it has {op.type.rank - 2} spatial dimensions, the translation to TVM is for 2"
    if isinstance(op, GROUPED) and (op.scale is None or region.constant(op.scale) is None):
        return "its scale is computed at run time"
    known = (*CONTRACTIONS, WinogradConv)
    derived = isinstance(op, CONTRACTIONS) and type(op) not in known  # means something else than its base
    if (isinstance(op, TRANSLATED) and not derived) or type(op) in VIEWS:
        return ""
    return f"{op.name} has no translation to TVM's tensor IR"


TRANSLATED = (
    *CONTRACTIONS, Pool, Reduce, ArgReduce, Elementwise, Cast, Gather, Lookup, Assembly, Constant, Recurrent,
    ScatterElements, ScatterRows, Cumulative, Contract, BitCast,
)  # fmt: skip

"""Where tensors become integers: which values, who reads them quantized, and which share a scale.

A layer with 8-bit activations wants its input quantized. Ops that can compute on integers (elementwise, pooling,
concatenation, views) join where a reader of theirs wants integers, so that what lies between two quantized layers is
integers throughout; softmax, normalizations and the outputs of the network stay float. What one kernel computes in one
go (a layer and the elementwise ops after it) is rounded once, at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..ir import Graph, Op, Value, f32
from ..ir.ops import (
    Add,
    ArgReduce,
    Clip,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Elementwise,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    InstanceNorm,
    LayerNorm,
    LeakyRelu,
    MatMul,
    Max,
    Min,
    Mul,
    Neg,
    Pad,
    Pool,
    PRelu,
    Reduce,
    Relu,
    Resize,
    Sigmoid,
    Silu,
    Softmax,
    Sub,
    Tanh,
    View,
)
from .layers import Layer
from .schemes import Scheme

ELEMENTWISE = (
    Add, Sub, Mul, Min, Max, Neg, Relu, Clip, LeakyRelu, PRelu, Elu, HardSwish, HardSigmoid, Sigmoid, Silu, Tanh,
)  # fmt: skip
JOINING = (*ELEMENTWISE, Pool, Reduce, Concat, Pad, Resize, View)
DELICATE = (Softmax, LayerNorm, InstanceNorm, ArgReduce, Gelu)
"""Ops that read a float tensor even where there is an integer one."""

ANCHORS = (Conv, ConvTranspose, MatMul, Pool, Reduce)


@dataclass
class Placement:
    """`points`: the values to quantize, in order, with the element type of each (`u8`, `i8` or `i16`).

    `reads` holds the (op, value) pairs that take the quantized value; `root` maps each point to the one whose scale it
    shares. `dynamic` are the values whose scale is found at run time, by the op that reads them.
    """

    points: dict[Value, str] = field(default_factory=dict)
    reads: set[tuple[Op, Value]] = field(default_factory=set)
    root: dict[Value, Value] = field(default_factory=dict)
    dynamic: set[tuple[Op, Value]] = field(default_factory=set)

    def find(self, value: Value) -> Value:
        """The value whose scale a point has."""
        while self.root[value] is not value:
            value = self.root[value]
        return value

    def share(self, value: Value, other: Value) -> None:
        """Let two points have one scale."""
        self.root[self.find(other)] = self.find(value)

    def members(self) -> dict[Value, list[Value]]:
        """The points by the value whose scale they have."""
        found: dict[Value, list[Value]] = {}
        for value in self.points:
            found.setdefault(self.find(value), []).append(value)
        return found


def place(graph: Graph, layers: Iterable[Layer], schemes: Mapping[str, Scheme]) -> Placement:
    """Where a graph is quantized when its layers have these schemes; scales are not shared yet."""
    found = Placement()
    wants: dict[tuple[Op, Value], str] = {}
    for layer in layers:
        activations = schemes[layer.name].activations
        if activations == "dynamic" and not isinstance(layer.op, ConvTranspose):
            found.dynamic.add((layer.op, layer.x))
        elif activations not in ("float", "dynamic"):
            wants[layer.op, layer.x] = activations
    joined = _joined(graph, wants)
    fused = _fused(graph, joined)
    for value in graph.values:
        if value.dtype == f32 and not isinstance(value.producer, Constant):
            _place_value(found, value, wants, joined, fused)
    return found


def _place_value(
    found: Placement, value: Value, wants: Mapping[tuple[Op, Value], str], joined: Mapping[Op, str], fused: set[Value]
) -> None:
    kinds = [wants.get((user, value)) or joined.get(user) for user in value.users]
    wanted = [kind for kind in kinds if kind]
    if not wanted or value in fused:
        return
    found.points[value] = finest(wanted)
    found.root[value] = value
    for user, kind in zip(value.users, kinds, strict=True):
        if kind or not _keeps_float(user):
            found.reads.add((user, value))


def finest(kinds: Iterable[str]) -> str:
    """The element type that serves readers who want these ("" wants none)."""
    return next(kind for kind in ("i16", "u8", "i8") if kind in kinds)


def _keeps_float(user: Op) -> bool:
    """Whether a reader that does not ask for integers gets the float tensor: outputs, delicate ops, float layers."""
    return user.name == "output" or isinstance(user, (*DELICATE, Conv, ConvTranspose, MatMul))


def _joined(graph: Graph, wants: Mapping[tuple[Op, Value], str]) -> dict[Op, str]:
    """The ops between layers that compute on integers, each with the type that its readers want."""
    found: dict[Op, str] = {}
    for op in reversed(graph.ops):
        if not isinstance(op, JOINING) or op.result.dtype != f32:
            continue
        kinds = {wants.get((user, op.result)) or found.get(user, "") for user in op.result.users}
        if kinds - {""}:
            found[op] = finest(kinds)
    return found


def _fused(graph: Graph, joined: Mapping[Op, str]) -> set[Value]:
    """The values that never reach memory: read once, by an elementwise op that runs on in the same kernel."""
    found: set[Value] = set()
    anchored: set[Value] = set()
    order = {value: place for place, value in enumerate(graph.values)}
    for op in graph:
        if isinstance(op, Elementwise):
            inside = [v for v in dict.fromkeys(op.operands) if op in joined and _can_fuse(v, op)]
            heavy = sorted((v for v in inside if v in anchored), key=order.__getitem__)
            kept = [v for v in inside if v not in heavy[:-1]]
            found.update(kept)
            anchored.update(op.results if heavy else ())
        elif isinstance(op, ANCHORS) and not is_carrier(op):
            anchored.update(op.results)
    return found


def _can_fuse(value: Value, reader: Op) -> bool:
    producer = value.producer
    if producer is None or isinstance(producer, Constant) or is_carrier(producer) or isinstance(producer, Concat):
        return False
    return value.has_one_use and value.shape == reader.type.shape


# --- shared scales ----------------------------------------------------------------------------------------------------


def is_carrier(op: Op) -> bool:
    """Whether an op only moves, selects or mixes elements, so that its result has the scale of its operand."""
    if isinstance(op, View | Resize):
        return True
    if isinstance(op, Pad):
        return op.value == 0
    return isinstance(op, Pool | Reduce) and op.kind in ("max", "min")


NEAR = 16.0
NARROWED = 4.0
"""A selection whose range is so much smaller than that of what it is taken from gets a scale of its own."""


def detach(graph: Graph, placement: Placement, reach: Mapping[Value, float]) -> None:
    """Let selections of small channels out of large ones read floats: the scale of the whole leaves little of them."""
    for op in reversed(graph.ops):
        if len(op.results) != 1 or not is_carrier(op):
            continue
        for value in [v for v in op.operands if (op, v) in placement.reads]:
            kept = op.result in placement.points
            if not kept or 0 < NARROWED * reach[op.result] < reach[value]:
                _detach(graph, placement, op, value, kept)


def _detach(graph: Graph, placement: Placement, op: Op, value: Value, kept: bool) -> None:
    placement.reads.discard((op, value))
    if kept:
        graph.note("quantize", f"its result reaches {NARROWED:g} times less far than its operand: reads floats", op)
    if not any((user, value) in placement.reads for user in value.users):
        del placement.points[value], placement.root[value]


def share_scales(graph: Graph, placement: Placement, reach: Mapping[Value, float]) -> None:
    """Give one scale to what carriers and concatenations join.

    `reach` is the largest magnitude of each point. A concatenation of ranges that differ by more than 16 times keeps
    its operands apart, and the graph's journal says so.
    """
    for op in graph:
        if len(op.results) != 1 or op.result not in placement.points:
            continue
        operands = [v for v in op.operands if v in placement.points and (op, v) in placement.reads]
        if is_carrier(op) and operands:
            placement.share(operands[0], op.result)
        if isinstance(op, Concat):
            _share_concat(graph, placement, op, operands, reach)


def _share_concat(
    graph: Graph, placement: Placement, op: Concat, operands: list[Value], reach: Mapping[Value, float]
) -> None:
    sizes = [reach[v] for v in operands if reach[v] > 0]
    if sizes and max(sizes) > NEAR * min(sizes):
        said = f"its operands reach from {min(sizes):.3g} to {max(sizes):.3g}, more than {NEAR:g} times apart"
        graph.note("quantize", f"concatenation does not share a scale: {said}", op)
        return
    for value in operands:
        placement.share(op.result, value)

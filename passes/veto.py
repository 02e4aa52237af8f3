"""Which layers would be slower in integers than in float on a target: a minimum cut of costs and conversions.

Each op of a canonical graph computes on integers or on floats. Either costs cycles, and so does a tensor that one side
makes and the other reads. The cheapest assignment is a minimum cut between a source that stands for integers and a sink
for floats, so that no layer is kept in float whose conversions cost more than it saves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from ..ir import Graph, Op, Value, f32
from ..ir.ops import Concat, Constant, Conv, Elementwise, MatMul, Pad, Pool, Reduce, Resize, View
from ..kernels.costs import CONVERSIONS, Conversion, Pair, Shape, contraction_cost
from ..targets import Target

MARGIN = 1.1
"""How much longer integers must take before float is chosen: the estimates are no better."""

EITHER = (Elementwise, Pool, Reduce, Concat, Pad, Resize, View)
INTEGERS, FLOATS = "integers", "floats"


def slower_in_integers(
    graph: Graph, target: Target, layers: Mapping[str, Op], fixed: Collection[str] = ()
) -> dict[str, str]:
    """The layers that had better stay in float, by name and in the order of `layers`, each with the reason.

    `layers` are the convolutions and matrix products of a canonical graph that are to become 8-bit integers; those in
    `fixed` stay integers whatever they cost. All other contractions are float.
    """
    costs = {op: layer_cost(op, target) for op in layers.values()}
    kept = {layers[name] for name in fixed}
    cut = _Cut(graph, CONVERSIONS[target.isa], costs, kept)
    floats = cut.floats()
    return {name: _reason(costs[op]) for name, op in layers.items() if op in floats}


def layer_cost(op: Op, target: Target) -> Pair:
    """Cycles of a layer; nothing for what the tables do not tell of."""
    shape = contraction(op)
    if shape is None or 0 in (shape.rows, shape.out_w, shape.out_c, shape.in_c):
        return Pair(0, 0)
    return contraction_cost(shape, target.isa, target.features, target.registers)


def contraction(op: Op) -> Shape | None:
    """The numbers of a convolution or of a product with constant weights."""
    if isinstance(op, MatMul):
        *_, depth, columns = op.b.shape
        return Shape(1, op.type.size // max(columns, 1), columns, depth, product=True)
    if not isinstance(op, Conv):
        return None
    batch, channels, *space = op.type.shape
    taps = math.prod(op.w.shape[2:])
    *outer, width = space if taps > 1 else [math.prod(space)]
    rows = batch * math.prod(outer)
    merged = op.w.shape[-1] if op.groups == 1 and op.dilations[-1] == 1 else 1
    return Shape(
        rows, width, channels // op.groups, op.w.shape[1], taps, op.groups, op.is_depthwise, merged=merged
    )  # fmt: skip


def _reason(cost: Pair) -> str:
    if cost.integers <= MARGIN * cost.floats:
        return "float: the layers around it are faster in float, and conversions would cost more than integers save"
    return f"float: integers would take {cost.ratio:.2f} times as long on this target"


@dataclass
class _Cut:
    """A flow network: what is cut off from the source is float."""

    graph: Graph
    conversion: Conversion
    costs: Mapping[Op, Pair]
    kept: Collection[Op]

    def floats(self) -> set[Any]:
        """The ops on the side of the floats."""
        network: nx.DiGraph[Any] = nx.DiGraph()
        network.add_nodes_from((INTEGERS, FLOATS))
        for op in self.graph:
            if not isinstance(op, Constant):
                self.add_op(network, op)
        for value in self.graph.values:
            if value.dtype == f32 and not isinstance(value.producer, Constant):
                self.add_value(network, value)
        _, (_, floats) = nx.minimum_cut(network, INTEGERS, FLOATS)
        return set(floats)

    def add_op(self, network: nx.DiGraph[Any], op: Op) -> None:
        """Its costs: those of float are paid when it is cut off from the integers, and the other way round."""
        if op in self.kept:
            network.add_edge(INTEGERS, op)  # no capacity: never cut
        elif op not in self.costs and not self.is_free(op):
            network.add_edge(op, FLOATS)
        else:
            cost = self.costs.get(op) or self.elementwise(op)
            network.add_edge(INTEGERS, op, capacity=round(MARGIN * cost.floats))
            network.add_edge(op, FLOATS, capacity=round(cost.integers))

    def is_free(self, op: Op) -> bool:
        return isinstance(op, EITHER) and all(v.dtype == f32 for v in (*op.operands, *op.results))

    def elementwise(self, op: Op) -> Pair:
        """By elements; what runs on in the kernel before it, and what moves nothing, is free."""
        joins = isinstance(op, Elementwise) and any(v.has_one_use and v.producer is not None for v in _reads(op))
        if joins or isinstance(op, View):
            return Pair(0, 0)
        size = max(v.type.size for v in (*op.operands, *op.results))
        each = self.conversion.elementwise
        return Pair(size * each.floats, size * each.integers)

    def add_value(self, network: nx.DiGraph[Any], value: Value) -> None:
        """It is converted once, however many read it on the other side."""
        source: Any = value.producer or FLOATS
        users = [FLOATS if user.name == "output" else user for user in value.users]
        as_float, as_integers = (value, FLOATS), (value, INTEGERS)
        network.add_edge(source, as_float, capacity=round(value.type.size * self.conversion.dequantize))
        network.add_edge(as_integers, source, capacity=round(value.type.size * self.conversion.quantize))
        for user in users:
            network.add_edge(as_float, user)
            network.add_edge(user, as_integers)


def _reads(op: Op) -> list[Value]:
    return [v for v in op.operands if not isinstance(v.producer, Constant)]

"""Choose the physical order of every tensor so that the fewest bytes move.

Kernels pin orders (convolutions and pools read and write channels last), inputs and outputs of the model are row-major,
transposes and reshapes rename dimensions for nothing where the order allows it, everything else takes any order.
First each op takes the order that its operands suggest; then coordinate descent: each op in turn takes the order that
costs least given all its neighbours, forwards and backwards, until nothing changes. What still disagrees gets a
`relayout`, reported with its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ..ir import Graph, Op, Order, Value, row_major
from ..ir.ops import Constant, ControlFlow, Relayout
from .order_maps import candidates, demands, move_cost
from .registry import register


@register
@dataclass(frozen=True)
class AssignLayout:
    """Assign physical orders to all values and insert the relayouts that remain."""

    name: ClassVar[str] = "assign-layout"
    sweeps: int = 6

    def run(self, graph: Graph) -> Graph:
        ops = [op for op in graph if len(op.results) == 1 and not isinstance(op, Constant)]
        for op in ops:
            op.result.type = op.type.with_order(min(dict.fromkeys(candidates(op)), key=partial(_cost_before, op)))
        for sweep in range(self.sweeps):
            if not _sweep(ops if sweep % 2 else reversed(ops)) and sweep:
                break
        for op in list(graph):
            _satisfy(graph, op)
        _restore_outputs(graph)
        graph.stage = "lowered"
        return graph


def _sweep(ops: Iterable[Op]) -> bool:
    changed = False
    for op in ops:
        best = min(dict.fromkeys(candidates(op)), key=lambda order: _cost(op, order))
        if best != op.type.physical and _cost(op, best) < _cost(op, op.type.physical):
            op.result.type = op.type.with_order(best)
            changed = True
    return changed


def _cost_before(op: Op, order: Order) -> int:
    """Bytes moved into an op whose result has `order`."""
    return sum(move_cost(v, wanted) for v, wanted in zip(op.operands, demands(op, order), strict=True))


def _cost(op: Op, order: Order) -> int:
    """Bytes moved around an op whose result has `order`: into it, and once for each other order that readers want."""
    before = _cost_before(op, order)
    now = op.result.type
    op.result.type = now.with_order(order)
    wanted = {_physical_key(op.result, d) for user in op.result.users for d in _demands_on(user, op.result)}
    after = sum(move_cost(op.result, d) for d in wanted if d is not None)
    op.result.type = now
    return before + after


def _physical_key(value: Value, order: Order | None) -> Order | None:
    return None if order is None or value.type.same_memory(order) else order


def _demands_on(user: Op, value: Value) -> list[Order | None]:
    if not user.results:
        return [row_major(value.rank)]
    pairs = zip(user.operands, demands(user, user.results[0].type.physical), strict=True)
    return [order for operand, order in pairs if operand is value]


def _satisfy(graph: Graph, op: Op) -> None:
    """Insert relayouts before an op for operands that are in the wrong order."""
    if not op.operands or not op.results:
        return
    wanted = dict(zip(op.operands, demands(op, op.results[0].type.physical), strict=True))
    for value, order in wanted.items():
        if order is None:
            continue
        if isinstance(value.producer, Constant) and isinstance(op, ControlFlow):
            _repeat_constant(graph, value, op)
        elif isinstance(value.producer, Constant):
            _store_constant(value, order)
        elif move_cost(value, order):
            moved = _relayout(graph, value, order, op)
            op.swap_operands(lambda v, old=value, new=moved: new if v is old else v)  # type: ignore[misc]
            count = value.users.pop(op)
            moved.users[op] = count


def _store_constant(value: Value, order: Order) -> None:
    if not value.type.order:
        value.type = value.type.with_order(order)


def _repeat_constant(graph: Graph, value: Value, reader: Op) -> None:
    """A constant of its own for an op whose bodies read it row-major; others may store theirs as they like."""
    made = Constant(value.producer.value)  # type: ignore[union-attr]
    graph.insert_before(reader, made)
    reader.swap_operands(lambda v: made.result if v is value else v)
    made.result.users[reader] = value.users.pop(reader)


def _relayout(graph: Graph, value: Value, order: Order, reader: Op) -> Value:
    for user in value.users:
        if isinstance(user, Relayout) and user.order == order and user in graph:
            return user.result
    made = Relayout(value, order)
    made.origin = reader.origin
    first = value.producer
    graph.insert_before(_after(graph, first), made)
    moved = f"{value.type.most_bytes} bytes move: {value.type} is read as {made.type}"
    graph.note("assign-layout", moved, reader, first)
    return made.result


def _after(graph: Graph, op: Op | None) -> Op | None:
    """The op that follows another; the first of the graph for an input."""
    if op is None:
        return next(iter(graph), None)
    return graph.following(op)


def _restore_outputs(graph: Graph) -> None:
    """Outputs leave the model row-major."""
    for value in dict.fromkeys(graph.outputs):
        order = row_major(value.rank)
        if not value.type.same_memory(order):
            made = Relayout(value, order)
            graph.insert_before(None, made)
            graph.note("assign-layout", f"{value.type.most_bytes} bytes move: an output is row-major", value.producer)
            outputs = [made.result if v is value else v for v in graph.outputs]
            graph.set_outputs(outputs, graph.output_names)

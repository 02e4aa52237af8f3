"""Order the ops for the least peak of live bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Op, Value
from ..ir.ops import Constant, View
from .registry import register


@register
@dataclass(frozen=True)
class OrderOps:
    """Try a few schedules (as imported, depth first, smallest growth first) and keep the one with the lowest peak."""

    name: ClassVar[str] = "order"

    def run(self, graph: Graph) -> Graph:
        present = graph.ops
        if graph.found_sizes:  # whoever has a size in its shape stands behind the op that finds it
            return graph
        schedules = [present, _depth_first(graph), _smallest_growth(graph)]
        best = min(schedules, key=lambda ops: _peak(graph, ops))
        if _peak(graph, best) < _peak(graph, present):
            graph.reorder(best)
        return graph


def _bytes(value: Value) -> int:
    """Bytes a value adds to the arena: views and constants add none."""
    return 0 if isinstance(value.producer, Constant | View) else value.type.most_bytes


def _peak(graph: Graph, ops: list[Op]) -> int:
    """The largest sum of live bytes, in place and aliases left aside."""
    left = {v: len(v.users) for op in ops for v in op.results}
    live = peak = 0
    for op in ops:
        live += sum(_bytes(r) for r in op.results)
        peak = max(peak, live)
        for value in {*op.operands}:
            if value in left:
                left[value] -= 1
                live -= _bytes(value) if not left[value] and not graph.is_output(value) else 0
    return peak


def _depth_first(graph: Graph) -> list[Op]:
    """Each op right after the operands that it alone needs, from the outputs backwards, largest operand first."""
    done: dict[Op, None] = {}
    stack: list[tuple[Op, bool]] = [(v.producer, False) for v in reversed(graph.outputs) if v.producer]
    while stack:
        op, ready = stack.pop()
        if op in done:
            continue
        if ready:
            done[op] = None
            continue
        stack.append((op, True))
        sources = [v for v in op.operands if v.producer is not None and v.producer not in done]
        stack.extend((v.producer, False) for v in sorted(sources, key=_bytes) if v.producer is not None)
    rest = [op for op in graph if op not in done]
    return _legal([*done, *rest])


def _smallest_growth(graph: Graph) -> list[Op]:
    """Of the ops that can run, always one that adds the fewest live bytes; linear in practice, for few are ready."""
    place = {op: i for i, op in enumerate(graph)}
    waiting = {op: len({v.producer for v in op.operands if v.producer is not None}) for op in graph}
    left = {v: len(v.users) for v in graph.values}
    ready = {op: None for op in graph if not waiting[op]}
    schedule: list[Op] = []

    def growth(op: Op) -> tuple[int, int]:
        freed = sum(_bytes(v) for v in {*op.operands} if left[v] == 1 and not graph.is_output(v))
        return sum(_bytes(r) for r in op.results) - freed, place[op]

    while ready:
        op = min(ready, key=growth) if len(ready) < 64 else next(iter(ready))
        del ready[op]
        schedule.append(op)
        for value in {*op.operands}:
            left[value] -= 1
        for user in dict.fromkeys(u for r in op.results for u in r.users if u in place):
            waiting[user] -= 1
            if not waiting[user]:
                ready[user] = None
    return schedule


def _legal(ops: list[Op]) -> list[Op]:
    """The ops with every operand before its reader, otherwise in the given order."""
    placed: dict[Op, None] = {}
    for first in ops:
        stack = [first]
        while stack:
            op = stack[-1]
            missing = [v.producer for v in op.operands if v.producer is not None and v.producer not in placed]
            if op in placed or not missing:
                placed.setdefault(stack.pop())
            else:
                stack.extend(missing)
    return list(placed)

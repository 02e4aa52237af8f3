"""A graph cut down to what some of its values need."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Graph, Op, Value


def with_outputs(graph: Graph, values: Sequence[Value]) -> Graph:
    """A copy whose outputs are some values of a graph, without what they do not need."""
    made = Graph(graph.name)
    made.stage = graph.stage
    table = {v: made.input(v.type, v.name) for v in graph.inputs}
    needed = _needed(graph, values)
    for op in graph:
        if op in needed:
            new = op.with_operands(table.__getitem__)
            table.update(zip(op.results, new.results, strict=True))
            made.add(new)
    made.set_outputs([table[v] for v in values], [f"value{i}" for i in range(len(values))])
    return made


def _needed(graph: Graph, values: Sequence[Value]) -> set[Op]:
    wanted = set(values)
    needed: set[Op] = set()
    for op in reversed(graph.ops):
        if any(r in wanted for r in op.results):
            needed.add(op)
            wanted.update(op.operands)
    return needed

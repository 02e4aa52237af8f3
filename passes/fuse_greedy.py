"""Greedy fusion along the post-dominator tree (Chen et al., TVM, OSDI 2018).

Each op is fused with its immediate post-dominator, the first op that everything computed from it flows through, when
the two and all that lies between them make a region that a kernel serves. An op that only widens its operand
(a dequantize, a cast) goes with its reader before it goes with its producer, so that the narrow tensor is the one in
memory.
"""

from __future__ import annotations

import networkx as nx

from ..ir import Graph, Op
from ..ir.ops import Cast, Dequantize
from .fuse import Group, fusion_strategy
from .region_rules import MAX_OPS, is_fusable, region_fault


@fusion_strategy("greedy")
class GreedyFusion:
    """Fuse every op with its post-dominator where a kernel serves the region."""

    def partition(self, graph: Graph) -> list[Group]:
        self.graph = graph
        self.place = {op: i for i, op in enumerate(graph)}
        self.groups: dict[Op, Group] = {op: [op] for op in graph}
        after = _post_dominators(graph)
        pairs = [(op, after[op]) for op in graph if op in after and is_fusable(op)]
        for op, sink in [pair for pair in pairs if not widens(pair[1])] + [pair for pair in pairs if widens(pair[1])]:
            self._try(op, sink)
        distinct = {id(g): g for g in self.groups.values() if len(g) > 1}
        return list(distinct.values())

    def _try(self, op: Op, sink: Op) -> None:
        if self.groups[op][-1] is not op:
            return
        between = self._between(op, sink)
        if between is None:
            self.graph.note("fuse", f"too much lies between it and {sink.name}", op, sink)
            return
        members = {m: None for one in (op, *between, sink) for m in self.groups[one]}
        merged = sorted(members, key=self.place.__getitem__)
        fault = "other ops read from its group" if merged[-1] is not self.groups[sink][-1] else region_fault(merged)
        if fault:
            self.graph.note("fuse", f"not fused with {sink.name}: {fault}", op, sink)
            return
        for member in merged:
            self.groups[member] = merged

    def _between(self, op: Op, sink: Op) -> list[Op] | None:
        """Ops on the paths from an op to its post-dominator; None when they are many."""
        found: dict[Op, None] = {}
        stack = [u for u in op.result.users if u is not sink and u.results]
        while stack:
            current = stack.pop()
            if current in found:
                continue
            found[current] = None
            if len(found) > MAX_OPS or not is_fusable(current):
                return None
            stack.extend(u for r in current.results for u in r.users if u is not sink and u.results)
        return list(found)


def widens(op: Op) -> bool:
    """Whether an op only makes the elements of its operand wider."""
    return isinstance(op, Dequantize) or (isinstance(op, Cast) and op.type.dtype.bits > op.x.dtype.bits)


def _post_dominators(graph: Graph) -> dict[Op, Op]:
    """The immediate post-dominator of every op that has one; outputs of the graph flow to a common end."""
    flow: nx.DiGraph[object] = nx.DiGraph()
    end = object()
    for op in graph:
        for result in op.results:
            for user in result.users:
                flow.add_edge(user if user.results else end, op)
    if end not in flow:
        return {}
    found = nx.immediate_dominators(flow, end)
    return {op: sink for op, sink in found.items() if isinstance(op, Op) and isinstance(sink, Op) and sink is not op}

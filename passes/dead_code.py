"""Ops whose results nobody reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph
from .registry import register
from .tally import claim


@register
@dataclass(frozen=True)
class DeadCode:
    """Remove unread ops; inputs stay, for they are the model's interface."""

    name: ClassVar[str] = "dead-code"

    def run(self, graph: Graph) -> Graph:
        removed: Counter[str] = Counter()
        for op in reversed(graph.ops):
            if any(r.users for r in op.results):
                continue
            if not op.pure:
                graph.note(self.name, "nobody reads the result, but the op has effects", op)
                continue
            graph.remove(op)
            removed[op.name] += 1
        claim(graph, removed)
        return graph

"""Keep weights of few bits in these bits: the artifact stores them so, and kernels widen them as they read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph
from ..ir.ops import ConvTranspose
from .registry import register
from .rules import stored_weights
from .tally import apply_rules


@register
@dataclass(frozen=True)
class StoreWeights:
    """Make `stored` constants of dequantized weights and of those in half precision, where a float op reads them."""

    name: ClassVar[str] = "store-weights"

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, stored_weights.RULES)
        for op in graph:
            if isinstance(op, ConvTranspose) and stored_weights.are_coded(op.w):
                graph.note(self.name, "weights of transposed convolutions are stored as floats", op)
        return graph

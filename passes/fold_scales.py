"""Batch normalization and constant factors and offsets, moved into weights and biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph
from .registry import register
from .rules import scales
from .tally import apply_rules


@register
@dataclass(frozen=True)
class FoldScales:
    """Fold multiplications, divisions, additions and subtractions by constants into convolutions and matrix products.

    Products are formed in double precision and rounded once.
    """

    name: ClassVar[str] = "fold-scales"

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, scales.RULES)
        return graph

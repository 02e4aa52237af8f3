"""Activations, normalizations and softmax that a model has spelled out in arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph
from .registry import register
from .rules import activations, norms
from .tally import apply_rules

RULES = (*activations.RULES, *norms.RULES)


@register
@dataclass(frozen=True)
class Recognise:
    """Replace spelled-out functions by the operator that means them.

    Numbers such as sqrt(2) are taken for what they mean when they agree to about single precision.
    """

    name: ClassVar[str] = "recognise"

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, RULES)
        return graph

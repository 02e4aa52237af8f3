"""From QDQ form to integer ops: dequantize > op > quantize computes on the integers themselves.

Nothing is approximated beyond what the model says: integer contractions are exact, factors are merged in double
precision and rounded once to float32, everything after that is float32 arithmetic in a fixed order
(see `ir.ops.quantize`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Rule
from .registry import register
from .rules import (
    integer_contractions,
    integer_dynamic,
    integer_floats,
    integer_groups,
    integer_lookups,
    integer_reductions,
    integer_tails,
    integer_views,
)
from .tally import apply_rules

RULES: tuple[Rule, ...] = (
    *integer_views.RULES, *integer_reductions.RULES, *integer_groups.RULES, *integer_contractions.RULES,
    *integer_dynamic.RULES,
    *integer_floats.RULES, *integer_lookups.RULES,
)  # fmt: skip
TAILS = integer_tails.RULES
"""What makes floats exact that stay floats; afterwards, because a quantize behind them makes better tables."""


@register
@dataclass(frozen=True)
class Integerize:
    """Turn quantized regions into integer ops."""

    name: ClassVar[str] = "integerize"

    def run(self, graph: Graph) -> Graph:
        if not any(op.name == "dequantize" for op in graph):
            return graph
        for rules in (RULES, TAILS):
            while apply_rules(graph, rules):
                pass
        return graph

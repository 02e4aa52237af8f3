"""Algebra: identities, cheaper forms, and views that cancel, merge or sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Rule
from .registry import register
from .rules import algebra, branches, clips, joins, nothing, pads, sinking, views
from .tally import apply_rules

RULES: tuple[Rule, ...] = (
    *nothing.RULES,
    *algebra.RULES,
    *clips.RULES,
    *views.RULES,
    *joins.RULES,
    *pads.RULES,
    *sinking.RULES,
    *branches.RULES,
)


@register
@dataclass(frozen=True)
class Simplify:
    """Rewrite by algebra until nothing fires.

    Results stay as exact as they are, except that constants of chained sums and products are combined. `fast` also
    turns every division by a constant into a product, which is off by up to one unit in the last place.
    """

    name: ClassVar[str] = "simplify"
    fast: bool = False

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, [*RULES, *([algebra.div_by_constant_fast] if self.fast else [])])
        return graph

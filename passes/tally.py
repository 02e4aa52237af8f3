"""What the rules of a pass did, handed to the pass manager through the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..ir import Graph, Rule, rewrite

_KEY = "fired"


def apply_rules(graph: Graph, rules: Sequence[Rule]) -> bool:
    """Rewrite until no rule fires and tally what fired; whether anything did."""
    fired = rewrite(graph, rules).fired
    claim(graph, fired)
    return bool(fired)


def claim(graph: Graph, fired: Counter[str]) -> None:
    """Say what a pass did to a graph: how often it did what. An empty tally claims that nothing changed."""
    graph.metadata.setdefault(_KEY, Counter()).update(fired)


def take_claims(graph: Graph) -> Counter[str] | None:
    """What was claimed since the last call; None when nobody claimed anything."""
    found: Counter[str] | None = graph.metadata.pop(_KEY, None)
    return None if found is None else Counter(dict(sorted(found.items())))

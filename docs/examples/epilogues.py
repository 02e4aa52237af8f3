"""A fusion strategy of one's own: convolutions, products and pools take the elementwise ops behind them, no more.

python -m edgec compile model.onnx --plugin docs/examples/epilogues.py --fusion epilogues
"""

from __future__ import annotations

from collections.abc import Iterator

from edgec.ir import Graph, Op
from edgec.passes.fuse import Group, fusion_strategy
from edgec.passes.region_rules import ANCHORS, region_fault


@fusion_strategy("epilogues")
class Epilogues:
    """Grow a region from each anchor along the chain of its only readers."""

    def partition(self, graph: Graph) -> list[Group]:
        groups = (self.grown(graph, op) for op in graph if isinstance(op, ANCHORS))
        return [group for group in groups if len(group) > 1]

    def grown(self, graph: Graph, anchor: Op) -> Group:
        """The anchor and the ops behind it, as many as one kernel serves."""
        group = [anchor]
        for reader in chain(anchor):
            fault = region_fault([*group, reader])
            if fault:
                graph.note("epilogues", f"not fused with {anchor.name}: {fault}", reader, anchor)
                break
            group.append(reader)
        return group


def chain(op: Op) -> Iterator[Op]:
    """The only reader of an op, the only reader of that, and so on."""
    while op.results and op.result.has_one_use:
        (op,) = op.result.users
        if op.results:
            yield op

"""A pass of one's own: a relu behind which a max-pool stands is computed after the pool, on fewer elements.

python -m edgec compile model.onnx --plugin docs/examples/relu_past_pool.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.ir import Graph, Skip, Value
from edgec.ir.ops import Conv, Pool, Relu
from edgec.passes import register
from edgec.passes.tally import apply_rules


def relu_past_max_pool(pool: Pool) -> Value | Skip:
    """max-pool(relu(x)) -> relu(max-pool(x))"""
    relu = pool.x.producer
    if not isinstance(relu, Relu):
        return Skip()  # not this rule's business: no reason, nothing is recorded
    if pool.kind != "max":
        return Skip(f"relu and {pool.kind} cannot change places", relu)
    if not pool.x.has_one_use:
        return Skip("the relu has another reader and would be computed twice", relu)
    if isinstance(relu.x.producer, Conv):
        return Skip("the convolution in front of it computes the relu at no cost", relu)
    return Relu(pool.replace(x=relu.x).result).result


@register
@dataclass(frozen=True)
class ReluPastPool:
    """Compute a relu after the max-pool that reads it."""

    name: ClassVar[str] = "relu-past-pool"
    after: ClassVar[str] = "recognise"  # where it stands in the default pipeline

    def run(self, graph: Graph) -> Graph:
        apply_rules(graph, [relu_past_max_pool])
        return graph

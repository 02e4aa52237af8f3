"""Split matrix products of two computed operands into packing the right one and multiplying by panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Skip, Value, rewrite
from ..ir.ops import Constant, MatMul, PackPanels, PanelMatMul
from ..targets import Target
from .registry import register

VECTORS = 2


@register
@dataclass(frozen=True)
class PackOperands:
    """matmul(a, b) -> panel-matmul(a, pack-panels(b)) where b is computed at run time.

    `panel` columns to a panel; 0 takes two vectors of the target, 16 columns where there is none.
    """

    name: ClassVar[str] = "pack-operands"
    panel: int = 0
    target: Target | None = None

    def run(self, graph: Graph) -> Graph:
        panel = self.panel or 2 * (self.target.lanes if self.target else 8)

        def pack_computed_operand(product: MatMul) -> Value | Skip:
            if isinstance(product.b.producer, Constant) or product.a.rank < 2 or product.b.rank < 2:
                return Skip()
            if product.type.dtype.name != "f32":
                return Skip("panels are for f32")
            packed = PackPanels(product.b, panel)
            packed.origin = product.origin
            return PanelMatMul(product.a, packed.result, product.b.shape[-1]).result

        rewrite(graph, [pack_computed_operand])
        return graph

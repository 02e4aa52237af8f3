"""Put operands of kernels into panels: the right side of products of computed operands, recurrent weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Skip, Value, rewrite
from ..ir.dims import upper
from ..ir.ops import (
    Constant,
    MatMul,
    PackPanels,
    Pad,
    PanelMatMul,
    Recurrent,
    RecurrentInteger,
    Reshape,
    Transpose,
    array_of,
    constant,
)
from ..ir.ops.recurrent import GATES
from ..kernels.packing import pack_recurrent, pack_recurrent_pairs, pack_recurrent_scales
from ..kernels.table import choose_recurrent
from ..targets import Target
from .registry import register

VECTORS = 2


@register
@dataclass(frozen=True)
class PackOperands:
    """matmul(a, b) -> panel-matmul(a, pack-panels(b)) where b is computed at run time; recurrent weights in panels.

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

        def pack_recurrent_weights(layer: Recurrent) -> Value | Skip:
            if layer.panel:
                return Skip()
            units = self.panel or recurrent_panel(layer, self.target)
            packed = _integer_gates(layer, units) if isinstance(layer, RecurrentInteger) else _gates(layer, units)
            return layer.replace(**packed, panel=units).result  # type: ignore[no-any-return]

        rewrite(graph, [pack_computed_operand, pack_recurrent_weights])
        return graph


def recurrent_panel(layer: Recurrent, target: Target | None) -> int:
    """Units of the state whose gates are computed at once."""
    if target is None:
        return 8
    rows = 1 if layer.lengths is not None else upper(layer.x.shape[1])
    tile = choose_recurrent(target.isa, rows, layer.size, GATES[layer.cell], target.registers)
    return tile.panel


def _gates(layer: Recurrent, panel: int) -> dict[str, Value]:
    """The weights as [panels, H, gates, panel]."""
    weight, gates, size = layer.weight, GATES[layer.cell], layer.size
    known = array_of(weight)
    if known is not None:
        return {"weight": constant(pack_recurrent(known, gates, panel))}
    panels = -(-size // panel)
    wide = Reshape(weight, (gates, size, size)).result
    if panels * panel > size:
        wide = Pad(wide, (0, 0, 0, 0, panels * panel - size, 0)).result
    return {"weight": Transpose(Reshape(wide, (gates, panels, panel, size)).result, (1, 3, 0, 2)).result}


def _integer_gates(layer: RecurrentInteger, panel: int) -> dict[str, Value]:
    """The weights in pairs, and their scales."""
    gates = GATES[layer.cell]
    assert layer.scale is not None
    weight, scale = array_of(layer.weight), array_of(layer.scale)
    assert weight is not None and scale is not None  # noqa: PT018
    return {
        "weight": constant(pack_recurrent_pairs(weight, gates, panel)),
        "scale": constant(pack_recurrent_scales(scale, gates, panel)),
    }

"""Fused regions."""

from __future__ import annotations

from typing import Any

from ..graph import Graph
from ..op import Array, Op, Tolerance, operator
from ..types import TensorType
from ..value import Value


@operator("fused")
class Fused(Op):
    """Ops that become one kernel. `body` is a graph of its own: its inputs are the operands, its outputs results."""

    xs: tuple[Value, ...]
    body: Graph
    tolerance = Tolerance(1e-5, 1e-5)
    moves = True
    takes_text = True

    def infer(self, *xs: Any) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.body.outputs)

    def evaluate(self, *xs: Any) -> tuple[Array, ...]:
        return tuple(self.body.evaluate(list(xs[0])))

    def macs(self) -> int:
        return sum(op.macs() for op in self.body)

    @property
    def label(self) -> str:
        """What the region does, in the names of its ops."""
        return "+".join(op.name for op in self.body if op.name != "constant")

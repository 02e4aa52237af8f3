"""Fused regions, and cascades of them."""

from __future__ import annotations

from typing import Any

from ...errors import ModelError
from ..graph import Graph
from ..op import Array, Op, Tolerance, operator
from ..types import TensorType
from ..value import Value
from .assembly import Pad
from .constant import Constant


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


@operator("cascade")
class Cascade(Op):
    """Ops in a row, each of which reads some rows of the one before: no intermediate result is ever whole.

    `rows` rows of the result are computed at a time, and of each op in front only the rows that these need and that are
    not there yet. `bands` parts of the result are independent of one another, for threads. `body` is a graph of its
    own: its inputs are the operands, its output the result.
    """

    xs: tuple[Value, ...]
    body: Graph
    rows: int
    bands: int = 1
    tolerance = Tolerance(1e-5, 1e-5)
    moves = True

    def infer(self, *xs: Any) -> TensorType:
        if self.rows < 1 or self.bands < 1:
            raise ModelError(f"needs at least one row and one band, has {self.rows} and {self.bands}")
        (result,) = self.body.outputs
        return result.type

    def evaluate(self, *xs: Any) -> Array:
        (result,) = self.body.evaluate(list(xs[0]))
        return result

    def macs(self) -> int:
        return sum(op.macs() for op in self.body)

    @property
    def label(self) -> str:
        """What the regions do, one after another."""
        return " > ".join(label_of(op) for op in self.body if not isinstance(op, Constant | Pad))


def label_of(op: Op) -> str:
    """What an op computes, in the names of the ops that it is made of."""
    return op.label if isinstance(op, Fused | Cascade) else op.name


def inner_ops(op: Op) -> list[Op]:
    """The ops that an op is made of, constants aside: itself, or those of a region or of all regions of a cascade."""
    if isinstance(op, Fused):
        return [inner for inner in op.body if not isinstance(inner, Constant)]
    if isinstance(op, Cascade):
        return [inner for region in op.body if not isinstance(region, Constant) for inner in inner_ops(region)]
    return [op]

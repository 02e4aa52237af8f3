"""Refuse, by name and all at once, what no kernel of the C backend computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import Unsupported
from ..ir import Graph, Op
from ..ir.ops import (
    Constant,
    Conv,
    ConvInteger,
    MatMul,
    MatMulInteger,
    Pool,
    Recurrent,
    RecurrentInteger,
    Routine,
    array_of,
)
from ..ir.unsupported import unsupported
from .registry import register
from .rules.contractions import POOLED

CONTRACTIONS = (Conv, ConvInteger, MatMulInteger)


@register
@dataclass(frozen=True)
class CheckKernels:
    """Raise `Unsupported` for ops on element types or operands that no kernel takes.

    `narrow` says whether the backend moves and casts types below 32-bit floats and 8-bit integers.
    """

    name: ClassVar[str] = "check-kernels"
    checks: ClassVar[bool] = True
    narrow: bool = True

    def run(self, graph: Graph) -> Graph:
        refused = [unsupported(op, *fault) for op in graph if (fault := self.fault(op)) is not None]
        if refused:
            raise Unsupported(refused)
        return graph

    def fault(self, op: Op) -> tuple[str, str] | None:
        """Why an op is refused, and the nearest thing that works."""
        kinds = [v.dtype for v in (*op.operands, *op.results)]
        if not self.narrow and any(kind.is_narrow for kind in kinds):
            return f"{next(k.name for k in kinds if k.is_narrow)} is not computed", "the network in float32"
        return kernel_fault(op)


def kernel_fault(op: Op) -> tuple[str, str] | None:
    """Why no kernel computes an op, and the nearest thing that works; None where one does."""
    values = (*op.operands, *op.results)
    if any(0 in v.shape for v in values) and not isinstance(op, Constant | Routine):
        return "a tensor without elements", "dimensions of at least 1"
    if isinstance(op, Conv | MatMul | Recurrent) and op.operands[0].dtype.name != "f32":
        return f"its kernels are for f32, not {op.operands[0].dtype.name}", "float32"
    if isinstance(op, RecurrentInteger) and any(v.producer is None or array_of(v) is None for v in op.fixed):
        return "its weight is computed at run time", "a constant weight"
    if isinstance(op, Pool) and op.x.dtype.name not in POOLED.get(op.kind, ()):
        return f"its kernels are for f32, u8, i8 and i16, not {op.x.dtype.name}", "float32"
    if isinstance(op, CONTRACTIONS) and not isinstance(op.operands[1].producer, Constant):
        return "its weight is computed at run time", "a constant weight"
    bias = getattr(op, "bias", None)
    if isinstance(op, CONTRACTIONS) and bias is not None and not isinstance(bias.producer, Constant):
        return "its bias is computed at run time", "a constant bias, or Add behind it"
    return None

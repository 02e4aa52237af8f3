"""Compute numbers of narrow types in wide ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Value
from ..ir.ops import Cast
from ..ir.types import DType
from .registry import register


@register
@dataclass(frozen=True)
class WidenTypes:
    """Cast operands of narrow types (f16, bf16, 8-bit floats, 4-bit integers) to wide ones, and results back.

    What only moves elements stays as it is. `evaluate` computes the same: each result is rounded once.
    """

    name: ClassVar[str] = "widen-types"

    def run(self, graph: Graph) -> Graph:
        for op in graph:
            if op.computes_wide:
                casts = {v: _cast(v, v.dtype.wide) for v in op.operands}
                wide = op.with_operands(casts.__getitem__)
                graph.replace_op(op, [_cast(a, b.dtype) for a, b in zip(wide.results, op.results, strict=True)])
        return graph


def _cast(x: Value, to: DType) -> Value:
    return x if x.dtype == to else Cast(x, to).result

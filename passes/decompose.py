"""Composite operators in simpler ones, and contractions in the ranks that kernels serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import Unsupported
from ..ir import Graph, Op, Skip, Value
from ..ir.ops import (
    ArgReduce,
    Assembly,
    BitCast,
    Cast,
    Constant,
    ControlFlow,
    Conv,
    ConvInteger,
    ConvTranspose,
    Elementwise,
    FindSize,
    Gather,
    Impossible,
    Lookup,
    MatMul,
    MatMulInteger,
    PackPanels,
    PanelMatMul,
    Pool,
    Recurrent,
    Reduce,
    Routine,
    Sizes,
    View,
)
from ..ir.unsupported import unsupported
from .registry import register
from .rules import contractions, ranks
from .tally import apply_rules

SERVED = (
    ArgReduce,
    Assembly,
    BitCast,
    Cast,
    Constant,
    ControlFlow,
    Conv,
    ConvInteger,
    Elementwise,
    FindSize,
    Gather,
    Impossible,
    Lookup,
    MatMul,
    MatMulInteger,
    PackPanels,
    PanelMatMul,
    Pool,
    Recurrent,
    Reduce,
    Routine,
    Sizes,
    View,
)
"""What the C backend has a kernel or a generated loop for; everything else must expand."""


@register
@dataclass(frozen=True)
class Decompose:
    """Expand every op that has an expansion, until none is left; `Unsupported` lists what cannot be expanded.

    `keep` names operators that the backend serves itself, joined by +, as softmax+layer-norm.
    """

    name: ClassVar[str] = "decompose"
    keep: str = ""

    def run(self, graph: Graph) -> Graph:
        kept = frozenset(self.keep.split("+"))

        def expand_into_simpler(op: Op) -> Value | Skip:
            if op.name in kept:
                return Skip(f"the backend serves {op.name} itself")
            return op.expand() or Skip()

        apply_rules(graph, [*ranks.RULES, expand_into_simpler, *contractions.RULES])
        _refuse_the_rest(graph, kept)
        return graph


def _refuse_the_rest(graph: Graph, kept: frozenset[str]) -> None:
    left = [(op, reason) for op in graph if op.name not in kept and (reason := _unserved(op))]
    if left:
        raise Unsupported([unsupported(op, reason) for op, reason in left])


def _unserved(op: Op) -> str:
    """Why nothing serves an op; empty when something does."""
    if isinstance(op, Conv | Pool) and op.x.rank > 5:
        return f"it has {op.x.rank - 2} spatial dimensions, at most 3 are supported"
    if isinstance(op, ConvTranspose):
        return "its sizes are not known before the run"
    return "" if isinstance(op, SERVED) else f"{op.name} has no expansion here"

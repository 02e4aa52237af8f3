"""What one function of tensor IR computes: the ops of a fused region, or one op by itself."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Op, Value
from ...ir.ops import (
    ArgReduce,
    Constant,
    Conv,
    ConvInteger,
    Fused,
    GroupedConvInteger,
    GroupedMatMulInteger,
    MatMul,
    MatMulInteger,
    Pool,
    Reduce,
    uniform,
)

GROUPED = (GroupedConvInteger, GroupedMatMulInteger)
CONTRACTIONS = (Conv, ConvInteger, MatMul, MatMulInteger, *GROUPED)
ANCHORS = (*CONTRACTIONS, Pool)


@dataclass(frozen=True)
class Region:
    """Ops in order, what they read from outside, and the value that they compute.

    `outer` gives for each operand (the inputs of a fused op's body) the value that stands for it in the graph.
    """

    ops: tuple[Op, ...]
    operands: tuple[Value, ...]
    outer: dict[Value, Value]
    result: Value

    @staticmethod
    def of(op: Op) -> Region:
        """The region of an op of a fused graph."""
        if not isinstance(op, Fused):
            operands = tuple(dict.fromkeys(op.operands))
            return Region((op,), operands, {v: v for v in operands}, op.results[0])
        ops = tuple(one for one in op.body if not isinstance(one, Constant))
        outer = dict(zip(op.body.inputs, op.xs, strict=True))
        return Region(ops, tuple(op.body.inputs), outer, op.body.outputs[0])

    @property
    def anchor(self) -> Op | None:
        """The contraction or pool that the region is built around."""
        return next((op for op in self.ops if isinstance(op, ANCHORS)), None)

    @property
    def reductions(self) -> list[Reduce]:
        """Reductions over whole axes, in order."""
        return [op for op in self.ops if isinstance(op, Reduce)]

    @property
    def searches(self) -> list[ArgReduce]:
        """Searches for the largest or smallest element."""
        return [op for op in self.ops if isinstance(op, ArgReduce)]

    def literal(self, value: Value) -> float | None:
        """The number that a value is, where it is a scalar constant that a kernel writes as one number."""
        outer = self.outer.get(value, value)
        if not isinstance(outer.producer, Constant) or outer.type.size != 1:
            return None
        return uniform(outer)

    def constant(self, value: Value) -> Constant | None:
        """The constant behind an operand."""
        producer = self.outer.get(value, value).producer
        return producer if isinstance(producer, Constant) else None

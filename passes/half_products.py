"""Multiply in half precision: bf16 operands, f32 sums, where the network's own numbers are f32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, f32
from ..ir.ops import Constant, Conv, HalfConv, HalfMatMul, MatMul
from ..targets import Target
from .registry import Pass, register

PRECISIONS = ("f32", "bf16")


@register
@dataclass(frozen=True)
class HalfProducts:
    """conv -> half-conv and matmul -> half-matmul, where the weights are constants.

    `precision` is `f32`, which changes nothing, or `bf16`, which needs a target with products of bf16.
    """

    name: ClassVar[str] = "half-products"
    precision: str = "f32"
    target: Target | None = None

    def run(self, graph: Graph) -> Graph:
        check_name(self.precision)
        if self.precision == "f32":
            return graph
        if self.target is not None and not self.target.has("avx512bf16"):
            what = f"target '{self.target.name}' has no products of bf16"
            raise UsageError(what, hint="x86-64-v4 with --cpu znver4 or sapphirerapids has them")
        for op in graph:
            if fits(op):
                replace(graph, op)
        return graph


def check_name(precision: str) -> None:
    """UsageError where there is no such precision."""
    if precision not in PRECISIONS:
        what = f"there is no precision '{escape(precision)}'"
        raise UsageError(what, hint=f"precisions: {', '.join(PRECISIONS)}")


def check_precision(precision: str, chosen: Sequence[Pass], target: str, known: bool) -> None:
    """UsageError where no pass makes products of a precision; `known` says that a target's own passes do."""
    check_name(precision)
    if precision == "f32" or any(getattr(each, "precision", "") == precision for each in chosen):
        return
    if not known:
        hint = "targets of the C backend do; TensorRT has --option precision=fp16"
        raise UsageError(f"target '{target}' takes no --precision", hint=hint)
    what = f"--passes leaves out '{HalfProducts.name}', which makes products of {precision}"
    raise UsageError(what, hint="change the default list by '+name' and '-name'")


def fits(op: Op) -> bool:
    """Whether an op is a dense product of f32 with constant weights."""
    if type(op) is Conv:
        return type(op.w.producer) is Constant and op.type.dtype == f32 and not op.is_depthwise and op.type.rank == 4
    return type(op) is MatMul and type(op.b.producer) is Constant and op.type.dtype == f32 and op.b.rank == 2


def replace(graph: Graph, op: Op) -> None:
    """Put the half form in the place of an op."""
    if isinstance(op, Conv):
        made: Op = HalfConv(op.x, op.w, op.bias, op.strides, op.pads, op.dilations, op.groups)
    else:
        assert isinstance(op, MatMul)
        made = HalfMatMul(op.a, op.b)
    made.origin, made.result.type, made.result.name = op.origin, op.type, op.result.name
    graph.replace_op(op, [made.result])

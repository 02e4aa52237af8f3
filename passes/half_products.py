"""Multiply in half precision, bf16 or f16, where the network's own numbers are f32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Value, f32
from ..ir.ops import Cast, Constant, Conv, HalfConv, HalfMatMul, MatMul, Pad, array_of
from ..ir.types import DTYPES, DType, f16
from ..targets import Target, cpu_names, get_target, target_names
from .registry import Pass, register

FEATURES = {"bf16": "avx512bf16", "f16": "fp16"}
"""What a target has that has products of a precision."""
PRECISIONS = ("f32", *FEATURES)
MOST_F16 = float(np.finfo(np.float16).max)


@register
@dataclass(frozen=True)
class HalfProducts:
    """conv -> half-conv and matmul -> half-matmul, where the weights are constants; what f16 multiplies is cast to it.

    `precision` is `f32`, which changes nothing, or `bf16` or `f16`, which needs a target with such products.
    """

    name: ClassVar[str] = "half-products"
    precision: str = "f32"
    target: Target | None = None

    def run(self, graph: Graph) -> Graph:
        check_name(self.precision)
        if self.precision != "f32":
            self.check_target()
            halve(graph, DTYPES[self.precision])
        narrow(graph)
        return graph

    def check_target(self) -> None:
        """Refuse a target that has no products of the precision."""
        if self.target is None or self.target.has(FEATURES[self.precision]):
            return
        what = f"target '{self.target.name}' has no products of {self.precision}"
        raise UsageError(what, hint="; ".join(f"{name}: {', '.join(having(name))}" for name in FEATURES))


def having(precision: str) -> list[str]:
    """The targets that have products of a precision, as options of the command line."""
    feature, found = FEATURES[precision], []
    for name in (name for name in target_names() if name != "host"):
        cpus = [cpu for cpu in cpu_names(name) if get_target(name, cpu).has(feature)]
        if get_target(name).has(feature):
            found.append(name)
        elif cpus:
            found.append(f"{name} with --cpu {'|'.join(cpus)}")
    return found


# --- products -----------------------------------------------------------------------------------------------------


def halve(graph: Graph, to: DType) -> None:
    """Put the half form in the place of each dense product of f32 with constant weights."""
    for op in graph:
        if not fits(op):
            continue
        if to == f16 and op.type.is_open:
            graph.note("half-products", "stays in f32: a size is open", op)
            continue
        check_weights(op, to)
        replace(graph, op, to)


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


def check_weights(op: Op, to: DType) -> None:
    """Refuse weights that would be infinite."""
    weights = array_of(op.operands[1])
    assert weights is not None
    most = float(np.abs(weights).max())
    if to == f16 and most > MOST_F16:
        what = f"{op.name}: a weight of size {most:g} is beyond {MOST_F16:g}, the largest number of f16"
        raise UsageError(what, str(op.origin or ""), hint="--precision f32, or another scale of the weights")


def replace(graph: Graph, op: Op, to: DType) -> None:
    """Put the half form in the place of an op."""
    if isinstance(op, Conv):
        made: Op = HalfConv(op.x, op.w, op.bias, op.strides, op.pads, op.dilations, op.groups, to)
    else:
        assert isinstance(op, MatMul)
        made = HalfMatMul(op.a, op.b, to)
    made.origin, made.result.type, made.result.name = op.origin, op.type, op.result.name
    graph.replace_op(op, [made.result])


# --- operands -----------------------------------------------------------------------------------------------------


def narrow(graph: Graph) -> None:
    """Cast what products of f16 read, once for all of them, and inside of its border where it has one."""
    known: dict[Value, Value] = {}
    for op in [op for op in graph if isinstance(op, HalfConv | HalfMatMul) and op.to == f16]:
        x = op.operands[0]
        if x.dtype != f16:
            made = op.with_operands(lambda v, x=x: narrowed(v, known) if v is x else v)  # type: ignore[misc]
            made.origin, made.result.type, made.result.name = op.origin, op.type, op.result.name
            graph.replace_op(op, [made.result])
    for value in known:
        if isinstance(value.producer, Pad) and not value.users:
            graph.remove(value.producer)


def narrowed(x: Value, known: dict[Value, Value]) -> Value:
    """A value in f16; the same for the same value."""
    if x not in known:
        op = x.producer
        made: Op = Pad(narrowed(op.x, known), op.pads, op.value) if isinstance(op, Pad) else Cast(x, f16)
        made.result.type = x.type.with_dtype(f16)
        known[x] = made.result
    return known[x]

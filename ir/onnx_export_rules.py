"""How each operator is spelled in ONNX: one function an operator, found by its class.

A rule returns the tensor of the result, a tuple for several, or None where this very op has no counterpart and must be
expanded. An op that was declared with its ONNX name needs no rule, nor does any elementwise op: its expression says it
all.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from .onnx_export_writer import Tensor, Writer
from .op import Op
from .ops import ArgReduce, Cast, Clip, Dequantize, Elementwise, Max, Min, PRelu, Reduce, ShiftLeft, ShiftRight, Where
from .ops.arithmetic import Fmod
from .ops.quantize import Requantizing
from .scalar import Scalar, nodes_of
from .types import DType, f32

Rule = Callable[[Any, Writer], Tensor | tuple[Tensor, ...] | None]
RULES: dict[type[Op], Rule] = {}

PRIMITIVES = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "min": "Min", "max": "Max", "neg": "Neg",
    "abs": "Abs", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf",
    "sin": "Sin", "cos": "Cos", "floor": "Floor", "ceil": "Ceil", "round": "Round", "lt": "Less", "le": "LessOrEqual",
    "eq": "Equal", "and": "And", "or": "Or", "xor": "Xor", "not": "Not", "select": "Where",
    "asin": "Asin", "acos": "Acos", "atan": "Atan",
    "bitand": "BitwiseAnd", "bitor": "BitwiseOr", "bitxor": "BitwiseXor", "bitnot": "BitwiseNot",
}  # fmt: skip
"""ONNX operators of the primitives of scalar expressions."""

SHIFTS = {"shl": "LEFT", "shr": "RIGHT"}


def rule(function: Rule) -> Rule:
    """Register a rule for the op that its first parameter is annotated with."""
    hints = typing.get_type_hints(function)
    RULES[next(iter(hints.values()))] = function
    return function


def spell(op: Op, writer: Writer, plain: bool = False) -> tuple[Tensor, ...] | None:
    """The results of an op as tensors, None where it must be expanded; `plain` takes the expression of the op."""
    if too_new(op):
        return None
    from . import (  # noqa: F401
        onnx_export_quantize,
        onnx_export_recurrent,
        onnx_export_routines,
        onnx_export_shape,
        onnx_export_window,
    )

    if plain and isinstance(op, Elementwise):
        return (expression(op, writer),)
    found = RULES.get(type(op), _as_declared)(op, writer)
    if isinstance(found, tuple):
        return found
    return None if found is None else (found,)


def _as_declared(op: Op, writer: Writer) -> Tensor | None:
    if op.onnx and not op.domain:
        return one_to_one(op, writer)
    if isinstance(op, Elementwise):
        return expression(op, writer)
    return None


def too_new(op: Op) -> bool:
    """Whether ONNX has an op on these element types only in versions later than those that are written."""
    kinds = [value.dtype for value in (*op.operands, *op.results)]
    signed_shift = isinstance(op, ShiftLeft | ShiftRight) and kinds[0].name.startswith("i")
    return signed_shift or (isinstance(op, Cast) and any(kind.is_narrow and kind.bits < 16 for kind in kinds))


def one_to_one(op: Op, writer: Writer) -> Tensor:
    """The ONNX operator that an op was declared with, its attributes under the same names."""
    attributes = {f.name: getattr(op, f.name) for f in op.attribute_fields()}
    return writer.emit(op.onnx, *map(writer.of, op.operands), **attributes)


def expression(op: Elementwise, writer: Writer) -> Tensor:
    """An elementwise op by its scalar expression; what quantizes or dequantizes computes in float32."""
    if isinstance(op, Requantizing | Dequantize):
        wide = [writer.of(v) if v.dtype == f32 else writer.cast(writer.of(v), f32) for v in op.operands]
        found = spelled(op.expression, wide, f32, writer)
        return found if op.type.dtype == f32 else writer.cast(found, op.type.dtype)
    return spelled(op.expression, [writer.of(v) for v in op.operands], op.operands[0].dtype, writer)


def spelled(meaning: Scalar, operands: list[Tensor], dtype: DType, writer: Writer) -> Tensor:
    """A scalar expression over tensors, node by node; literals have the element type `dtype`."""
    made: dict[int, Tensor] = {}
    for node in nodes_of(meaning)[0]:
        made[id(node)] = _primitive(node, [made[id(a)] for a in node.args], operands, dtype, writer)
    found = made[id(meaning)]
    return found if node.args else writer.emit("Identity", found)


def _primitive(node: Scalar, args: list[Tensor], operands: list[Tensor], dtype: DType, writer: Writer) -> Tensor:
    if node.primitive == "arg":
        return operands[int(node.literal)]
    if node.primitive == "const":
        return writer.weights(np.asarray(node.literal).astype(dtype.numpy))
    if node.primitive == "mod":
        return writer.emit("Mod", *args, fmod=1)
    if node.primitive == "power_of_two":
        return writer.emit("Pow", writer.weights(np.asarray(2, dtype.numpy)), *args)
    if node.primitive in SHIFTS:
        return writer.emit("BitShift", *args, direction=SHIFTS[node.primitive])
    return writer.emit(PRIMITIVES[node.primitive], *args)


# --- elementwise ------------------------------------------------------------------------------------------------------


@rule
def shift_left(op: ShiftLeft, writer: Writer) -> None:
    """ONNX does not say what a shift by the width is."""


@rule
def shift_right(op: ShiftRight, writer: Writer) -> None:
    """ONNX does not say what a shift by the width is."""


@rule
def cast(op: Cast, writer: Writer) -> Tensor:
    return writer.cast(writer.of(op.x), op.to)


@rule
def clip(op: Clip, writer: Writer) -> Tensor:
    low, high = (writer.weights(np.asarray(n).astype(op.x.dtype.numpy)) for n in (op.low, op.high))
    return writer.emit("Clip", writer.of(op.x), low, high)


@rule
def maximum(op: Max, writer: Writer) -> Tensor:
    return writer.emit("Max", writer.of(op.x), writer.of(op.y))


@rule
def minimum(op: Min, writer: Writer) -> Tensor:
    return writer.emit("Min", writer.of(op.x), writer.of(op.y))


@rule
def remainder(op: Fmod, writer: Writer) -> Tensor:
    return writer.emit("Mod", writer.of(op.x), writer.of(op.y), fmod=1)


@rule
def where(op: Where, writer: Writer) -> Tensor:
    return writer.emit("Where", *map(writer.of, op.operands))


@rule
def prelu(op: PRelu, writer: Writer) -> Tensor:
    """ONNX lets only the slope broadcast."""
    return one_to_one(op, writer) if op.type.shape == op.x.shape else expression(op, writer)


# --- reductions -------------------------------------------------------------------------------------------------------

REDUCTIONS = {"sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd", "mean": "ReduceMean"}


@rule
def reduce(op: Reduce, writer: Writer) -> Tensor:
    return writer.emit(REDUCTIONS[op.kind], writer.of(op.x), writer.integers(op.axes), keepdims=int(op.keepdims))


@rule
def arg_reduce(op: ArgReduce, writer: Writer) -> Tensor:
    attributes = {"axis": op.axis, "keepdims": int(op.keepdims), "select_last_index": int(op.last)}
    return writer.emit("ArgMax" if op.kind == "max" else "ArgMin", writer.of(op.x), **attributes)


__all__ = ["RULES", "expression", "one_to_one", "rule", "spell", "spelled"]

"""Rules: arithmetic, comparison, casts and functions of single elements."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ..errors import ModelError
from ..escaping import escape
from .onnx_random import random_state
from .onnx_rules import Node, NotCovered, needs_float, rule
from .onnx_tensors import element_type
from .ops import (
    Abs,
    Add,
    And,
    BitCast,
    Cast,
    Ceil,
    Clip,
    Cos,
    Div,
    Equal,
    Exp,
    Expand,
    Floor,
    Fmod,
    Less,
    LessEqual,
    Log,
    Max,
    Min,
    Mul,
    Neg,
    Not,
    Or,
    Pow,
    Reciprocal,
    Relu,
    Reshape,
    Round,
    ShiftLeft,
    ShiftRight,
    Shrink,
    Sigmoid,
    Silu,
    Sin,
    Sqrt,
    Sub,
    Where,
    Xor,
    constant,
    like,
    uniform,
)
from .types import DType, boolean, f32, f64
from .value import Value


@rule("Identity")
def identity(node: Node) -> Value:
    return node.x


@rule("Max", "Min", "Sum", "Mean")
def variadic(node: Node) -> Value:
    """Any number of operands, two at a time."""
    ops: dict[str, Any] = {"Max": Max, "Min": Min, "Sum": Add, "Mean": Add}
    join: Callable[[Value, Value], Value] = lambda a, b: ops[node.op_type](a, b).result  # noqa: E731
    total = reduce(join, node.given)
    return Mul(total, like(total, 1 / len(node.inputs))).result if node.op_type == "Mean" else total


@rule("Greater", "GreaterOrEqual")
def greater(node: Node) -> Value:
    """The mirror images of less."""
    x, y = node.given
    return Less(y, x).result if node.op_type == "Greater" else LessEqual(y, x).result


@rule("Pow")
def power(node: Node) -> Value:
    """The result has the type of the base, whatever the type of the exponent."""
    x, y = node.given
    if x.dtype.is_integer and y.dtype.is_float:
        return cast(Pow(cast(x, y.dtype), y).result, x.dtype)
    return Pow(x, cast(y, x.dtype)).result


@rule("Mod")
def modulo(node: Node) -> Value:
    """The remainder with the sign of the divisor, or as C has it with fmod=1."""
    x, y = node.given
    left = Fmod(x, y).result
    if node.flag("fmod") or x.dtype.name.startswith("u"):
        return left
    zero = like(x, 0)
    differs = Xor(Less(left, zero).result, Less(y, zero).result).result
    wraps = And(Not(Equal(left, zero).result).result, differs).result
    return Where(wraps, Add(left, y).result, left).result


def cast(x: Value, dtype: DType) -> Value:
    """x in another element type."""
    return x if x.dtype == dtype else Cast(x, dtype).result


@rule("Cast")
def cast_to(node: Node) -> Value:
    return _converted(node, element_type(node.integer("to"), node.strings))


@rule("CastLike")
def cast_like(node: Node) -> Value:
    return _converted(node, node.input(1).dtype)


def _converted(node: Node, to: DType) -> Value:
    """Rounding and saturation are attributes, which matter where the numbers do not fit."""
    if node.x.dtype == to:
        return node.x
    return Cast(node.x, to, node.flag("saturate", 1), node.text("round_mode", "up")).result


@rule("BitCast")
def bit_cast(node: Node) -> Value:
    to = element_type(node.integer("to"))
    return node.x if node.x.dtype == to else BitCast(node.x, to).result


@rule("Clip")
def clip(node: Node) -> Value:
    """Bounds are attributes before version 11, operands from then on."""
    if node.version < 11:
        return Clip(node.x, node.number("min"), node.number("max")).result
    low, high = node.optional(1), node.optional(2)
    bounds = [_bound(node, 1, -np.inf), _bound(node, 2, np.inf)]
    if node.x.dtype.is_float and None not in bounds and (low or high):
        return _clip_floats(node.x, *[b for b in bounds if b is not None])
    found = node.x if low is None else Max(_scalar(low), node.x).result
    return found if high is None else Min(_scalar(high), found).result


def _bound(node: Node, position: int, default: float) -> float | None:
    """A bound as a number, None where it is not known."""
    try:
        return node.known_number(position, "bound") if node.has(position) else default
    except NotCovered:
        return None


def _clip_floats(x: Value, low: float, high: float) -> Value:
    return Relu(x).result if (low, high) == (0, np.inf) else Clip(x, low, high).result


def _scalar(bound: Value) -> Value:
    return Reshape(bound, ()).result if bound.rank else bound


@rule("IsNaN")
def is_nan(node: Node) -> Value:
    return Not(Equal(node.x, node.x).result).result


@rule("IsInf")
def is_inf(node: Node) -> Value:
    """Either sign can be left out."""
    needs_float(node.x)
    above, below = (Equal(node.x, like(node.x, sign * np.inf)).result for sign in (1, -1))
    if node.flag("detect_positive", 1) and node.flag("detect_negative", 1):
        return Or(above, below).result
    if node.flag("detect_positive", 1) or node.flag("detect_negative", 1):
        return above if node.flag("detect_positive", 1) else below
    return And(above, below).result


@rule("Swish")
def swish(node: Node) -> Value:
    """x * sigmoid(alpha * x)."""
    alpha = node.number("alpha")
    if alpha == 1:
        return Silu(node.x).result
    return Mul(node.x, Sigmoid(Mul(node.x, like(node.x, alpha)).result).result).result


@rule("Tan")
def tan(node: Node) -> Value:
    return Div(Sin(node.x).result, Cos(node.x).result).result


@rule("Sinh", "Cosh")
def hyperbolic(node: Node) -> Value:
    """Half the sum or difference of exp(x) and exp(-x)."""
    rising, falling = Exp(node.x).result, Exp(Neg(node.x).result).result
    joined = Sub(rising, falling) if node.op_type == "Sinh" else Add(rising, falling)
    return Mul(joined.result, like(node.x, 0.5)).result


@rule("Asinh", "Acosh")
def inverse_hyperbolic(node: Node) -> Value:
    """log(x + sqrt(x * x +- 1)); asinh by its magnitude, which keeps negative operands exact."""
    x, one = node.x, like(node.x, 1)
    if node.op_type == "Acosh":
        return Log(Add(x, Sqrt(Sub(Mul(x, x).result, one).result).result).result).result
    size = Abs(x).result
    found = Log(Add(size, Sqrt(Add(Mul(x, x).result, one).result).result).result).result
    return Where(Less(x, like(x, 0)).result, Neg(found).result, found).result


@rule("Atanh")
def atanh(node: Node) -> Value:
    x, one = node.x, like(node.x, 1)
    ratio = Div(Add(one, x).result, Sub(one, x).result).result
    return Mul(Log(ratio).result, like(x, 0.5)).result


@rule("Shrink")
def shrink(node: Node) -> Value:
    """Of integers in floats, as which the attributes are given; the result is truncated."""
    x = node.x
    wide = x if x.dtype.is_float else cast(x, f32 if x.dtype.bits <= 16 else f64)
    return cast(Shrink(wide, node.number("bias", 0.0), node.number("lambd", 0.5)).result, x.dtype)


@rule("Reciprocal")
def reciprocal(node: Node) -> Value:
    needs_float(node.x)
    return Reciprocal(node.x).result


@rule("BitShift")
def bit_shift(node: Node) -> Value:
    directions: dict[str, Any] = {"LEFT": ShiftLeft, "RIGHT": ShiftRight}
    direction = node.text("direction")
    if direction not in directions:
        raise ModelError(f"unknown direction '{escape(direction)}'", hint="LEFT or RIGHT")
    made: Value = directions[direction](*node.given).result
    return made


@rule("Dropout")
def dropout(node: Node) -> tuple[Value | None, ...]:
    """Nothing, outside of training; the mask is all true."""
    training = node.optional(2)
    if training is not None and uniform(training) != 0:
        return _dropped(node, training)
    shown = Expand(constant(True, boolean), node.x.shape).result if node.wants(1) else None
    return node.x, shown


def _dropped(node: Node, training: Value) -> tuple[Value, Value]:
    """While training: a share of the elements is zero, the others grow. Which ones follows from the seed."""
    x, ratio = node.x, node.optional(1) or constant(0.5, f32)
    drawn = constant(random_state(node).uniform(0.0, 1.0, x.shape).astype(np.float32))
    on, ratio = _scalar(training), _scalar(cast(ratio, f32))
    kept = Or(Not(Less(drawn, ratio).result).result, Not(on).result).result
    scale = Reciprocal(Sub(constant(1.0, f32), ratio).result).result
    grown = Mul(x, cast(Where(on, scale, constant(1.0, f32)).result, x.dtype)).result
    return Where(kept, grown, like(x, 0)).result, kept


@rule("Floor", "Ceil", "Round")
def rounding(node: Node) -> Value:
    needs_float(node.x)
    ops: dict[str, Any] = {"Floor": Floor, "Ceil": Ceil, "Round": Round}
    made: Value = ops[node.op_type](node.x).result
    return made

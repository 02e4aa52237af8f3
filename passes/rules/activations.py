"""Activation functions that a model has spelled out in arithmetic."""

from __future__ import annotations

import itertools
import math

from ...ir import Op, Skip, Value
from ...ir.ops import (
    Abs,
    Add,
    Clip,
    Div,
    Elementwise,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Less,
    Log,
    Max,
    Min,
    Mish,
    Mul,
    PRelu,
    Reciprocal,
    Relu,
    Sigmoid,
    Silu,
    Softplus,
    Sub,
    Tanh,
    Where,
    like,
)
from .match import both_ways, close, fits, is_constant, is_number, made_by, number, same_type
from .terms import affine_of, negated, product_of

TANH_SCALE, TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


def sigmoid_of_exp(op: Elementwise) -> Value | Skip:
    """y / (1 + exp(-x)) = y * sigmoid(x)"""
    if isinstance(op, Div):
        above, below = op.x, op.y
    elif isinstance(op, Reciprocal):
        above, below = None, op.x
    else:
        return Skip()
    sum_ = affine_of(below)
    exponential = made_by(sum_.x, Exp)
    if exponential is None or not (close(sum_.slope, 1) and close(sum_.offset, 1)):
        return Skip()
    x = negated(exponential.x)
    if x is None:
        return Skip("1 / (1 + exp(x)) without a minus is not a sigmoid of x", exponential)
    found = Sigmoid(x).result
    if above is None or (is_number(above, 1) and same_type(found, op.result)):
        return found
    return Mul(above, found).result


def softplus_of_exp(op: Log) -> Value | Skip:
    """log(1 + exp(x)) = softplus(x)"""
    affine = affine_of(op.x)
    inner = made_by(affine.x, Exp)
    if inner is None:
        return Skip()
    if not (close(affine.slope, 1) and close(affine.offset, 1)):
        return Skip("the logarithm is not of 1 + exp(x)", inner)
    return Softplus(inner.x).result


def hard_sigmoid_of_clip(op: Elementwise) -> Value | Skip:
    """c * clip(a * x + b, low, high) = hard-sigmoid when c * low = 0 and c * high = 1"""
    if not isinstance(op, Clip | Mul | Div) or not op.type.dtype.is_float:
        return Skip()
    outer = product_of(op.result)
    inner = made_by(outer.factors[0], Clip) if len(outer.factors) == 1 else None
    if inner is None or inner.low != 0 or not close(outer.number * inner.high, 1):
        return Skip()
    affine = affine_of(inner.x)
    if affine.x is inner.x:
        return Skip()
    return HardSigmoid(affine.x, outer.number * affine.slope, outer.number * affine.offset).result


def product_activation(op: Elementwise) -> Value | Skip:
    """x * g(x) as silu, mish, hard-swish or gelu, in any order of factors"""
    if not isinstance(op, Mul | Div) or not op.type.dtype.is_float:
        return Skip()
    product = product_of(op.result)
    if len(product.factors) < 2:
        return Skip()
    pairs = itertools.product(product.factors, dict.fromkeys(product.factors))
    gated = (_gated(product.number, x, g) for g, x in pairs if product.other_than(x) == [g] and x is not g)
    return next((found for found in gated if found is not None), Skip())


def _gated(factor: float, x: Value, gate: Value) -> Value | None:
    if close(factor, 1) and isinstance(gate.producer, Sigmoid) and gate.producer.x is x:
        return Silu(x).result
    if close(factor, 1) and isinstance(gate.producer, Tanh) and _is_softplus_of(gate.producer.x, x):
        return Mish(x).result
    if _is_hard_gate(factor, gate, x):
        return HardSwish(x).result
    return _gelu(factor, x, gate)


def _is_softplus_of(value: Value, x: Value) -> bool:
    return isinstance(value.producer, Softplus) and value.producer.x is x


def _is_hard_gate(factor: float, gate: Value, x: Value) -> bool:
    """Whether factor * gate is clip(x / 6 + 1 / 2, 0, 1)."""
    hard = made_by(gate, HardSigmoid)
    if hard is not None:
        return close(factor, 1) and hard.x is x and close(hard.alpha, 1 / 6) and close(hard.beta, 0.5)
    clip = made_by(gate, Clip)
    if clip is None or clip.low != 0 or not close(factor * clip.high, 1):
        return False
    affine = affine_of(clip.x)
    return affine.x is x and close(factor * affine.slope, 1 / 6) and close(factor * affine.offset, 0.5)


def _gelu(factor: float, x: Value, gate: Value) -> Value | None:
    """gelu(x) of factor * x * gate, where factor * gate = (1 + erf(x / sqrt(2))) / 2, or its form with tanh."""
    affine = affine_of(gate)
    if not close(factor * affine.slope, 0.5) or not close(factor * affine.offset, 0.5):
        return None
    inner = affine.x.producer
    if isinstance(inner, Erf):
        inside = product_of(inner.x)
        return Gelu(x).result if inside.factors == (x,) and close(inside.number, math.sqrt(0.5)) else None
    if isinstance(inner, Tanh) and _is_tanh_argument(inner.x, x):
        return Gelu(x, "tanh").result
    return None


def _is_tanh_argument(value: Value, x: Value) -> bool:
    """Whether a value is sqrt(2 / pi) * (x + 0.044715 * x ** 3), the cube inside or outside of a bracket."""
    product = product_of(value)
    if not close(product.number, TANH_SCALE):
        return False
    if len(product.factors) == 1:
        sum_ = made_by(product.factors[0], Add)
        return sum_ is not None and any(a is x and _is_term(b, x, 3) for a, b in both_ways(sum_))
    left = product.other_than(x)
    if len(left) != 1:
        return False
    bracket = left[0].producer
    return isinstance(bracket, Add) and any(is_number(a, 1) and _is_term(b, x, 2) for a, b in both_ways(bracket))


def _is_term(value: Value, x: Value, power: int) -> bool:
    """Whether a value is 0.044715 * x ** power."""
    product = product_of(value)
    return close(product.number, TANH_CUBIC) and product.factors == (x,) * power


def leaky_of_max(op: Max) -> Value | Skip:
    """max(x, a * x) = leaky-relu(x) for 0 <= a <= 1"""
    for x, y in both_ways(op):
        product = product_of(y)
        if product.factors == (x,) and y is not x:
            if not 0 <= product.number <= 1:
                return Skip(f"a slope of {product.number:g} is not between 0 and 1")
            return LeakyRelu(x, product.number).result
    return Skip()


def leaky_of_where(op: Where) -> Value | Skip:
    """where(x < 0, a * x, x) = leaky-relu(x)"""
    below = made_by(op.condition, Less)
    if below is None:
        return Skip()
    if is_number(below.y, 0):
        x, negative, positive = below.x, op.x, op.y
    elif is_number(below.x, 0):
        x, negative, positive = below.y, op.y, op.x
    else:
        return Skip()
    product = product_of(negative)
    if positive is not x or product.factors != (x,):
        return Skip()
    return LeakyRelu(x, product.number).result


def prelu_of_relus(op: Elementwise) -> Value | Skip:
    """relu(x) + slope * min(x, 0), the second term in any of its spellings"""
    if isinstance(op, Add):
        ways = [(x, y, 1.0) for x, y in both_ways(op)]
    elif isinstance(op, Sub):
        ways = [(op.x, op.y, -1.0)]
    else:
        return Skip()
    for first, second, sign in ways:
        positive = made_by(first, Relu)
        found = _slope_of_negative(second, positive.x) if positive is not None else None
        if positive is not None and found is not None:
            return _prelu(positive.x, found[0], sign * found[1], op)
    return Skip()


def _prelu(x: Value, slope: Value | None, factor: float, op: Op) -> Value | Skip:
    if slope is None:
        return LeakyRelu(x, factor).result
    if not fits(slope.shape, x.shape):
        return Skip("the slope is larger than the tensor")
    return PRelu(x, slope if factor == 1 else Mul(slope, like(slope, factor)).result).result


def _slope_of_negative(value: Value, x: Value) -> tuple[Value | None, float] | None:
    """Slope and number of slope * number * min(x, 0)."""
    factor, slope = 1.0, None
    for _ in range(3):
        found = _negative_part(value, x)
        if found is not None:
            return slope, factor * found
        op = value.producer
        if not isinstance(op, Mul):
            return None
        constants = [(rest, c) for rest, c in both_ways(op) if is_constant(c)]
        if not constants or (number(constants[0][1]) is None and slope is not None):
            return None
        value, multiplier = constants[0]
        known = number(multiplier)
        factor, slope = (factor * known, slope) if known is not None else (factor, multiplier)
    return None


def _negative_part(value: Value, x: Value) -> float | None:
    """The number n of n * min(x, 0), written as min(x, 0), -relu(-x) or (x - |x|) / 2."""
    op = value.producer
    if isinstance(op, Min) and any(a is x and is_number(b, 0) for a, b in both_ways(op)):
        return 1.0
    if isinstance(op, Relu) and negated(op.x) is x:
        return -1.0
    inner = negated(value)
    if inner is not None and isinstance(inner.producer, Relu) and negated(inner.producer.x) is x:
        return 1.0
    if isinstance(op, Sub) and op.x is x and isinstance(op.y.producer, Abs) and op.y.producer.x is x:
        return 2.0
    return None


RULES = (
    sigmoid_of_exp, softplus_of_exp, hard_sigmoid_of_clip, product_activation, leaky_of_max, leaky_of_where,
    prelu_of_relus,
)  # fmt: skip

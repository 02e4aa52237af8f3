"""Softmax and activations of floats that come from integers, in arithmetic that has the same bits everywhere.

What the platform computes as `exp` differs in its last bits, and sums of floats depend on the order of their terms.
Where the operand is exact, so is the result: with exponentials of single operations and sums of integers.
"""

from __future__ import annotations

import math

from ...ir import Op, Rule, Skip, Value
from ...ir.ops import (
    Add,
    Cast,
    Concat,
    ConvInteger,
    Dequantize,
    Elementwise,
    Exp,
    Expand,
    Gather,
    Lookup,
    MatMul,
    MatMulInteger,
    Mul,
    Pad,
    Pool,
    PortableExp,
    PortableSigmoid,
    PortableTanh,
    Reciprocal,
    Reduce,
    Reshape,
    Round,
    Sigmoid,
    Silu,
    Slice,
    Softmax,
    Sub,
    Tanh,
    Transpose,
    constant,
    uniform,
)
from ...ir.types import f32
from .integer_lookups import depends_on_platform, tabulated_float

SIGNIFICAND_BITS = 24
LEAST_BITS = 8
VIEWS = (Reshape, Transpose, Slice, Expand, Gather, Concat, Pad)
CONTRACTIONS = (ConvInteger, MatMulInteger)


def is_exact(value: Value) -> bool:
    """Whether a value has the same bits on every target, integers and inputs of the graph being given."""
    seen: set[Value] = set()
    work = [value]
    while work:
        current = work.pop()
        op = current.producer
        if current in seen or op is None or not current.dtype.is_float:
            continue
        seen.add(current)
        if not _keeps_exact(op):
            return False
        work += op.operands
    return True


def _keeps_exact(op: Op) -> bool:
    """Whether exact operands give an exact result."""
    if isinstance(op, Elementwise):
        return not depends_on_platform(op)
    if isinstance(op, Reduce):
        return op.kind in ("max", "min") or (op.kind == "sum" and _is_integer(op.x))
    if isinstance(op, Pool):
        return op.kind == "max" or (op.kind == "sum" and op.x.dtype.is_integer)
    if isinstance(op, MatMul):
        return all(_holds_integers(v) for v in op.operands)
    return not op.operands or isinstance(op, (Cast, Lookup, *VIEWS, *CONTRACTIONS))


def _is_integer(value: Value) -> bool:
    return isinstance(value.producer, Cast) and value.producer.x.dtype.is_integer


def _holds_integers(value: Value) -> bool:
    """Whether floats are small integers, as `integer_floats` makes them for sums that f32 holds."""
    op = value.producer
    return isinstance(op, Dequantize) and op.x.dtype.bits == 8 and uniform(op.scale) == 1


def softmax_of_exact(softmax: Softmax) -> Value | Skip:
    """softmax(x) of exact x: what is left out of the sum of the terms is below 2^-24 of it"""
    if softmax.log or softmax.x.dtype != f32 or not is_exact(softmax.x):
        return Skip()
    axes, count = (softmax.axis,), softmax.x.shape[softmax.axis]
    doublings = math.ceil(math.log2(max(count, 1)))
    bits = SIGNIFICAND_BITS - doublings
    if bits < LEAST_BITS:
        return Skip(f"a sum of {count} terms is not exact in f32")
    below = Sub(softmax.x, Reduce(softmax.x, "max", axes).result).result
    terms = Mul(PortableExp(below).result, constant(2.0**bits, f32)).result
    total = _exact_sum(terms, axes, bits, math.ceil((SIGNIFICAND_BITS + doublings) / bits))
    return Mul(terms, Reciprocal(total).result).result


def _exact_sum(terms: Value, axes: tuple[int, ...], bits: int, parts: int) -> Value:
    """The sum of terms up to 2^bits, in parts of so many bits that f32 sums each part exactly, in whatever order."""
    up, down = constant(2.0**bits, f32), constant(2.0**-bits, f32)
    sums, rest = [], terms
    for _ in range(parts):
        part = Round(rest).result
        sums.append(Reduce(part, "sum", axes).result)
        rest = Mul(Sub(rest, part).result, up).result
    total = sums.pop()
    while sums:
        total = Add(sums.pop(), Mul(total, down).result).result
    return total


def exponential_of_exact(op: Exp) -> Value | Skip:
    return PortableExp(op.x).result if _applies(op) else Skip()


def sigmoid_of_exact(op: Sigmoid) -> Value | Skip:
    return PortableSigmoid(op.x).result if _applies(op) else Skip()


def silu_of_exact(op: Silu) -> Value | Skip:
    """x * sigmoid(x)"""
    return Mul(op.x, PortableSigmoid(op.x).result).result if _applies(op) else Skip()


def tanh_of_exact(op: Tanh) -> Value | Skip:
    return PortableTanh(op.x).result if _applies(op) else Skip()


def _applies(op: Exp | Sigmoid | Silu | Tanh) -> bool:
    return op.x.dtype == f32 and is_exact(op.x)


RULES: tuple[Rule, ...] = (
    tabulated_float, softmax_of_exact, exponential_of_exact, sigmoid_of_exact, silu_of_exact, tanh_of_exact,
)  # fmt: skip

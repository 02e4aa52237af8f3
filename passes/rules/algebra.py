"""Arithmetic: identities, strength reduction, constants that meet."""

from __future__ import annotations

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import (
    Abs,
    Add,
    Cast,
    Ceil,
    Div,
    Elementwise,
    Expand,
    Floor,
    Mul,
    Neg,
    Not,
    Pow,
    Reciprocal,
    Round,
    Sign,
    Sqrt,
    Sub,
    Where,
    array_of,
    constant,
)
from .match import both_ways, is_constant, is_finite, is_number, made_by, number, same_type

WIDENS = "the constant makes the result larger than the operand"
SHARED = "the operand has another reader"


def _kept(x: Value, whole: Value) -> Value | Skip:
    return x if same_type(x, whole) else Skip(WIDENS)


def add_zero(add: Add) -> Value | Skip:
    """x + 0 = x"""
    for x, y in both_ways(add):
        if is_number(y, 0):
            return _kept(x, add.result)
    return Skip()


def sub_zero(sub: Sub) -> Value | Skip:
    """x - 0 = x"""
    return _kept(sub.x, sub.result) if is_number(sub.y, 0) else Skip()


def mul_one(mul: Mul) -> Value | Skip:
    """x * 1 = x"""
    for x, y in both_ways(mul):
        if is_number(y, 1):
            return _kept(x, mul.result)
    return Skip()


def div_one(div: Div) -> Value | Skip:
    """x / 1 = x"""
    return _kept(div.x, div.result) if is_number(div.y, 1) else Skip()


def mul_zero(mul: Mul) -> Value | Skip:
    """x * 0 = 0 for integers"""
    zeros = [y for _, y in both_ways(mul) if is_number(y, 0)]
    if not zeros:
        return Skip()
    if mul.type.dtype.is_float:
        return Skip("0 * x is not 0 where x is infinite or not a number")
    return zeros[0] if same_type(zeros[0], mul.result) else Skip("the zeros are smaller than the result")


def mul_minus_one(mul: Mul) -> Value | Skip:
    """x * -1 = -x"""
    for x, y in both_ways(mul):
        if is_number(y, -1) and same_type(x, mul.result):
            return Neg(x).result
    return Skip()


def power_by_number(power: Pow) -> Value | Skip:
    """x ** n for n = 1, 2, 3, 0.5, -0.5 and -1 without pow"""
    x, exponent = power.x, number(power.y)
    if exponent is None:
        return Skip()
    if not same_type(x, power.result):
        return Skip(WIDENS)
    if exponent in (1, 2, 3):
        return x if exponent == 1 else _product(x, int(exponent))
    if not x.dtype.is_float or exponent not in (0.5, -0.5, -1):
        return Skip(f"exponent {exponent:g} has no cheaper form")
    root = x if exponent == -1 else Sqrt(x).result
    return root if exponent == 0.5 else Reciprocal(root).result


def _product(x: Value, count: int) -> Value:
    found = x
    for _ in range(count - 1):
        found = Mul(found, x).result
    return found


def double_negation(neg: Neg) -> Value | Skip:
    """-(-x) = x"""
    inner = made_by(neg.x, Neg)
    return inner.x if inner else Skip()


def negated_difference(neg: Neg) -> Value | Skip:
    """-(x - y) = y - x"""
    inner = made_by(neg.x, Sub)
    if inner is None:
        return Skip()
    return Sub(inner.y, inner.x).result if neg.x.has_one_use else Skip(SHARED, inner)


def add_negated(add: Add) -> Value | Skip:
    """x + (-y) = x - y"""
    for x, y in both_ways(add):
        inner = made_by(y, Neg)
        if inner is not None:
            return Sub(x, inner.x).result
    return Skip()


def sub_negated(sub: Sub) -> Value | Skip:
    """x - (-y) = x + y"""
    inner = made_by(sub.y, Neg)
    return Add(sub.x, inner.x).result if inner else Skip()


IDEMPOTENT = (Abs, Ceil, Floor, Round, Sign)


def applied_twice(op: Elementwise) -> Value | Skip:
    """f(f(x)) = f(x) for abs, ceil, floor, round, sign"""
    if not isinstance(op, IDEMPOTENT):
        return Skip()
    return op.x if type(op.x.producer) is type(op) else Skip()


def cast_to_same(cast: Cast) -> Value | Skip:
    """A cast to the type it has."""
    return cast.x if cast.x.dtype == cast.to else Skip()


def cast_of_cast(cast: Cast) -> Value | Skip:
    """Two casts are one when the first loses nothing."""
    inner = made_by(cast.x, Cast)
    if inner is None:
        return Skip()
    if not np.can_cast(inner.x.dtype.numpy, inner.to.numpy, "safe"):
        return Skip(f"the cast from {inner.x.dtype} to {inner.to} before it changes numbers", inner)
    return cast.replace(x=inner.x).result  # type: ignore[no-any-return]


def sub_constant(sub: Sub) -> Value | Skip:
    """x - c = x + (-c), so that rules for sums see it"""
    array = array_of(sub.y)
    if array is None or is_constant(sub.x) or array.dtype.kind not in "fi":
        return Skip()
    return Add(sub.x, constant(-array)).result


def div_by_constant(div: Div) -> Value | Skip:
    """x / c = x * (1 / c) where 1 / c is exact: c holds powers of two"""
    return _times_reciprocal(div, exact=True)


def div_by_constant_fast(div: Div) -> Value | Skip:
    """x / c = x * (1 / c), off by at most one unit in the last place"""
    return _times_reciprocal(div, exact=False)


def _times_reciprocal(div: Div, exact: bool) -> Value | Skip:
    array = array_of(div.y)
    if array is None or is_constant(div.x) or array.dtype.kind != "f":
        return Skip()
    with np.errstate(all="ignore"):
        inverse = np.asarray(1 / array, array.dtype)
    if not is_finite(inverse) or not (np.abs(inverse) >= np.finfo(array.dtype).tiny).all():
        return Skip("the reciprocal of the divisor is not a normal number")
    if exact and not (np.abs(np.frexp(array)[0]) == 0.5).all():
        return Skip("the reciprocal of the divisor is not exact; simplify{fast=true} takes it")
    return Mul(div.x, constant(inverse)).result


def one_over(div: Div) -> Value | Skip:
    """1 / x = reciprocal(x)"""
    if not is_number(div.x, 1) or not div.y.dtype.is_float:
        return Skip()
    return Reciprocal(div.y).result if same_type(div.y, div.result) else Skip(WIDENS)


def sum_of_constants(add: Add) -> Value | Skip:
    """(x + a) + b = x + (a + b)"""
    return _gathered(add, np.add)


def product_of_constants(mul: Mul) -> Value | Skip:
    """(x * a) * b = x * (a * b)"""
    return _gathered(mul, np.multiply)


def _gathered(outer: Add | Mul, combine: np.ufunc) -> Value | Skip:
    for rest, second in both_ways(outer):
        inner = made_by(rest, type(outer))
        if inner is None or not is_constant(second) or is_constant(rest):
            continue
        for x, first in both_ways(inner):
            if is_constant(first) and not is_constant(x):
                return _meet(outer, inner, x, first, second, combine)
    return Skip()


def _meet(outer: Add | Mul, inner: Add | Mul, x: Value, first: Value, second: Value, combine: np.ufunc) -> Value | Skip:
    if not inner.result.has_one_use:
        return Skip("the first result has another reader", inner)
    a, b = array_of(first), array_of(second)
    assert a is not None
    assert b is not None
    if np.broadcast(a, b).size > max(a.size, b.size):
        return Skip("the two constants together are larger than each of them")
    with np.errstate(all="ignore"):
        both = np.asarray(combine(a, b), a.dtype)
    if not is_finite(both):
        return Skip("the two constants together are out of range")
    return type(outer)(x, constant(both)).result


def where_known(where: Where) -> Value | Skip:
    """A choice whose condition is constant, or that has nothing to choose."""
    condition = array_of(where.condition)
    if where.x is where.y:
        chosen = where.x
    elif condition is None or not condition.size or not (condition == condition.flat[0]).all():
        return Skip()
    else:
        chosen = where.x if condition.flat[0] else where.y
    return chosen if same_type(chosen, where.result) else Expand(chosen, where.type.shape).result


def where_not(where: Where) -> Value | Skip:
    """where(not c, x, y) = where(c, y, x)"""
    inner = made_by(where.condition, Not)
    return Where(inner.x, where.y, where.x).result if inner else Skip()


def double_not(op: Not) -> Value | Skip:
    """not not c = c"""
    inner = made_by(op.x, Not)
    return inner.x if inner else Skip()


RULES = (
    add_zero, sub_zero, mul_one, div_one, mul_zero, mul_minus_one, power_by_number, double_negation,
    negated_difference, add_negated, sub_negated, applied_twice, cast_to_same, cast_of_cast, sub_constant, one_over,
    div_by_constant, sum_of_constants, product_of_constants, where_known, where_not, double_not,
)  # fmt: skip

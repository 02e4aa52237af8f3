"""Products and sums read as mathematics, however the model has spelled them."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import Value
from ...ir.ops import Add, Div, Mul, Neg, Reciprocal, Sub
from .match import both_ways, factored, number, same_type

MAX_FACTORS = 4
MAX_STEPS = 8
"""How far a product or a sum is followed; activations are short, and a long chain must not cost its square."""


@dataclass(frozen=True)
class Product:
    """number * factors[0] * factors[1] ..."""

    number: float
    factors: tuple[Value, ...]

    def other_than(self, x: Value) -> list[Value]:
        """The factors left after taking x out once."""
        left = list(self.factors)
        if x in left:
            left.remove(x)
        return left


def product_of(value: Value) -> Product:
    """A value as a product of values of its own type; below it, values with several readers are not looked into."""
    found, factors, open_ = 1.0, list[Value](), [value]
    for _ in range(MAX_STEPS):
        if not open_:
            break
        current = open_.pop(0)
        if current is not value and not current.has_one_use:
            factors.append(current)
            continue
        factor, current = factored(current)
        found *= factor
        op = current.producer
        whole = isinstance(op, Mul) and same_type(op.x, value) and same_type(op.y, value)
        inside = current is value or current.has_one_use
        if isinstance(op, Mul) and whole and inside and len(factors) + len(open_) + 2 <= MAX_FACTORS:
            open_ = [op.x, op.y, *open_]
        else:
            factors.append(current)
    return Product(found, (*factors, *open_))


@dataclass(frozen=True)
class Affine:
    """slope * x + offset"""

    slope: float
    x: Value
    offset: float


def affine_of(value: Value) -> Affine:
    """A value as a linear function of one other value; slope 1 and offset 0 where it is none.

    Below the value itself, one with several readers is not looked into.
    """
    root, slope, offset = value, 1.0, 0.0
    for _ in range(MAX_STEPS):
        if value is not root and not value.has_one_use:
            break
        factor, inner = factored(value)
        slope *= factor
        step = _one_shift(inner) if inner is root or inner.has_one_use else None
        if step is None:
            return Affine(slope, inner, offset)
        sign, value, shift = step
        offset += slope * shift
        slope *= sign
    return Affine(slope, value, offset)


def _one_shift(value: Value) -> tuple[float, Value, float] | None:
    """Sign, x and the number of x + number, x - number and number - x."""
    op = value.producer
    if isinstance(op, Add):
        for x, y in both_ways(op):
            found = number(y)
            if found is not None and same_type(x, value):
                return 1.0, x, found
    if isinstance(op, Sub):
        left, right = number(op.x), number(op.y)
        if right is not None and same_type(op.x, value):
            return 1.0, op.x, -right
        if left is not None and same_type(op.y, value):
            return -1.0, op.y, left
    return None


def quotient_of(value: Value) -> tuple[Value, Value] | None:
    """Numerator and denominator of x / y and x * reciprocal(y), whatever their shapes."""
    op = value.producer
    if isinstance(op, Div):
        return op.x, op.y
    if isinstance(op, Mul):
        for x, y in both_ways(op):
            if isinstance(y.producer, Reciprocal):
                return x, y.producer.x
    return None


def negated(value: Value) -> Value | None:
    """x of -x, however it is written."""
    if isinstance(value.producer, Neg):
        return value.producer.x
    affine = affine_of(value)
    return affine.x if affine.slope == -1 and affine.offset == 0 else None

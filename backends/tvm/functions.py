"""Elementary functions of float32 in tensor IR, so that vectors compute them and a device needs no library for them.

The intervals, the polynomials (minimax fits) and the errors are those of the C kernels' `ec_math.h`. Variables are few:
TVM's simplifier takes twice as long for each one inside another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .packages import Expr, tirx

Bind = Callable[[Expr], Expr]
"""Puts an expression that is used more than once into a variable."""


def number(value: float, dtype: str = "float32") -> Expr:
    """A constant."""
    if dtype.startswith("float") and not math.isfinite(value):
        kind = "nan" if math.isnan(value) else "inf"
        found = tirx.FloatImm(dtype, float(kind))
        return found if value > 0 or kind == "nan" else tirx.FloatImm(dtype, -math.inf)
    return tirx.const(value, dtype)


def larger(a: Expr, b: Expr) -> Expr:
    """max(a, b); b where the two are unordered."""
    return tirx.Select(b < a, a, b)


def smaller(a: Expr, b: Expr) -> Expr:
    """min(a, b); b where the two are unordered."""
    return tirx.Select(a < b, a, b)


def polynomial(x: Expr, *coefficients: float) -> Expr:
    """Coefficients from the highest power down."""
    total = number(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + number(coefficient)
    return total


def power_of_two(n: Expr) -> Expr:
    """2^n for a whole float from -126 to 127."""
    return _from_exponent(tirx.Cast("int32", n))


def _from_exponent(n: Expr) -> Expr:
    return tirx.reinterpret("float32", tirx.shift_left(n + 127, tirx.const(23, "int32")))


def exp(x: Expr, bind: Bind) -> Expr:
    """e^x; results below 2^-126 are zero."""
    inside = bind(larger(number(-88.0), smaller(number(89.0), x)))
    n = bind(tirx.nearbyint(inside * number(1.44269504)))
    r = bind(n * number(2.12194440e-4) + (n * number(-0.693359375) + inside))
    p = polynomial(r, 0.00139447034, 0.00833349768, 0.0416662954, 0.166666657, 0.5)
    p = (r * r * p + r) + number(1.0)
    whole = tirx.Cast("int32", n)
    half = tirx.shift_right(whole, tirx.const(1, "int32"))
    scaled = p * _from_exponent(half) * _from_exponent(whole - half)  # in two steps: 2^128 is not a float
    return tirx.Select(inside < number(-87.3365479), number(0.0), scaled)


def log(x: Expr, bind: Bind) -> Expr:
    """The natural logarithm: 2^n m with m between sqrt(1/2) and sqrt(2)."""
    tiny = x < number(1.17549435e-38)
    normal = tirx.Select(tiny, x * number(8388608.0), x)
    shifted = bind(tirx.reinterpret("int32", normal) - tirx.const(0x3F3504F3, "int32"))
    n = tirx.Cast("float32", tirx.shift_right(shifted, tirx.const(23, "int32")))
    n = n - tirx.Select(tiny, number(23.0), number(0.0))
    fraction = tirx.bitwise_and(shifted, tirx.const(0x007FFFFF, "int32")) + tirx.const(0x3F3504F3, "int32")
    f = bind(tirx.reinterpret("float32", fraction) - number(1.0))
    p = polynomial(f, 0.0674662739, -0.116756484, 0.118881665, -0.1240559, 0.142195523, -0.166679963, 0.200021192,
                   -0.25000009, 0.333333135)  # fmt: skip
    square = f * f
    small = square * number(-0.5) + (n * number(-2.12194440e-4) + square * f * p)
    y = n * number(0.693359375) + (f + small)
    y = tirx.Select(x < number(math.inf), y, x)
    y = tirx.Select(x < number(0.0), number(math.nan), y)
    return tirx.Select(x.equal(number(0.0)), number(-math.inf), y)


def sigmoid(x: Expr, bind: Bind) -> Expr:
    """1 / (1 + e^-x)."""
    return number(1.0) / (number(1.0) + exp(number(0.0) - x, bind))


def tanh(x: Expr, bind: Bind) -> Expr:
    """The hyperbolic tangent."""
    size, square = tirx.abs(x), x * x
    near = polynomial(square, -0.00570498407, 0.0206390843, -0.0537397154, 0.133314416, -0.333332807)
    near = size * square * near + size
    far = number(1.0) - number(2.0) / (exp(size + size, bind) + number(1.0))
    return _with_sign(tirx.Select(size < number(0.625), near, far), x)


def erf(x: Expr, bind: Bind) -> Expr:
    """The error function; beyond 1 the logarithm of 1 - erf is smooth."""
    size = bind(smaller(number(4.0), tirx.abs(x)))
    square = size * size
    near = polynomial(square, 7.853860006e-05, -0.000801019312, 0.00518832775, -0.026853811, 0.112835854, -0.376126260,
                      1.12837911)  # fmt: skip
    far = polynomial(size, -2.16975914e-05, 0.000441472337, -0.00420528278, 0.025210334, -0.108422086, -0.633216381,
                     -1.12958026, 0.000188466307)  # fmt: skip
    far = number(1.0) - exp(far, bind)
    return _with_sign(tirx.Select(size < number(1.0), size * near, far), x)


def _with_sign(magnitude: Expr, of: Expr) -> Expr:
    """A number that is not negative, with the sign of another."""
    sign = tirx.bitwise_and(tirx.reinterpret("int32", of), tirx.const(-(2**31), "int32"))
    return tirx.reinterpret("float32", tirx.bitwise_or(tirx.reinterpret("int32", magnitude), sign))


def sine_from(x: Expr, quarters: int, bind: Bind) -> Expr:
    """sin(x + quarters * pi / 2), good up to |x| = 10000: pi / 2 is taken off in four parts."""
    n = bind(tirx.nearbyint(x * number(0.636619772)))
    r = x
    for part in (-1.5703125, -0.00048351287841796875, -3.1385570764541626e-07, -6.07710062827671e-11):
        r = n * number(part) + r
    r = bind(r)
    square = r * r
    sine = polynomial(square, 2.71823728e-06, -0.000198393274, 0.00833332911, -0.166666672)
    sine = square * r * sine + r
    cosine = polynomial(square, 2.44377297e-05, -0.00138873619, 0.0416666456)
    cosine = square * square * cosine + (square * number(-0.5) + number(1.0))
    quadrant = tirx.Cast("int32", n) + tirx.const(quarters, "int32")
    odd = tirx.bitwise_and(quadrant, tirx.const(1, "int32"))
    value = bind(tirx.Select(odd.equal(tirx.const(0, "int32")), sine, cosine))
    turned = tirx.bitwise_and(quadrant, tirx.const(2, "int32"))
    return tirx.Select(turned.equal(tirx.const(0, "int32")), value, number(0.0) - value)


def power(x: Expr, y: Expr, bind: Bind) -> Expr:
    """x^y with C's special cases: negative x with whole y, zeros, 1^NaN."""
    zero, one = number(0.0), number(1.0)
    size = tirx.abs(x)
    whole = tirx.trunc(y).equal(y)
    odd = tirx.all(whole, tirx.trunc(y * number(0.5)) != y * number(0.5))
    sign = tirx.Select(tirx.all(odd, x < zero), number(-1.0), one)
    found = exp(y * log(size, bind), bind) * sign
    undefined = tirx.all(tirx.Not(whole), x < zero)
    found = tirx.Select(undefined, number(math.nan), found)
    return tirx.Select(tirx.any(x.equal(one), y.equal(zero)), one, found)


UNARY: dict[str, Callable[[Expr, Bind], Expr]] = {
    "exp": exp, "log": log, "sigmoid": sigmoid, "tanh": tanh, "erf": erf,
    "sin": lambda x, bind: sine_from(x, 0, bind), "cos": lambda x, bind: sine_from(x, 1, bind),
}  # fmt: skip
"""Functions of one float32."""

Operands = Sequence[Expr]

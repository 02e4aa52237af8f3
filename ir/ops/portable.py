"""Exponentials that have the same bits everywhere, in numpy and on every instruction set.

Ops on floats leave it to the platform how `exp` is computed. These spell it out in operations that IEEE 754 rounds
correctly, in a fixed order.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from .. import scalar as s
from ..op import operator
from ..scalar import Scalar
from ..value import Value
from .functions import Unary

REACH = 86.0
"""Arguments are limited to this magnitude, so that no result is subnormal: some vector units flush these to zero."""
LARGEST = float(np.finfo(np.float32).max)
LN2_HIGH = 355 / 512
"""ln 2 in so few bits that its products with exponents are exact."""
TERMS = 8


def portable_exponential(x: Scalar) -> Scalar:
    """2^n e^r with |r| <= ln 2 / 2, by Taylor's series for e^r: at most 2 units in the last place off."""
    inside = s.maximum(-REACH, s.minimum(REACH, x))
    n = s.round_even(inside * (1 / math.log(2)))
    r = (inside - n * LN2_HIGH) - n * (math.log(2) - LN2_HIGH)
    series = [1 / math.factorial(k) for k in range(TERMS, 1, -1)]
    tail = reduce(lambda total, factor: total * r + factor, series[1:], s.lift(series[0]))
    return (tail * (r * r) + r + 1.0) * s.power_of_two(n)


@operator("portable-exp")
class PortableExp(Unary):
    """exp(x), the same bits everywhere; limited to x from -86 to 86."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return portable_exponential(operands[0])


@operator("portable-sigmoid")
class PortableSigmoid(Unary):
    """1 / (1 + exp(-x)), the same bits everywhere; 0 and 1 of infinities alone."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        size = s.absolute(operands[0])
        e = s.select(size > LARGEST, 0.0, portable_exponential(-size))
        return s.select(operands[0] >= 0.0, 1.0, e) / (1.0 + e)


@operator("portable-tanh")
class PortableTanh(Unary):
    """(exp(2x) - 1) / (exp(2x) + 1), the same bits everywhere; the absolute error is that of numbers near 1."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        e = portable_exponential(-2.0 * s.absolute(operands[0]))
        size = (1.0 - e) / (1.0 + e)
        return s.select(operands[0] < 0.0, -size, size)

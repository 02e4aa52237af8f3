"""Fourier transforms of composite lengths in passes over their factors (Stockham's form of Cooley and Tukey).

Numbers are kept as two tensors, of real and of imaginary parts, so that each step is an elementwise op over neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..op import Array
from ..value import Value
from .arithmetic import Add, Mul, Sub
from .assembly import Concat
from .constant import constant
from .functions import Neg
from .view import Reshape, Slice

PRIMES = (3, 5, 7)
"""Odd factors that have a pass: its work grows with their square."""


@dataclass(frozen=True)
class Complex:
    """Complex numbers [..., n]."""

    re: Value
    im: Value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.re.shape

    def __add__(self, other: Complex) -> Complex:
        return Complex(Add(self.re, other.re).result, Add(self.im, other.im).result)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(Sub(self.re, other.re).result, Sub(self.im, other.im).result)

    def scaled(self, factor: Array | float) -> Complex:
        """Times real numbers."""
        return Complex(_times(self.re, factor), _times(self.im, factor))

    def turned(self, angles: Array) -> Complex:
        """Times exp(i angles)."""
        cosine, sine = np.cos(angles), np.sin(angles)
        re = Sub(_times(self.re, cosine), _times(self.im, sine)).result
        return Complex(re, Add(_times(self.re, sine), _times(self.im, cosine)).result)

    def plus_turned(self, other: Complex, sign: int) -> Complex:
        """self + sign i other."""
        minus, plus = (Sub, Add) if sign > 0 else (Add, Sub)
        return Complex(minus(self.re, other.im).result, plus(self.im, other.re).result)

    def reshaped(self, shape: Sequence[int]) -> Complex:
        return Complex(Reshape(self.re, tuple(shape)).result, Reshape(self.im, tuple(shape)).result)

    def part(self, start: int, count: int, step: int = 1) -> Complex:
        """`count` numbers along the last dimension."""
        return Complex(part(self.re, start, count, step), part(self.im, start, count, step))


def _times(x: Value, factor: Array | float) -> Value:
    return Mul(x, constant(np.asarray(factor), x.dtype)).result


def part(x: Value, start: int, count: int, step: int = 1) -> Value:
    """`count` elements along the last dimension."""
    lead = x.rank - 1
    return Slice(x, (0,) * lead + (start,), (*x.shape[:lead], count), (1,) * lead + (step,)).result


def joined(parts: Sequence[Complex], axis: int = -1) -> Complex:
    return Complex(*(Concat(tuple(getattr(p, of) for p in parts), axis).result for of in ("re", "im")))


def factors(length: int) -> tuple[int, ...]:
    """The factors of a length in the order of their passes: 2, 4s and small primes; empty where others remain."""
    found: list[int] = []
    while length % 4 == 0:
        found, length = [*found, 4], length // 4
    if length % 2 == 0:
        found, length = [2, *found], length // 2
    for prime in PRIMES:
        while length % prime == 0:
            found, length = [*found, prime], length // prime
    return tuple(found) if length == 1 else ()


def transform(x: Complex, sign: int) -> Complex:
    """The sums of x exp(sign 2 pi i j k / n) over j, for each k."""
    *lead, length = x.shape
    done, rest = 1, length
    for factor in factors(length):
        rest //= factor
        x = _pass(x.reshaped((*lead, done, factor * rest)), factor, sign)
        done *= factor
    return x.reshaped((*lead, length))


def _pass(x: Complex, factor: int, sign: int) -> Complex:
    """Transforms of every `rest`-th number, turned, of x [..., done, factor * rest]: [..., factor, done, rest]."""
    *lead, done, length = x.shape
    rest = length // factor
    found = _BUTTERFLIES.get(factor, _odd)([x.part(j * rest, rest) for j in range(factor)], sign)
    angles = sign * 2 * np.pi / length * np.arange(rest)
    turned = [y.turned(j * angles) if j and rest > 1 else y for j, y in enumerate(found)]
    return joined([y.reshaped((*lead, 1, done, rest)) for y in turned], len(lead))


def _two(x: Sequence[Complex], sign: int) -> list[Complex]:
    return [x[0] + x[1], x[0] - x[1]]


def _four(x: Sequence[Complex], sign: int) -> list[Complex]:
    even, odd, other, last = x[0] + x[2], x[1] + x[3], x[0] - x[2], x[1] - x[3]
    return [even + odd, other.plus_turned(last, sign), even - odd, other.plus_turned(last, -sign)]


def _odd(x: Sequence[Complex], sign: int) -> list[Complex]:
    """The numbers j and -j have the same cosine and opposite sines."""
    count = len(x)
    pairs = [(x[j] + x[count - j], x[j] - x[count - j]) for j in range(1, count // 2 + 1)]
    found = {0: _sum([x[0], *(same for same, _ in pairs)])}
    for k in range(1, count // 2 + 1):
        angles = [2 * np.pi * (j * k % count) / count for j in range(1, count // 2 + 1)]
        turned = list(zip(pairs, angles, strict=True))
        whole = _sum([x[0], *(same.scaled(np.cos(angle)) for (same, _), angle in turned)])
        across = _sum([other.scaled(np.sin(angle)) for (_, other), angle in turned])
        found[k], found[count - k] = whole.plus_turned(across, sign), whole.plus_turned(across, -sign)
    return [found[k] for k in range(count)]


_BUTTERFLIES = {2: _two, 4: _four}


def _sum(terms: Sequence[Complex]) -> Complex:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


# --- real numbers -----------------------------------------------------------------------------------------------------


def half_of_real(x: Value) -> Complex:
    """The first n / 2 + 1 results for real x [..., n], n even: a transform of half the length on pairs of numbers.

    Of z = even + i odd numbers, even and odd parts are those of the spectrum under reflection.
    """
    half = x.shape[-1] // 2
    pairs = transform(Complex(part(x, 0, half, 2), part(x, 1, half, 2)), -1)
    there = joined([pairs, pairs.part(0, 1)])
    back = there.part(half, half + 1, -1)
    even = Complex(Add(there.re, back.re).result, Sub(there.im, back.im).result)
    odd = Complex(Add(there.im, back.im).result, Sub(back.re, there.re).result)
    return even.scaled(0.5) + odd.scaled(0.5).turned(-np.pi / half * np.arange(half + 1))


def mirrored(x: Complex, length: int) -> Complex:
    """All `length` results from the first half of them, of real numbers."""
    count = (length - 1) // 2
    rest = x.part(count, count, -1)
    return joined([x, Complex(rest.re, Neg(rest.im).result)])

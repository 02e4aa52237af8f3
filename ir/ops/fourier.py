"""Discrete Fourier transforms: short ones as products with a matrix, long ones in passes over small factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import upper
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, f32, normal_axis
from ..value import Value
from .assembly import Concat, Pad
from .constant import constant
from .contraction import MatMul
from .fourier_passes import Complex, factors, half_of_real, mirrored, part, transform
from .view import Expand, Reshape, Transpose

MAX_MATRIX = 1 << 24
"""Elements of the largest matrix."""

SHORT, MANY = 64, 32
"""Transforms of fewer than so many complex numbers are products where there are so many of them: that is faster."""


@operator("fourier")
class Fourier(Op):
    """The Fourier transform along an axis of x [..., 1 or 2]: real numbers, or real and imaginary parts.

    Elements are cut or filled with zeros to `length`. The `inverse` is divided by the length. `onesided` leaves the
    first length // 2 + 1 results; the inverse takes those, the others being mirror images, and gives real numbers.
    """

    x: Value
    axis: int
    length: int
    inverse: bool = False
    onesided: bool = False
    tolerance = Tolerance(2e-6, 2e-6)

    def infer(self, x: TensorType) -> TensorType:
        self.axis = normal_axis(self.axis, x.rank)
        if self.length < 1 or x.shape[-1] not in (1, 2) or self.axis == x.rank - 1:
            what = f"a transform of {self.length} elements along axis {self.axis} of {x}"
            raise ModelError(what, hint="[..., 1 or 2]")
        return TensorType(x.dtype, (*x.shape[: self.axis], self._results, *x.shape[self.axis + 1 : -1], self._made))

    @property
    def _to_real(self) -> bool:
        return self.inverse and self.onesided

    @property
    def _made(self) -> int:
        """Parts of the results."""
        return 1 if self._to_real else 2

    @property
    def _results(self) -> int:
        return self.length // 2 + 1 if self.onesided and not self.inverse else self.length

    @property
    def _used(self) -> int:
        """Elements that count, at most."""
        return self.length // 2 + 1 if self._to_real else self.length

    @property
    def in_passes(self) -> bool:
        """Whether it is computed factor by factor."""
        halved = self.length % 2 == 0 and self.x.shape[-1] == 1 and not self.inverse
        complex_length = self.length // 2 if halved else self.length
        many = upper(self.x.type.size) >= MANY * upper(self.x.shape[self.axis]) * self.x.shape[-1]
        return (complex_length >= SHORT or not many) and bool(factors(complex_length))

    @property
    def matrix_size(self) -> int:
        """Elements of the matrix where it is a product."""
        return self.x.shape[self.axis] * self.x.shape[-1] * self._results * self._made

    def macs(self) -> int:
        rows = self.x.type.size // (self.x.shape[self.axis] * self.x.shape[-1])
        return rows * (4 * self.length * len(factors(self.length)) if self.in_passes else self.matrix_size)

    def evaluate(self, x: Array) -> Array:
        wide = x.astype(np.float64)
        numbers = wide[..., 0] + 1j * wide[..., 1] if x.shape[-1] == 2 else wide[..., 0].astype(np.complex128)
        if self._to_real:
            return np.asarray(np.fft.irfft(numbers, self.length, self.axis)[..., None], x.dtype)
        found = (np.fft.ifft if self.inverse else np.fft.fft)(numbers, self.length, self.axis)
        kept = np.take(found, np.arange(self._results), self.axis)
        return np.stack([kept.real, kept.imag], -1).astype(x.dtype)

    @property
    def axis_behind(self) -> tuple[int, ...]:
        """The order of dimensions that has the axis behind all others but the parts."""
        others = (a for a in range(self.x.rank - 1) if a != self.axis)
        return (*others, self.axis, self.x.rank - 1)

    def expand(self) -> Value:
        order = self.axis_behind
        rows = Transpose(self.x, order).result
        found = self._in_passes(rows) if self.in_passes else self._product(rows)
        return Transpose(found, tuple(order.index(a) for a in range(len(order)))).result

    def _product(self, rows: Value) -> Value:
        """The transform along the last but one dimension, as a product."""
        *lead, given, parts = rows.shape
        found = MatMul(Reshape(rows, (*lead, given * parts)).result, constant(self.matrix(), rows.dtype)).result
        return Reshape(found, (*lead, self._results, self._made)).result

    def matrix(self) -> Array:
        """What makes a product of it [elements * parts, results * parts of the results]."""
        given, parts = self.x.shape[self.axis], self.x.shape[-1]
        angle = 2 * np.pi / self.length * (np.outer(np.arange(given), np.arange(self._results)) % self.length)
        wave = np.exp(angle * (1j if self.inverse else -1j)) / (self.length if self.inverse else 1)
        counted = (np.arange(given) < self._used).astype(float)
        if self._to_real:  # the other side is the mirror image: all but the ends count twice
            counted *= np.where((np.arange(given) == 0) | (2 * np.arange(given) == self.length), 1, 2)
        wave = wave * counted[:, None]
        rows = np.stack([wave, 1j * wave][:parts], 1).reshape(given * parts, self._results)
        if self._to_real:
            return rows.real
        return np.stack([rows.real, rows.imag], 2).reshape(given * parts, 2 * self._results)

    def _in_passes(self, rows: Value) -> Value:
        """The transform along the last but one dimension, factor by factor."""
        planes = [self._plane(rows, at) for at in range(rows.shape[-1])]
        if len(planes) == 1 and self.length % 2 == 0 and not self.inverse:
            half = half_of_real(planes[0])
            return _stacked(half if self.onesided else mirrored(half, self.length))
        zero = Expand(constant(np.zeros((), rows.dtype.numpy)), planes[0].shape).result
        x = Complex(planes[0], planes[1] if len(planes) == 2 else zero)
        if not self.inverse:
            return _stacked(transform(x, -1).part(0, self._results))
        found = transform(mirrored(x, self.length) if self.onesided else x, 1).scaled(1 / self.length)
        return Reshape(found.re, (*found.shape, 1)).result if self.onesided else _stacked(found)

    def _plane(self, rows: Value, at: int) -> Value:
        """The real or imaginary parts of the elements that count, [..., used]."""
        flat = Reshape(part(rows, at, 1), rows.shape[:-1]).result
        missing = self._used - flat.shape[-1]
        if missing <= 0:
            return part(flat, 0, self._used)
        return Pad(flat, (*[0] * (2 * flat.rank - 1), missing)).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 10, 2), 1, 10, inverse=True)
        yield cls(arg(f32, 2, 11, 3, 1), 1, 9, onesided=True)
        yield cls(arg(f32, 5, 6, 2), 1, 11, inverse=True, onesided=True)
        yield cls(arg(f32, 150, 3, 1), 0, 160, onesided=True)


def _stacked(x: Complex) -> Value:
    """[..., n, 2]"""
    return Concat(tuple(Reshape(one, (*x.shape, 1)).result for one in (x.re, x.im)), len(x.shape)).result

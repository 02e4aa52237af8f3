"""Constants that are stored in fewer bits than they mean."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ...errors import ModelError
from ..op import Array, operator
from ..types import TensorType, f32, i8, u16
from ..value import Value
from .constant import Constant, array_of, constant

FORMATS = {"integers": i8, "f16": u16, "bf16": u16}
MOST_F16 = float(np.finfo(np.float16).max)


@operator("stored")
class Stored(Constant):
    """Weights of f32 whose numbers are kept in 8, 4 or 16 bits, a row for each output.

    `numbers` [R, K] are what an output sums over, taps outermost and input channels innermost: of a convolution
    [M, C, taps...], or of a matrix [K, N], by `shape`. In format `integers` they mean (numbers - zero) * scale, where
    `group` of a row share one of the scales (f32) and zeros (i8), [R, G]; in `f16` and `bf16` they are bits of floats.
    """

    value: ClassVar[Any]  # type: ignore[misc]  # computed: no field of this class
    numbers: Value
    scale: Value | None = None
    zero: Value | None = None
    shape: tuple[int, ...] = ()
    group: int = 0
    format: str = "integers"
    folds = False

    def infer(  # type: ignore[override]
        self, numbers: TensorType, scale: TensorType | None, zero: TensorType | None
    ) -> TensorType:
        rows, length = row_form(self.shape)
        if FORMATS.get(self.format) != numbers.dtype or numbers.shape != (rows, length):
            raise ModelError(f"{numbers} are no numbers of format {self.format} for shape {list(self.shape)}")
        if (scale is None) != (self.format != "integers"):
            raise ModelError(f"format {self.format} has {'no' if scale else 'a'} scale")
        for each in (scale, zero):
            if each is not None and (self.group < 1 or each.shape != (rows, -(-length // self.group))):
                raise ModelError(f"{each} does not hold a number for each {self.group} of {rows} rows of {length}")
        return TensorType(f32, self.shape)

    def evaluate(self, numbers: Array, scale: Array | None, zero: Array | None) -> Array:  # type: ignore[override]
        return from_rows(self.widened(numbers, scale, zero), self.shape)

    def widened(self, numbers: Array, scale: Array | None, zero: Array | None) -> Array:
        """The rows as floats."""
        if self.format == "f16":
            return numbers.view(np.float16).astype(np.float32)
        if scale is None:
            return (numbers.astype(np.uint32) << 16).view(np.float32)
        shift = np.float32(0) if zero is None else self.spread(zero).astype(np.float32)
        return np.asarray((numbers.astype(np.float32) - shift) * self.spread(scale))

    def spread(self, numbers: Array) -> Array:
        """A number for each group as one for each weight."""
        return np.repeat(numbers, self.group, axis=1)[:, : self.numbers.shape[1]]

    @cached_property
    def known(self) -> Array:
        """What `value` holds; computed once."""
        found = np.ascontiguousarray(self.evaluate(*map(array_of, (self.numbers, self.scale, self.zero))))  # type: ignore[arg-type]
        found.setflags(write=False)
        return found

    def reshaped(self, shape: tuple[int, ...]) -> Stored | None:
        """The same under another shape where that keeps rows and their order: with one more axis of taps."""
        same = len(self.shape) > 2 and shape[:2] == self.shape[:2] and len(shape) > 2
        return self.replace(shape=shape) if same else None

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)
        numbers = rng.integers(-8, 8, (5, 36)).astype(np.int8)
        scale = rng.random((5, 2), np.float32)
        zero = rng.integers(-8, 8, (5, 2)).astype(np.int8)
        yield stored_integers(numbers, scale, None, (5, 4, 3, 3), 32)
        yield stored_integers(numbers, scale, zero, (36, 5), 20)
        yield stored_half(np.array([[1, -6e-8, 6.2e-5]], np.float32).T, "f16")
        yield stored_half(np.array([1, -1.01], np.float32).reshape(2, 1, 1, 1), "bf16")


Stored.value = property(lambda self: self.known)


def row_form(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and their length for weights of a shape: a matrix [K, N] has N rows, a convolution [M, C, taps...] M."""
    if len(shape) < 2:
        raise ModelError(f"{list(shape)} is no shape of weights")
    return (shape[1], shape[0]) if len(shape) == 2 else (shape[0], math.prod(shape[1:]))


def to_rows(weights: Array) -> Array:
    """Weights as rows of what one output sums over."""
    if weights.ndim == 2:
        return np.asarray(weights.T)
    return np.moveaxis(weights, 1, -1).reshape(weights.shape[0], -1)


def from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `to_rows`."""
    if len(shape) == 2:
        return np.asarray(rows.T)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def stored_integers(numbers: Array, scale: Array, zero: Array | None, shape: tuple[int, ...], group: int) -> Stored:
    """Weights of a shape as rows of integers, with a scale and perhaps a zero point for each group of a row."""
    return Stored(  # type: ignore[call-arg]
        numbers=constant(numbers), scale=constant(scale), zero=None if zero is None else constant(zero), shape=shape,
        group=group,
    )  # fmt: skip


def stored_half(weights: Array, format: str) -> Stored:
    """Weights rounded (half to even) to numbers of 16 bits: `f16`, which end at 65504, or `bf16`."""
    rows = np.ascontiguousarray(to_rows(weights))
    bits = (
        np.clip(rows, -MOST_F16, MOST_F16).astype(np.float16).view(np.uint16) if format == "f16" else _upper_half(rows)
    )
    return Stored(numbers=constant(bits), shape=tuple(weights.shape), format=format)  # type: ignore[call-arg]


def _upper_half(array: Array) -> Array:
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)

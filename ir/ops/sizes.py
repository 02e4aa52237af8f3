"""Sizes as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import Symbol, is_open, symbol, symbols_of
from ..op import EXACT, Array, Op, operator
from ..types import DType, TensorType, i64
from ..value import Value
from .constant import array_of, constant


@operator("sizes")
class Sizes(Op):
    """An integer tensor of dimensions, open ones among them, in row-major order."""

    values: tuple[int, ...]
    shape: tuple[int, ...] = ()
    to: DType = i64
    tolerance = EXACT

    def infer(self) -> TensorType:
        if int(np.prod(self.shape, dtype=np.int64)) != len(self.values) or not self.to.is_integer:
            raise ModelError(f"{len(self.values)} sizes do not make {self.to.name}{list(self.shape)}")
        return TensorType(self.to, self.shape)

    def evaluate(self) -> Array:
        return np.array(self.values, self.to.numpy).reshape(self.shape)

    def expand(self) -> Value | None:
        """A constant, where no size is open."""
        return None if any(map(is_open, self.values)) else constant(self.evaluate())

    @classmethod
    def samples(cls) -> Any:
        yield cls((3, 224, 1), (3,))
        yield cls((7,))


@operator("find-size")
class FindSize(Op):
    """An integer of the run as an open size, which later ops have in their shapes and attributes.

    The run fails where the number is outside the bounds of the size, or another than a size that is a number.
    """

    x: Value
    size: int
    tolerance = EXACT
    pure = False
    folds = False
    checks_run = True

    def infer(self, x: TensorType) -> TensorType:
        if x.size != 1 or not x.dtype.is_integer:
            raise ModelError(f"a size is one integer, {x} is not")
        if is_open(self.size) and (not self.found_sizes() or symbol(self.found_sizes()[0]) != self.size):
            raise ModelError(f"{self.size} is no size of its own")
        return TensorType(i64, ())

    def found_sizes(self) -> tuple[Symbol, ...]:
        return tuple(dict.fromkeys(symbols_of((self.size,))))

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x, np.int64).reshape(())

    @classmethod
    def samples(cls) -> Any:
        yield cls(constant([3], i64), symbol(Symbol("found", 0, 5)))
        yield cls(constant(3, i64), 3)


def known_sizes(value: Value | None) -> Array | None:
    """What is known at compile time of an integer tensor: its numbers, or an array of dimensions."""
    if value is not None and isinstance(value.producer, Sizes):
        made = np.empty(len(value.producer.values), object)
        made[:] = value.producer.values
        return made.reshape(value.shape)
    return array_of(value)


def sizes(values: Any, to: DType = i64) -> Value:
    """An array of dimensions as a value: a constant where none is open."""
    array = np.asarray(values, object)
    if not any(map(is_open, array.reshape(-1))):
        return constant(array.astype(to.numpy))
    return Sizes(tuple(array.reshape(-1)), tuple(array.shape), to).result

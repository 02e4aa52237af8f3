"""Sizes as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import is_open
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

"""Constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import Array, Op, operator
from ..types import DType, TensorType, dtype_of
from ..value import Value


@operator("constant")
class Constant(Op):
    """A tensor known at compile time. Its array is shared and must not be written to."""

    value: Array
    moves = True
    takes_text = True

    def infer(self) -> TensorType:
        return TensorType(dtype_of(self.value), tuple(self.value.shape))

    def evaluate(self) -> Array:
        return self.value

    @classmethod
    def samples(cls) -> Any:
        yield cls(np.array([1.5, -2], np.float32))
        yield cls(np.zeros((), np.int64))


def constant(value: Any, dtype: DType | None = None) -> Value:
    """A new constant value from anything that numpy takes."""
    array = np.asarray(value, dtype.numpy if dtype else None)
    array.setflags(write=False)
    return Constant(array).result


def like(x: Value, number: float) -> Value:
    """A scalar constant of the element type of `x`."""
    return constant(number, x.dtype)


def array_of(value: Value | None) -> Array | None:
    """The array behind a constant value, None for anything else."""
    if value is not None and isinstance(value.producer, Constant):
        return value.producer.value
    return None


def uniform(value: Value | None) -> float | None:
    """The number that fills a constant value, None when there is no single one."""
    array = array_of(value)
    if array is None or array.size == 0 or array.dtype.kind == "S" or not bool((array.reshape(-1)[:1] == array).all()):
        return None
    return float(array.reshape(-1)[0])

"""Reading at computed places."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import EXACT, Array, Op, arg, operator
from ..types import TensorType, f32, i64, normal_axis
from ..value import Value
from .constant import array_of, constant


@operator("gather")
class Gather(Op):
    """Slices of x along an axis at the places that an integer tensor names; negative indices count from the end."""

    x: Value
    indices: Value
    axis: int = 0
    tolerance = EXACT
    moves = True
    takes_text = True

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        self.axis = normal_axis(self.axis, x.rank)
        if not indices.dtype.is_integer:
            raise ModelError(f"indices must be integers, are {indices.dtype.name}")
        self._check_constant(x.shape[self.axis])
        return x.with_shape((*x.shape[: self.axis], *indices.shape, *x.shape[self.axis + 1 :]))

    def _check_constant(self, extent: int) -> None:
        known = array_of(self.indices)
        if known is not None and known.size and not (-extent <= known.min() and known.max() < extent):
            raise ModelError(f"indices {known.min()} .. {known.max()} lie outside a dimension of {extent}")

    def evaluate(self, x: Array, indices: Array) -> Array:
        return np.take(x, indices, axis=self.axis)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 5, 7), constant([[4, 0], [-1, 2]], i64), 0)
        yield cls(arg(f32, 2, 5, 19), constant([3, 1, 1], i64), 1)
        yield cls(arg(f32, 3, 6), constant(-2, i64), 1)

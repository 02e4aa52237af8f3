"""Reductions over whole axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import greatest, is_open
from ..op import EXACT, Array, Op, Tolerance, arg, operator
from ..scalar import divide
from ..types import TensorType, f32, i64, normal_axes, normal_axis
from ..value import Value
from .constant import like
from .sizes import sizes

KINDS: dict[str, Callable[..., Array]] = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod, "mean": np.mean}


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> tuple[int, ...]:
    """The shape after reducing normal axes."""
    return tuple(1 if i in axes else d for i, d in enumerate(shape) if keepdims or i not in axes)


@operator("reduce")
class Reduce(Op):
    """sum, max, min, prod or mean over axes (none given: over all). Sums of integers wrap, also that of a mean."""

    x: Value
    kind: str
    axes: tuple[int, ...]
    keepdims: bool = True
    tolerance = Tolerance(1e-5, 1e-6)

    def infer(self, x: TensorType) -> TensorType:
        if self.kind not in KINDS:
            raise ModelError(f"unknown kind '{self.kind}'")
        self.axes = normal_axes(self.axes, x.rank)
        return TensorType(x.dtype, reduced_shape(x.shape, self.axes, self.keepdims))

    def evaluate(self, x: Array) -> Array:
        if self.kind == "mean" and self.x.dtype.is_integer:
            total = np.sum(x, axis=self.axes, keepdims=self.keepdims).astype(x.dtype)
            return divide(total, x.dtype.type(math.prod(x.shape[a] for a in self.axes)))
        found = KINDS[self.kind](x, axis=self.axes, keepdims=self.keepdims)
        return np.asarray(found).astype(x.dtype)

    def expand(self) -> Value | None:
        """A mean as a sum times one over the count."""
        from .arithmetic import Div, Mul
        from .cast import Cast

        if self.kind != "mean":
            return None
        total = self.replace(kind="sum").result
        count = math.prod(self.x.shape[a] for a in self.axes)
        if is_open(count):
            return Div(total, Cast(sizes(greatest(count, 1)), self.x.dtype).result).result
        if self.x.dtype.is_integer:
            return Div(total, like(self.x, count)).result
        return Mul(total, like(self.x, 1 / max(count, 1))).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 3, 37), "sum", (2,))
        yield cls(arg(f32, 2, 19, 5), "max", (1,), False)
        yield cls(arg(f32, 3, 5), "mean", ())
        yield cls(arg(f32, 3, 4, 5, 6), "min", (0, 2))
        yield cls(arg(f32, 5), "prod", (0,), False)


@operator("arg-reduce")
class ArgReduce(Op):
    """Index (i64) of the largest or smallest element along an axis, or of NaN; of equals the first, or the last."""

    x: Value
    kind: str
    axis: int
    keepdims: bool = True
    last: bool = False
    tolerance = EXACT

    def infer(self, x: TensorType) -> TensorType:
        if self.kind not in ("max", "min"):
            raise ModelError(f"unknown kind '{self.kind}'")
        self.axis = normal_axis(self.axis, x.rank)
        return TensorType(i64, reduced_shape(x.shape, (self.axis,), self.keepdims))

    def evaluate(self, x: Array) -> Array:
        find = np.argmax if self.kind == "max" else np.argmin
        if self.last:
            found = x.shape[self.axis] - 1 - find(np.flip(x, self.axis), axis=self.axis)
        else:
            found = find(x, axis=self.axis)
        return np.asarray(np.expand_dims(found, self.axis) if self.keepdims else found, np.int64)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 17), "max", 1)
        yield cls(arg(f32, 3, 5, 2), "min", 1, False, True)

"""Writing at computed places, and running totals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import TensorType, boolean, f32, i64, normal_axis
from ..value import Value
from .constant import constant
from .routine import Number, Routine, needs_indices, needs_rank

JOINS: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
"""What may become of an update and the element that it meets, beside replacing it (`none`)."""


def _check_reduction(reduction: str, data: TensorType, updates: TensorType) -> None:
    if reduction not in ("none", *JOINS):
        raise ModelError(f"there is no reduction '{reduction}'", hint=f"reductions: none, {', '.join(JOINS)}")
    if data.dtype != updates.dtype or (data.dtype == boolean and reduction != "none"):
        raise ModelError(f"updates {updates} do not fit {data} under reduction '{reduction}'")


def _write(found: Array, places: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    """Updates in order; of equal places the last one wins, or all are joined."""
    if reduction == "none":
        found[places] = updates
    else:
        JOINS[reduction].at(found, places, updates)
    return found


@operator("scatter-elements")
class ScatterElements(Routine):
    """x with single elements replaced, or joined with updates, at the places along an axis that `indices` names."""

    data: Value
    indices: Value
    updates: Value
    axis: int
    reduction: str = "none"
    family = "scatter"
    tolerance = Tolerance(1e-6, 1e-6)

    def infer(self, data: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        needs_indices(indices)
        needs_rank(data)
        self.axis = normal_axis(self.axis, data.rank)
        _check_reduction(self.reduction, data, updates)
        if indices.shape != updates.shape or indices.rank != data.rank:
            raise ModelError(f"indices {indices} and updates {updates} do not fit {data}")
        if any(n > d for a, (n, d) in enumerate(zip(indices.shape, data.shape, strict=True)) if a != self.axis):
            raise ModelError(f"indices {indices} reach over {data}")
        return data.with_order(())

    def evaluate(self, data: Array, indices: Array, updates: Array) -> Array:
        wrapped = np.where(indices < 0, indices + data.shape[self.axis], indices)
        kept = (wrapped >= 0) & (wrapped < data.shape[self.axis])
        places = list(np.nonzero(kept))
        places[self.axis] = wrapped[kept]
        return _write(data.copy(), tuple(places), updates[kept], self.reduction)

    def numbers(self) -> dict[str, Number]:
        shape = self.data.shape
        return {
            "type": self.data.dtype, "reduction": self.reduction, "rank": len(shape), "axis": self.axis,
            "size": self.data.type.size, "count": self.indices.type.size, "extent": shape[self.axis],
            "extents": self.indices.shape, "strides": self.data.type.with_order(()).strides,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        spread = constant((np.arange(24).reshape(2, 3, 4) * 7 % 10) - 5, i64)
        yield cls(arg(f32, 3, 5, 4), spread, arg(f32, 2, 3, 4), 1)
        yield cls(arg(f32, 6), constant([0, 5, -1, 2, 2, 0, 0, -6, 3], i64), arg(f32, 9), -1, "add")
        yield cls(arg(i64, 2, 3), constant([[0, 2, -3, 1], [1, 1, 1, 0]], i64), arg(i64, 2, 4), 1, "max")


@operator("scatter-rows")
class ScatterRows(Routine):
    """x with whole rows replaced or joined: the last dimension of `indices` [..., depth] names places over the first
    `depth` dimensions of x, `updates` [..., rows] holds what goes there."""

    data: Value
    indices: Value
    updates: Value
    reduction: str = "none"
    family = "scatter"
    tolerance = Tolerance(1e-6, 1e-6)

    @property
    def depth(self) -> int:
        """Dimensions that an index counts through."""
        return self.indices.shape[-1]

    def infer(self, data: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        needs_indices(indices)
        _check_reduction(self.reduction, data, updates)
        depth = indices.shape[-1] if indices.rank else 0
        if not 0 < depth <= data.rank or updates.shape != (*indices.shape[:-1], *data.shape[depth:]):
            raise ModelError(f"indices {indices} and updates {updates} do not fit {data}")
        needs_rank(indices.with_shape((1,) * depth))
        return data.with_order(())

    def evaluate(self, data: Array, indices: Array, updates: Array) -> Array:
        rows = indices.reshape(-1, self.depth)
        extents = np.array(data.shape[: self.depth])
        wrapped = np.where(rows < 0, rows + extents, rows)
        kept = ((wrapped >= 0) & (wrapped < extents)).all(1)
        flat = updates.reshape(len(rows), *data.shape[self.depth :])
        return _write(data.copy(), tuple(wrapped[kept].T), flat[kept], self.reduction)

    def numbers(self) -> dict[str, Number]:
        shape, depth = self.data.shape, self.depth
        return {
            "type": self.data.dtype, "reduction": self.reduction, "depth": depth, "size": self.data.type.size,
            "count": math.prod(self.indices.shape[:-1]), "row": math.prod(shape[depth:]), "extents": shape[:depth],
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        places = constant([[[0, 0], [2, -1], [1, 2]], [[-1, 0], [0, 1], [0, 1]]], i64)
        yield cls(arg(f32, 3, 4, 5), places, arg(f32, 2, 3, 5))
        yield cls(arg(i64, 7), constant([[0], [-1], [0], [3], [3]], i64), arg(i64, 5), "max")
        yield cls(arg(f32, 4, 3), constant([[0], [1], [3], [0], [-1]], i64), arg(f32, 5, 3), "add")


@operator("cumulative")
class Cumulative(Routine):
    """Running totals or products along an axis, from the last element on with `reverse`, without the element itself
    with `exclusive`."""

    x: Value
    axis: int
    kind: str = "sum"
    exclusive: bool = False
    reverse: bool = False
    family = "scatter"
    tolerance = Tolerance(1e-5, 1e-6)

    def infer(self, x: TensorType) -> TensorType:
        self.axis = normal_axis(self.axis, x.rank)
        if self.kind not in ("sum", "prod"):
            raise ModelError(f"unknown kind '{self.kind}'", hint="kinds: sum, prod")
        return x.with_order(())

    def evaluate(self, x: Array) -> Array:
        found = np.flip(x, self.axis) if self.reverse else x
        total = (np.cumsum if self.kind == "sum" else np.cumprod)(found, self.axis, dtype=x.dtype)
        if self.exclusive:
            first = np.full_like(np.take(total, [0], self.axis), 0 if self.kind == "sum" else 1)
            total = np.concatenate([first, np.delete(total, -1, self.axis)], self.axis)
        return np.asarray(np.flip(total, self.axis) if self.reverse else total, x.dtype)

    @property
    def tasks(self) -> int:
        return self.x.type.size // max(1, self.x.shape[self.axis])

    def numbers(self) -> dict[str, Number]:
        shape = self.x.shape
        return {
            "type": self.x.dtype, "reduction": "add" if self.kind == "sum" else "mul", "extent": shape[self.axis],
            "inner": math.prod(shape[self.axis + 1 :]), "exclusive": int(self.exclusive), "reverse": int(self.reverse),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 5, 2), 1)
        yield cls(arg(i64, 2, 7), -1, "prod", True, True)
        yield cls(arg(f32, 4), 0, "sum", True)

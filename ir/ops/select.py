"""Ops that choose by value: the largest elements, the places of maxima, what is not zero, what differs."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, boolean, f32, i8, i64, normal_axis
from ..value import Value
from .constant import constant
from .routine import Number, Routine

SCALAR = TensorType(i64, ())


def descending_ranks(x: Array) -> Array:
    """Integers in the order of the elements, the largest first; NaN counts as the largest."""
    distinct, ranks = np.unique(x, return_inverse=True)
    return len(distinct) - 1 - ranks.reshape(x.shape)


@operator("top-k")
class TopK(Routine):
    """The k largest (or smallest) elements along an axis and their indices (i64), in order; of equals the first."""

    x: Value
    k: int
    axis: int = -1
    largest: bool = True
    family = "select"

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        self.axis = normal_axis(self.axis, x.rank)
        if not 0 <= self.k <= x.shape[self.axis]:
            raise ModelError(f"there are no {self.k} elements along axis {self.axis} of {x}")
        shape = (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :])
        return TensorType(x.dtype, shape), TensorType(i64, shape)

    def evaluate(self, x: Array) -> tuple[Array, ...]:
        ranks = descending_ranks(x)
        order = np.argsort(ranks if self.largest else -ranks, axis=self.axis, kind="stable")
        found = np.take(order, np.arange(self.k), axis=self.axis)
        return np.take_along_axis(x, found, self.axis), found.astype(np.int64)

    @property
    def tasks(self) -> int:
        return self.x.type.size // max(1, self.x.shape[self.axis])

    def numbers(self) -> dict[str, Number]:
        shape = self.x.shape
        return {
            "type": self.x.dtype, "largest": int(self.largest), "extent": shape[self.axis], "k": self.k,
            "inner": math.prod(shape[self.axis + 1 :]),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 9, 3), 4, 1)
        yield cls(arg(i8, 3, 17), 17, -1, False)
        yield cls(arg(i64, 1), 1)


@operator("max-places")
class MaxPlaces(Routine):
    """Where a maximum pool over x [N, C, spatial...] finds its elements, as flat indices (i64) into x.

    With `column_major` the spatial dimensions are counted from the first on.
    """

    x: Value
    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    column_major: bool = False
    family = "select"

    def infer(self, x: TensorType) -> TensorType:
        spatial = x.rank - 2
        if not 1 <= spatial <= 3 or {len(self.kernel_shape), len(self.strides), len(self.dilations)} != {spatial}:
            raise ModelError(f"a window of {len(self.kernel_shape)} dimensions does not fit {x}", hint="1 to 3")
        return TensorType(i64, (*x.shape[:2], *self._sizes(x.shape[2:])))

    def _sizes(self, space: tuple[int, ...]) -> tuple[int, ...]:
        n = len(space)
        rows = zip(space, self.pads[:n], self.pads[n:], self.kernel_shape, self.strides, self.dilations, strict=True)
        return tuple((d + a + b - t * (k - 1) - 1) // s + 1 for d, a, b, k, s, t in rows)

    def evaluate(self, x: Array) -> Array:
        space, sizes = x.shape[2:], self.type.shape[2:]
        best = np.full(self.type.shape, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min, x.dtype)
        found = np.full(self.type.shape, -1, np.int64)
        for tap in itertools.product(*map(range, self.kernel_shape)):
            rows = zip(sizes, self.strides, tap, self.dilations, self.pads, strict=False)
            at = np.ix_(*(np.arange(o) * s + t * d - p for o, s, t, d, p in rows))
            inside = functools.reduce(np.logical_and, [(a >= 0) & (a < d) for a, d in zip(at, space, strict=True)])
            picked: Any = (..., *(np.clip(a, 0, d - 1) for a, d in zip(at, space, strict=True)))
            value = x[picked]
            better = inside & ((value > best) | (found < 0))
            best, found = np.where(better, value, best), np.where(better, self._flat(at, space), found)
        planes = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *[1] * len(space))
        return np.asarray(found + planes * math.prod(space), np.int64)

    def _flat(self, at: tuple[Array, ...], space: tuple[int, ...]) -> Array:
        flat: Any = 0
        pairs = list(zip(at, space, strict=True))
        for index, extent in reversed(pairs) if self.column_major else pairs:
            flat = flat * extent + index
        return np.asarray(flat)

    @property
    def tasks(self) -> int:
        return math.prod(self.x.shape[:2])

    def numbers(self) -> dict[str, Number]:
        front = (1,) * (5 - self.x.rank)
        return {
            "type": self.x.dtype, "column_major": int(self.column_major),
            "extents": (*front, *self.x.shape[2:]), "sizes": (*front, *self.type.shape[2:]),
            "kernel": (*front, *self.kernel_shape), "strides": (*front, *self.strides),
            "dilations": (*front, *self.dilations),
            "pads": (*(0 for _ in front), *self.pads[: self.x.rank - 2]),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 2, 5, 7), (2, 3), (2, 2), (0, 1, 1, 1), (1, 2))
        yield cls(arg(i8, 2, 1, 9), (3,), (1,), (1, 1), (1,))
        yield cls(arg(f32, 1, 1, 3, 4, 5), (2, 2, 2), (1, 1, 2), (0, 0, 0, 0, 0, 0), (1, 1, 1), True)


class Counted(Routine):
    """An op that says at run time how much it found: its results are as large as they may become, zero behind what was
    found, and the last one is the count (i64)."""


@operator("non-zero")
class NonZero(Counted):
    """The places of the elements that are not zero, one column [rank] each in row-major order, and their count."""

    x: Value
    family = "select"

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        return TensorType(i64, (x.rank, x.size)), SCALAR

    def evaluate(self, x: Array) -> tuple[Array, ...]:
        places = np.zeros((x.ndim, x.size), np.int64)
        found = np.array(np.nonzero(x)).reshape(x.ndim, -1)
        places[:, : found.shape[1]] = found
        return places, np.array(found.shape[1])

    def numbers(self) -> dict[str, Number]:
        return {"type": self.x.dtype, "rank": self.x.rank, "size": self.x.type.size, "extents": self.x.shape}

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(boolean, 3, 4, 2))
        yield cls(arg(i8, 7))


@operator("compress")
class Compress(Counted):
    """Slices of x along an axis where a condition [n] holds, and their count."""

    x: Value
    condition: Value
    axis: int = 0
    family = "select"

    def infer(self, x: TensorType, condition: TensorType) -> tuple[TensorType, ...]:
        self.axis = normal_axis(self.axis, x.rank)
        if condition.dtype != boolean or condition.rank != 1:
            raise ModelError(f"a condition of type {condition}", hint="a list of bool")
        extent = min(condition.size, x.shape[self.axis])
        return x.with_order(()).with_shape((*x.shape[: self.axis], extent, *x.shape[self.axis + 1 :])), SCALAR

    def evaluate(self, x: Array, condition: Array) -> tuple[Array, ...]:
        places = np.flatnonzero(condition[: x.shape[self.axis]])
        found = np.zeros(self.results[0].shape, x.dtype)
        np.moveaxis(found, self.axis, 0)[: len(places)] = np.moveaxis(np.take(x, places, self.axis), self.axis, 0)
        return found, np.array(len(places))

    def numbers(self) -> dict[str, Number]:
        shape = self.x.shape
        return {
            "type": self.x.dtype, "outer": math.prod(shape[: self.axis]), "extent": shape[self.axis],
            "bound": self.results[0].shape[self.axis], "inner": math.prod(shape[self.axis + 1 :]),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 5, 2), arg(boolean, 5), 1)
        yield cls(arg(i64, 6), arg(boolean, 4))


@operator("unique")
class Unique(Counted):
    """What differs among slices of x along an axis, in ascending order or (`ordered` false) as first met.

    Results: the distinct slices, where each occurs first, which of them each slice is, how often each occurs, and
    their count; but for the first and the last of type i64 [n].
    """

    x: Value
    axis: int = 0
    ordered: bool = True
    family = "select"

    def infer(self, x: TensorType) -> tuple[TensorType, ...]:
        self.axis = normal_axis(self.axis, x.rank)
        each = TensorType(i64, (x.shape[self.axis],))
        return x.with_order(()), each, each, each, SCALAR

    def evaluate(self, x: Array) -> tuple[Array, ...]:
        n = x.shape[self.axis]
        rows = np.moveaxis(x, self.axis, 0).reshape(n, -1)
        _, first, inverse, counts = np.unique(rows, True, True, True, axis=0)
        order = np.arange(len(first)) if self.ordered else np.argsort(first, kind="stable")
        found = [np.zeros(n, np.int64) for _ in range(3)]
        found[0][: len(first)], found[2][: len(first)] = first[order], counts[order]
        found[1][:] = np.argsort(order)[inverse.reshape(-1)]
        kept = np.zeros_like(x)
        np.moveaxis(kept, self.axis, 0)[: len(first)] = np.moveaxis(np.take(x, first[order], self.axis), self.axis, 0)
        return kept, *found, np.array(len(first))

    def numbers(self) -> dict[str, Number]:
        shape = self.x.shape
        return {
            "type": self.x.dtype, "ordered": int(self.ordered), "outer": math.prod(shape[: self.axis]),
            "extent": shape[self.axis], "inner": math.prod(shape[self.axis + 1 :]),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(i8, 19))
        yield cls(arg(i8, 2, 9, 1), 1, False)
        yield cls(arg(f32, 5, 2))


@operator("non-max-suppression")
class NonMaxSuppression(Counted):
    """Boxes [B, N, 4] chosen class by class by their scores [B, C, N], none overlapping a better one too much.

    Results: rows (batch, class, box) i64 [B * C * min(N, most), 3], room to sort in i64 [N], zero again, and the count.
    A box counts where its score is above `least`, if that is given; it falls where its area of intersection over
    union with a chosen box is above `overlap`. At most `limit` boxes are chosen in a class. Boxes are two opposite
    corners (y, x, y, x), or with `centered` center and size (x, y, width, height).
    """

    boxes: Value
    scores: Value
    limit: Value
    overlap: Value
    least: Value | None = None
    most: int = 0
    centered: bool = False
    family = "boxes"

    def infer(
        self, boxes: TensorType, scores: TensorType, limit: TensorType, overlap: TensorType, least: TensorType | None
    ) -> tuple[TensorType, ...]:
        if boxes.rank != 3 or scores.rank != 3 or boxes.shape[2] != 4 or boxes.shape[1] != scores.shape[2]:
            raise ModelError(f"boxes {boxes} and scores {scores} do not fit", hint="[B, N, 4] and [B, C, N]")
        given = [boxes, scores, overlap, *([least] if least else [])]
        if boxes.shape[0] != scores.shape[0] or {t.dtype for t in given} != {f32} or limit.dtype != i64:
            raise ModelError(f"boxes {boxes} and scores {scores} do not fit")
        batch, classes, count = scores.shape
        rows = batch * classes * min(count, self.most)
        return TensorType(i64, (rows, 3)), TensorType(i64, (count,)), SCALAR

    def evaluate(
        self, boxes: Array, scores: Array, limit: Array, overlap: Array, least: Array | None
    ) -> tuple[Array, ...]:
        rows = np.zeros(self.results[0].shape, np.int64)
        most = min(int(limit.reshape(-1)[0]), self.most)
        floor = None if least is None else least.reshape(-1)[0]
        found = []
        for b, c in itertools.product(*map(range, scores.shape[:2])):
            chosen = self._chosen(self._corners(boxes[b]), scores[b, c], most, overlap.reshape(-1)[0], floor)
            found += [(b, c, box) for box in chosen]
        rows[: len(found)] = np.array(found, np.int64).reshape(-1, 3)
        return rows, np.zeros(boxes.shape[1], np.int64), np.array(len(found))

    def _corners(self, boxes: Array) -> Array:
        """Boxes as low and high corners [N, 2, 2]."""
        pairs = boxes.reshape(-1, 2, 2)
        if self.centered:
            half = pairs[:, 1] / np.float32(2)
            return np.stack([pairs[:, 0] - half, pairs[:, 0] + half], 1)
        return np.stack([pairs.min(1), pairs.max(1)], 1)

    @staticmethod
    def _chosen(corners: Array, scores: Array, most: int, overlap: Any, least: Any) -> list[int]:
        """The boxes of one class."""
        chosen: list[int] = []
        areas = (corners[:, 1] - corners[:, 0]).prod(1)
        for box in np.argsort(descending_ranks(scores), kind="stable"):
            if len(chosen) >= most or (least is not None and not scores[box] > least):
                break
            shared = np.minimum(corners[box, 1], corners[chosen, 1]) - np.maximum(corners[box, 0], corners[chosen, 0])
            area = np.maximum(shared, 0).prod(1)
            if not (area > overlap * (areas[box] + areas[chosen] - area)).any():
                chosen.append(int(box))
        return chosen

    def numbers(self) -> dict[str, Number]:
        batch, classes, count = self.scores.shape
        return {"batch": batch, "classes": classes, "boxes": count, "most": self.most, "centered": int(self.centered)}

    @classmethod
    def samples(cls) -> Any:
        boxes, scores, limit = arg(f32, 2, 7, 4), arg(f32, 2, 3, 7), constant(5, i64)
        yield cls(boxes, scores, limit, constant(0.1, f32), constant(-0.5, f32), 4)
        yield cls(boxes, scores, limit, constant(0.5, f32), None, 7, True)

"""Resizing by interpolation, spelled out as gathers with constant indices and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import Undecided, described, is_open, lower
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, f32
from ..value import Value
from .arithmetic import Add, Mul
from .constant import constant
from .gather import Gather
from .view import Expand, Reshape


@operator("resize")
class Resize(Op):
    """x sampled at other places along each dimension.

    `mode` is nearest, linear or cubic; `coordinates` maps a result index to a place in x as ONNX Resize defines it
    (half_pixel, asymmetric, align_corners, pytorch_half_pixel, half_pixel_symmetric); `rounding` belongs to nearest.
    """

    x: Value
    sizes: tuple[int, ...]
    scales: tuple[float, ...]
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    tolerance = Tolerance(1e-5, 1e-5)

    def infer(self, x: TensorType) -> TensorType:
        if len(self.sizes) != x.rank or len(self.scales) != x.rank or min(map(lower, self.sizes)) < 1:
            raise ModelError(f"needs {x.rank} positive sizes and scales, has {list(self.sizes)}")
        if self.mode not in ("nearest", "linear", "cubic"):
            raise ModelError(f"unknown mode '{self.mode}'")
        if self.coordinates not in COORDINATES:
            what = f"coordinate transformation '{self.coordinates}' is not supported"
            raise ModelError(what, hint=", ".join(COORDINATES))
        if self.antialias:
            raise ModelError("antialiasing is not supported", hint="export without antialias")
        for extent, size, scale in zip(x.shape, self.sizes, self.scales, strict=True):
            if (is_open(extent) or is_open(size)) and not self._repeats(extent, size, scale):
                hint = "what repeats elements a whole number of times takes open sizes; fix the others"
                raise Undecided(f"where {described(size)} elements lie is known only at run time", hint=hint)
        return x.with_shape(self.sizes)

    def _repeats(self, extent: int, size: int, scale: float) -> bool:
        """Whether each element along an axis is there so many times, whatever the extent is."""
        if scale == 1 and size == extent:
            return True
        whole = float(scale).is_integer() and size == extent * int(scale)
        return whole and self.mode == "nearest" and (self.coordinates, self.rounding) in REPEATING

    def taps(self, axis: int) -> tuple[Array, Array]:
        """Source indices and weights along an axis: two arrays [taps, size]."""
        extent = self.x.shape[axis]
        place = COORDINATES[self.coordinates](np.arange(self.sizes[axis], dtype=np.float64), self, axis)
        if self.mode == "nearest":
            nearest = np.clip(ROUNDINGS[self.rounding](place), 0, extent - 1).astype(np.int64)
            return nearest[None], np.ones((1, len(place)))
        base = np.floor(place)
        fraction = place - base
        offsets, weights = self._linear(fraction) if self.mode == "linear" else self._cubic(fraction)
        indices = base[None] + offsets[:, None]
        if self.exclude_outside:
            weights = np.where((indices < 0) | (indices >= extent), 0, weights)
            weights = weights / weights.sum(axis=0)
        return np.clip(indices, 0, extent - 1).astype(np.int64), weights

    @staticmethod
    def _linear(t: Array) -> tuple[Array, Array]:
        return np.array([0, 1]), np.stack([1 - t, t])

    def _cubic(self, t: Array) -> tuple[Array, Array]:
        a = self.cubic_coefficient
        return np.array([-1, 0, 1, 2]), np.stack([far(t + 1, a), near(t, a), near(1 - t, a), far(2 - t, a)])

    def resized_axes(self) -> list[int]:
        return [a for a in range(self.x.rank) if self.sizes[a] != self.x.shape[a] or self.scales[a] != 1]

    def evaluate(self, x: Array) -> Array:
        found = x
        for axis in self.resized_axes():
            indices, weights = self.taps(axis)
            shape = [-1 if a == axis else 1 for a in range(x.ndim)]
            if self.mode == "nearest":
                found = np.take(found, indices[0], axis=axis)
                continue
            pairs = zip(indices, weights.astype(x.dtype), strict=True)
            found = sum((np.take(found, i, axis=axis) * w.reshape(shape) for i, w in pairs), np.zeros((), x.dtype))
        return np.asarray(found, x.dtype)

    def expand(self) -> Value:
        found = self.x
        for axis in self.resized_axes():
            if is_open(self.sizes[axis]):
                found = _repeated(found, axis, int(self.scales[axis]))
                continue
            indices, weights = self.taps(axis)
            shape = [-1 if a == axis else 1 for a in range(self.x.rank)]
            terms = [Gather(found, constant(i), axis).result for i in indices]
            if self.mode != "nearest":
                scaled = zip(terms, weights, strict=True)
                terms = [Mul(t, constant(w.reshape(shape), self.x.dtype)).result for t, w in scaled]
            found = terms[0]
            for term in terms[1:]:
                found = Add(found, term).result
        return found

    @classmethod
    def samples(cls) -> Any:
        x = arg(f32, 1, 3, 4, 5)
        yield cls(x, (1, 3, 8, 10), (1.0, 1.0, 2.0, 2.0), "nearest", "asymmetric", "floor")
        yield cls(x, (1, 3, 7, 9), (1.0, 1.0, 1.75, 1.8), "linear")
        yield cls(x, (1, 3, 8, 10), (1.0, 1.0, 2.0, 2.0), "linear", "align_corners")
        yield cls(x, (1, 3, 9, 4), (1.0, 1.0, 2.25, 0.8), "cubic")


def _repeated(x: Value, axis: int, count: int) -> Value:
    before, extent, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = Reshape(x, (*before, extent, 1, *after)).result
    repeated = Expand(apart, (*before, extent, count, *after)).result
    return Reshape(repeated, (*before, extent * count, *after)).result


def _half_pixel(i: Array, resize: Resize, axis: int) -> Array:
    return (i + 0.5) / resize.scales[axis] - 0.5


def _asymmetric(i: Array, resize: Resize, axis: int) -> Array:
    return i / resize.scales[axis]


def _align_corners(i: Array, resize: Resize, axis: int) -> Array:
    size = resize.sizes[axis]
    return i * (resize.x.shape[axis] - 1) / (size - 1) if size > 1 else np.zeros_like(i)


def _pytorch_half_pixel(i: Array, resize: Resize, axis: int) -> Array:
    return _half_pixel(i, resize, axis) if resize.sizes[axis] > 1 else np.zeros_like(i)


def _half_pixel_symmetric(i: Array, resize: Resize, axis: int) -> Array:
    adjustment = resize.sizes[axis] / (resize.scales[axis] * resize.x.shape[axis])
    return resize.x.shape[axis] / 2 * (1 - adjustment) + _half_pixel(i, resize, axis)


COORDINATES: dict[str, Callable[[Array, Resize, int], Array]] = {
    "half_pixel": _half_pixel,
    "asymmetric": _asymmetric,
    "align_corners": _align_corners,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
}
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda p: np.ceil(p - 0.5),
    "round_prefer_ceil": lambda p: np.floor(p + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
REPEATING = [
    ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil"),
]  # fmt: skip
"""Coordinates and roundings by which a whole scale repeats each element: with half pixels none is halfway."""


def near(d: Array, a: float) -> Array:
    """Keys' cubic convolution kernel (IEEE TASSP 1981) at distances up to 1."""
    return np.asarray(((a + 2) * d - (a + 3)) * d * d + 1)


def far(d: Array, a: float) -> Array:
    """The same at distances from 1 to 2."""
    return np.asarray(((a * d - 5 * a) * d + 8 * a) * d - 4 * a)

"""Sampling images between their pixels, at places that are computed at run time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import TensorType, f32
from ..value import Value
from .resize import far, near
from .routine import Number, Routine

FAR = 2.0**30
"""Places beyond this are as good as infinitely far."""
NEAR = Tolerance(1e-5, 1e-5)
TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


def reflected(places: Array, low: float, high: float) -> Array:
    """Places outside low .. high mirrored at these borders until they lie inside."""
    if high <= low:
        return np.full_like(places, low)
    span = places.dtype.type(high - low)
    apart = np.where(places < low, low - places, places - high).astype(places.dtype)
    turns = np.floor(apart / span)
    rest = apart - turns * span
    inward = np.where(places < low, low + rest, high - rest)
    outward = np.where(places < low, high - rest, low + rest)
    mirrored = np.where(turns % 2 == 0, inward, outward)
    return np.where((places < low) | (places > high), mirrored, places).astype(places.dtype)


@operator("grid-sample")
class GridSample(Routine):
    """x [N, C, spatial...] at the places of a grid [N, out..., dims] (f32), which run from -1 to 1, innermost first.

    `mode` is nearest, linear or cubic; outside x there are zeros, the border's elements or reflections (`padding`).
    With `aligned` -1 and 1 are the centers of the outermost elements, else their outer edges.
    """

    x: Value
    grid: Value
    mode: str = "linear"
    padding: str = "zeros"
    aligned: bool = False
    family = "sample"
    tolerance = NEAR

    def infer(self, x: TensorType, grid: TensorType) -> TensorType:
        dims = x.rank - 2
        if not 1 <= dims <= 3 or grid.rank != x.rank or grid.shape[-1] != dims or grid.shape[0] != x.shape[0]:
            raise ModelError(f"a grid {grid} does not fit {x}", hint="[N, C, spatial...] and [N, out..., dims]")
        if not x.dtype.is_float or grid.dtype != f32:
            raise ModelError(f"a grid {grid} on {x}", hint="floating-point elements, a grid of f32")
        if self.mode not in TAPS or self.padding not in ("zeros", "border", "reflection"):
            raise ModelError(f"there is no mode '{self.mode}' with padding '{self.padding}'")
        return TensorType(x.dtype, (*x.shape[:2], *grid.shape[1:-1]))

    def evaluate(self, x: Array, grid: Array) -> Array:
        batch, channels, *space = x.shape
        points = grid.reshape(batch, -1, len(space))[..., ::-1]
        axes = [self._taps(points[..., d], extent) for d, extent in enumerate(space)]
        found = np.zeros((batch, channels, points.shape[1]))
        entry = np.arange(batch)[:, None]
        for taps in itertools.product(range(TAPS[self.mode]), repeat=len(space)):
            chosen = [(at[t], weight[t]) for (at, weight), t in zip(axes, taps, strict=True)]
            weight = math.prod((w for _, w in chosen), start=np.ones(points.shape[:2]))
            inside = np.logical_and.reduce([(a >= 0) & (a < d) for (a, _), d in zip(chosen, space, strict=True)])
            places = tuple(np.where(inside, a, 0) for a, _ in chosen)
            index: Any = (entry, slice(None), *places)
            values = np.moveaxis(x[index], -1, 1)
            found += np.where(inside[:, None], values, 0) * weight[:, None]
        return found.reshape(self.type.shape).astype(x.dtype)

    def _taps(self, places: Array, extent: int) -> tuple[list[Array], list[Array]]:
        """Elements and weights that make up the value at normalized places along an axis."""
        one, half = np.float32(1), np.float32(0.5)
        if self.aligned:
            at = (places + one) / np.float32(2) * np.float32(extent - 1)
        else:
            at = ((places + one) * np.float32(extent) - one) / np.float32(2)
        at = np.clip(np.nan_to_num(at, nan=-FAR), -FAR, FAR).astype(np.float32)
        at = np.rint(at) if self.mode == "nearest" else at
        low, high = (0.0, extent - 1.0) if self.aligned else (-half, extent - half)
        moved = self.padding if self.mode != "cubic" else ""  # the taps of a cubic are moved one by one
        if moved == "border":
            at = np.where((at < low) | (at > high), np.clip(at, 0, extent - 1), at).astype(np.float32)
        elif moved == "reflection":
            at = reflected(at, float(low), float(high))
        first = np.floor(at) if self.mode != "nearest" else np.trunc(at)
        t = (at - first).astype(np.float64)
        weights = [np.ones_like(t)]
        if self.mode == "linear":
            weights = [1 - t, t]
        elif self.mode == "cubic":
            weights = [far(t + 1, -0.75), near(t, -0.75), near(1 - t, -0.75), far(2 - t, -0.75)]
        start = first.astype(np.int64) - (self.mode == "cubic")
        return [self._resolved(start + i, extent, float(low), float(high)) for i in range(len(weights))], weights

    def _resolved(self, index: Array, extent: int, low: float, high: float) -> Array:
        if self.padding == "border":
            return np.asarray(np.clip(index, 0, extent - 1))
        if self.padding == "reflection":
            mirrored = np.trunc(reflected(index.astype(np.float64), low, high))
            return np.asarray(np.clip(mirrored, 0, extent - 1), np.int64)
        return index

    @property
    def tasks(self) -> int:
        return self.grid.type.size // self.grid.shape[-1]

    def numbers(self) -> dict[str, Number]:
        space = self.x.shape[2:]
        return {
            "type": self.x.dtype, "mode": self.mode, "padding": self.padding, "aligned": int(self.aligned),
            "dims": len(space), "channels": self.x.shape[1], "points": math.prod(self.grid.shape[1:-1]),
            "extents": space,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        x, grid = arg(f32, 2, 3, 5, 4), arg(f32, 2, 3, 4, 2)
        yield cls(x, grid, "linear", "reflection", True)
        yield cls(x, grid, "cubic", "border")
        yield cls(arg(f32, 1, 2, 3, 4, 5), arg(f32, 1, 2, 2, 7, 3), "nearest", "reflection")
        yield cls(arg(f32, 1, 2, 3, 4, 5), arg(f32, 1, 2, 2, 7, 3))

"""Sampling images between their pixels, at places that are computed at run time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import TensorType, f32, f64, i64
from ..value import Value
from .constant import constant
from .resize import ROUNDINGS
from .routine import Number, Routine

FAR = 2.0**30
"""Places beyond this are as good as infinitely far."""
NEAR = Tolerance(1e-5, 1e-5)
TAPS = {"nearest": 1, "linear": 2, "cubic": 4}


def near(d: Array, a: float) -> Array:
    """Keys' cubic convolution kernel (IEEE TASSP 1981) at distances up to 1."""
    return np.asarray(((a + 2) * d - (a + 3)) * d * d + 1)


def far(d: Array, a: float) -> Array:
    """The same at distances from 1 to 2."""
    return np.asarray(((a * d - 5 * a) * d + 8 * a) * d - 4 * a)


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


@operator("roi-align")
class RoiAlign(Routine):
    """Regions of x [N, C, H, W] in `size` by averages (or maxima) of samples between the pixels.

    `rois` [R, 4] holds x and y of two corners in units of 1 / `scale` pixels, `batch` [R] (i64) the image of each.
    `samples` a side are taken in each cell, 0: one for each pixel. `half_pixel` counts from the corners of pixels.
    """

    x: Value
    rois: Value
    batch: Value
    size: tuple[int, int]
    scale: float = 1.0
    samples_a_side: int = 0
    kind: str = "avg"
    half_pixel: bool = True
    family = "sample"
    tolerance = NEAR
    most_samples = 4096

    def infer(self, x: TensorType, rois: TensorType, batch: TensorType) -> TensorType:
        count = batch.shape[0] if batch.rank == 1 else -1
        if x.rank != 4 or rois.shape != (count, 4) or batch.dtype != i64 or rois.dtype != x.dtype:
            raise ModelError(f"regions {rois} and {batch} do not fit {x}", hint="[N, C, H, W], [R, 4] and i64[R]")
        if self.kind not in ("avg", "max") or not x.dtype.is_float or min(self.size) < 1:
            raise ModelError(f"there is no kind '{self.kind}' of {x} in size {list(self.size)}", hint="avg, max")
        return TensorType(x.dtype, (count, x.shape[1], *self.size))

    def evaluate(self, x: Array, rois: Array, batch: Array) -> Array:
        found = np.zeros(self.type.shape, x.dtype)
        offset, number = np.float32(0.5 if self.half_pixel else 0), np.float32
        for n, image in enumerate(np.where(batch < 0, batch + len(x), batch)):
            if not 0 <= image < len(x):
                continue
            left, top, right, bottom = (rois[n] * number(self.scale)).astype(np.float32) - offset
            rows = self._samples(top, bottom, self.size[0], x.shape[2])
            columns = self._samples(left, right, self.size[1], x.shape[3])
            found[n] = self._cells(x[image], rows, columns)
        return found

    def _samples(self, start: Any, end: Any, cells: int, extent: int) -> tuple[Array, ...]:
        """Along one axis, [cells, samples]: low pixel, high pixel, their weights (both 0 for a sample outside)."""
        length = end - start if self.half_pixel else max(end - start, np.float32(1))
        cell = np.float32(length / np.float32(cells))
        asked = self.samples_a_side or int(np.clip(np.nan_to_num(np.ceil(cell)), 0, self.most_samples))
        place = np.float32(start) + np.arange(cells, dtype=np.float32)[:, None] * cell
        place = place + (np.arange(asked, dtype=np.float32) + np.float32(0.5)) * cell / np.float32(max(asked, 1))
        inside = (place >= -1) & (place <= extent)
        place = np.clip(np.nan_to_num(place), 0, extent - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, extent - 1)
        part = (place - low).astype(np.float32)
        return low, high, np.where(inside, 1 - part, 0), np.where(inside, part, 0)

    def _cells(self, image: Array, rows: tuple[Array, ...], columns: tuple[Array, ...]) -> Array:
        """[C, cells, cells] from the samples along both axes."""
        terms = []
        for r, c in itertools.product((0, 1), repeat=2):
            value = image[:, rows[r][:, :, None, None], columns[c][None, None]]
            terms.append(value * (rows[r + 2][:, :, None, None] * columns[c + 2][None, None]))
        shape = (len(image), *self.size)
        if not terms[0].size:
            return np.zeros(shape, image.dtype)
        if self.kind == "avg":
            return np.asarray(sum(terms).mean((2, 4)))
        return np.asarray(np.maximum.reduce(terms).max((2, 4)))

    @property
    def tasks(self) -> int:
        return self.rois.shape[0] * self.x.shape[1]

    def numbers(self) -> dict[str, Number]:
        return {
            "type": self.x.dtype, "kind": self.kind, "half_pixel": int(self.half_pixel), "scale": float(self.scale),
            "samples": self.samples_a_side, "most_samples": self.most_samples, "batch": self.x.shape[0],
            "channels": self.x.shape[1], "extents": self.x.shape[2:], "size": self.size,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        rois = constant([[0.0, 1, 4, 5], [1, 0, 8, 9], [-2, -1, 3, 3], [2, 2, 2.5, 2]], f32)
        operands = arg(f32, 2, 3, 7, 5), rois, constant([0, 1, 1, 0], i64)
        yield cls(*operands, (2, 3), 0.5, 2)
        yield cls(*operands, (3, 2), 2.0, 0, "max", False)
        yield cls(*operands, (1, 2), 1.5, 0, "avg", False)


@operator("max-roi-pool")
class MaxRoiPool(Routine):
    """The largest pixels of regions of x [N, C, H, W] in a grid of cells; rois [R, 5] hold image, x, y, x, y."""

    x: Value
    rois: Value
    size: tuple[int, int]
    scale: float = 1.0
    family = "sample"

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        if x.rank != 4 or rois.rank != 2 or rois.shape[1] != 5 or rois.dtype != x.dtype or not x.dtype.is_float:
            raise ModelError(f"regions {rois} do not fit {x}", hint="[N, C, H, W] and [R, 5]")
        return TensorType(x.dtype, (rois.shape[0], x.shape[1], *self.size))

    def evaluate(self, x: Array, rois: Array) -> Array:
        found = np.zeros(self.type.shape, x.dtype)
        for n, (image, *corners) in enumerate(rois.astype(np.float32)):
            index = int(np.clip(np.nan_to_num(image), -FAR, FAR))
            if not 0 <= index < len(x):
                continue
            rounded = [self._rounded(c) for c in corners]
            rows = self._cells(rounded[1], rounded[3], self.size[0], x.shape[2])
            columns = self._cells(rounded[0], rounded[2], self.size[1], x.shape[3])
            for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
                part = x[index, :, row, column]
                found[n, :, i, j] = part.max((1, 2)) if part.size else 0
        return found

    def _rounded(self, corner: Any) -> int:
        at = np.clip(np.nan_to_num(np.float32(corner * np.float32(self.scale))), -FAR, FAR)
        return int(np.floor(at + np.float32(0.5)))

    @staticmethod
    def _cells(start: int, end: int, cells: int, extent: int) -> list[slice]:
        length = max(end - start + 1, 1)
        edges = ((start + i * length // cells, start + -(-(i + 1) * length // cells)) for i in range(cells))
        return [slice(*(int(np.clip(e, 0, extent)) for e in pair)) for pair in edges]

    @property
    def tasks(self) -> int:
        return self.rois.shape[0] * self.x.shape[1]

    def numbers(self) -> dict[str, Number]:
        return {
            "type": self.x.dtype, "scale": float(self.scale), "batch": self.x.shape[0], "channels": self.x.shape[1],
            "extents": self.x.shape[2:], "size": self.size,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        rois = constant([[0.0, 1, 0, 3, 4], [1, 0, 0, 1, 1], [1, 2, 1, 3, 2]], f32)
        yield cls(arg(f32, 2, 3, 7, 5), rois, (2, 3), 1.5)
        yield cls(arg(f32, 2, 2, 4, 4), rois, (3, 1))


@operator("resize-axis")
class ResizeAxis(Routine):
    """x sampled at other places along one axis, the scale (f64 scalar) and the region [2] being known at run time only.

    What the attributes mean stands at `resize`. `coordinates` may be tf_crop_and_resize too: the places run through
    the part `region` of the axis, from 0 to 1, and what lies outside the axis is `outside`.
    """

    x: Value
    scale: Value
    region: Value | None = None
    axis: int = 0
    size: int = 1
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    outside: float = 0.0
    family = "sample"
    tolerance = NEAR

    def infer(self, x: TensorType, scale: TensorType, region: TensorType | None) -> TensorType:
        if scale != TensorType(f64, ()) or region not in (None, TensorType(f64, (2,))) or not 0 <= self.axis < x.rank:
            raise ModelError(f"scale {scale} and region {region}", hint="f64[] and f64[2]")
        if self.mode not in TAPS or (self.coordinates == "tf_crop_and_resize") != (region is not None):
            raise ModelError(f"mode '{self.mode}' by coordinates '{self.coordinates}'")
        return TensorType(x.dtype, (*x.shape[: self.axis], self.size, *x.shape[self.axis + 1 :]))

    def places(self, scale: float, region: Array | None) -> Array:
        """Where the elements of the result stand on the axis of x."""
        extent, size = self.x.shape[self.axis], self.size
        at = np.arange(size, dtype=np.float64)
        if region is not None:
            span = (region[1] - region[0]) * (extent - 1)
            return np.asarray(region[0] * (extent - 1) + (at * span / (size - 1) if size > 1 else at + span / 2))
        if self.coordinates == "align_corners":
            return at * (extent - 1) / (size - 1) if size > 1 else at
        if self.coordinates == "asymmetric":
            return at / scale
        if self.coordinates == "pytorch_half_pixel" and size == 1:
            return at
        shift = extent / 2 * (1 - size / (scale * extent)) if self.coordinates == "half_pixel_symmetric" else 0.0
        return np.asarray((at + 0.5) / scale - 0.5 + shift)

    def evaluate(self, x: Array, scale: Array, region: Array | None) -> Array:
        step = float(scale) if scale > 0 else 1.0
        rows = np.moveaxis(x, self.axis, -1)
        found = np.empty((*rows.shape[:-1], self.size), x.dtype)
        for i, place in enumerate(np.clip(np.nan_to_num(self.places(step, region)), -FAR, FAR)):
            found[..., i] = self._value(rows, place, min(step, 1.0) if self.antialias else 1.0)
        return np.moveaxis(found, -1, self.axis)

    def _value(self, rows: Array, place: float, step: float) -> Array:
        extent = rows.shape[-1]
        if self.region is not None and not 0 <= place <= extent - 1:
            return np.full(rows.shape[:-1], self.outside)
        if self.mode == "nearest":
            nearest = int(np.clip(ROUNDINGS[self.rounding](np.asarray(place)), 0, extent - 1))
            return np.asarray(np.take(rows, nearest, -1))
        reach = min((1 if self.mode == "linear" else 2) / step, 2.0 * extent + 2)
        taps = np.arange(np.ceil(place - reach), np.floor(place + reach) + 1)
        weights = self._kernel(np.abs(taps - place) * step)
        if self.exclude_outside:
            weights = np.where((taps < 0) | (taps >= extent), 0, weights)
        total = weights.sum()
        weights = weights / (total if total != 0 else 1)
        return np.asarray(rows[..., np.clip(taps, 0, extent - 1).astype(np.int64)].astype(np.float64) @ weights)

    def _kernel(self, d: Array) -> Array:
        if self.mode == "linear":
            return np.asarray(np.maximum(1 - d, 0))
        a = self.cubic_coefficient
        return np.where(d <= 1, near(d, a), np.where(d < 2, far(d, a), 0))

    @property
    def tasks(self) -> int:
        return self.size

    def numbers(self) -> dict[str, Number]:
        shape = self.x.shape
        return {
            "type": self.x.dtype, "mode": self.mode, "coordinates": self.coordinates, "rounding": self.rounding,
            "exclude_outside": int(self.exclude_outside), "antialias": int(self.antialias),
            "cubic_coefficient": float(self.cubic_coefficient), "outside": float(self.outside),
            "outer": math.prod(shape[: self.axis]), "extent": shape[self.axis], "size": self.size,
            "inner": math.prod(shape[self.axis + 1 :]),
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        x, scale, region = arg(f32, 2, 7, 3), arg(f64), arg(f64, 2)
        yield cls(x, scale, None, 1, 5, "linear", antialias=True)
        yield cls(x, scale, None, 1, 9, "cubic", "half_pixel_symmetric", exclude_outside=True)
        yield cls(x, scale, None, 2, 2, "nearest", "asymmetric", "ceil")
        yield cls(x, scale, region, 0, 4, "linear", "tf_crop_and_resize", outside=1.5)


@operator("deform-columns")
class DeformColumns(Routine):
    """What a deformable convolution reads of x [N, C, H, W], as columns [N, C * taps, out_h * out_w].

    `offset` [N, groups * taps * 2, out_h, out_w] moves each tap by (rows, columns), `mask` [N, groups * taps, out_h,
    out_w] scales it; channels in a group share both. Outside x there are zeros. `pads` holds all begins, then all ends.
    """

    x: Value
    offset: Value
    mask: Value | None = None
    kernel_shape: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    groups: int = 1
    family = "sample"
    tolerance = NEAR

    def infer(self, x: TensorType, offset: TensorType, mask: TensorType | None) -> TensorType:
        taps = math.prod(self.kernel_shape)
        lengths = [len(n) for n in (self.kernel_shape, self.strides, self.dilations, self.pads)]
        if lengths != [2, 2, 2, 4] or min(self.strides) < 1 or min(self.pads) < 0:
            raise ModelError(f"a kernel {list(self.kernel_shape)} with pads {list(self.pads)}", hint="two dimensions")
        if x.rank != 4 or offset.rank != 4 or self.groups < 1 or x.shape[1] % self.groups or not x.dtype.is_float:
            raise ModelError(
                f"offsets {offset} do not fit {x} in {self.groups} groups", hint="images of two dimensions"
            )
        kinds = [(offset, 2 * self.groups * taps), *([(mask, self.groups * taps)] if mask else [])]
        if any(t != TensorType(x.dtype, (x.shape[0], n, *offset.shape[2:])) for t, n in kinds):
            raise ModelError(f"offsets {offset} and mask {mask} do not fit {x} and a kernel of {taps} taps")
        return TensorType(x.dtype, (x.shape[0], x.shape[1] * taps, math.prod(offset.shape[2:])))

    def evaluate(self, x: Array, offset: Array, mask: Array | None) -> Array:
        (batch, channels, height, width), (rows, columns) = x.shape, offset.shape[2:]
        kh, kw = self.kernel_shape
        moved = offset.reshape(batch, self.groups, kh, kw, 2, rows, columns)
        grid = np.indices((kh, kw, rows, columns), dtype=x.dtype)
        at = []
        for d in range(2):
            start = grid[d + 2] * self.strides[d] - self.pads[d] + grid[d] * self.dilations[d]
            at.append(np.clip(np.nan_to_num(start + moved[:, :, :, :, d], nan=-FAR), -FAR, FAR))
        low = [np.floor(a) for a in at]
        found: Any = np.zeros((batch, self.groups, channels // self.groups, kh, kw, rows, columns), x.dtype)
        image = x.reshape(batch, self.groups, -1, height, width)
        for corner in itertools.product((0, 1), repeat=2):
            place = [(b + c).astype(np.int64) for b, c in zip(low, corner, strict=True)]
            part = [a - b if c else 1 - (a - b) for a, b, c in zip(at, low, corner, strict=True)]
            inside = (place[0] >= 0) & (place[0] < height) & (place[1] >= 0) & (place[1] < width)
            lead = np.ix_(range(batch), range(self.groups))
            index = tuple(a.reshape(*a.shape, 1, 1, 1, 1) for a in lead)
            picked: Any = (*index, slice(None), *(np.where(inside, p, 0) for p in place))
            value = image[picked]
            found = found + np.moveaxis(value, -1, 2) * np.where(inside, part[0] * part[1], 0)[:, :, None]
        if mask is not None:
            found = found * mask.reshape(batch, self.groups, 1, kh, kw, rows, columns)
        return np.asarray(found, x.dtype).reshape(self.type.shape)

    @property
    def tasks(self) -> int:
        return self.x.shape[0] * self.x.shape[1]

    def numbers(self) -> dict[str, Number]:
        return {
            "type": self.x.dtype, "channels": self.x.shape[1], "groups": self.groups, "extents": self.x.shape[2:],
            "sizes": self.offset.shape[2:], "kernel": self.kernel_shape, "strides": self.strides,
            "pads": self.pads[:2], "dilations": self.dilations,
        }  # fmt: skip

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 4, 5, 6), arg(f32, 2, 24, 4, 3), arg(f32, 2, 12, 4, 3), (2, 3), (1, 2), (0, 1, 0, 0),
                  (1, 1), 2)  # fmt: skip
        yield cls(arg(f32, 1, 1, 4, 4), arg(f32, 1, 2, 4, 4), None, (1, 1))

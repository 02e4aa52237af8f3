"""Resizing along one axis by a scale that is computed at run time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32, f64
from ..value import Value
from .resize import ROUNDINGS, far, near
from .routine import Number, Routine
from .sample import FAR, NEAR, TAPS


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

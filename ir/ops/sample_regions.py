"""Regions of images by a grid of cells: averages and maxima of samples, or of pixels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32, i64
from ..value import Value
from .constant import constant
from .routine import Number, Routine
from .sample import FAR, NEAR


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

"""What a deformable convolution reads of images."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32
from ..value import Value
from .routine import Number, Routine
from .sample import FAR, NEAR


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

"""Convolution by Winograd's minimal filtering: fewer multiplications on transformed tiles (Lavin and Gray, 2016)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import TensorType, f32
from .contraction import Conv, windows

POINTS = {2: (1.0,), 4: (0.625, 1.5), 6: (0.5, 1.0, 2.0)}
"""Points of interpolation by the edge of a tile: 0, plus and minus each of these, infinity; as ec_winograd_f32.h."""


@dataclass(frozen=True, eq=False)
class Transforms:
    """Of one dimension: data [n, n], kernel [n, 3] and products [edge, n], n = edge + 2."""

    data: Array
    kernel: Array
    products: Array


@functools.cache
def transforms(edge: int) -> Transforms:
    """The transforms of F(edge, 3), in double precision; the scale of each point is the kernel's."""
    points = [0.0, *(sign * p for p in POINTS[edge] for sign in (1, -1))]
    data, kernel, products = np.zeros((edge + 2, edge + 2)), np.zeros((edge + 2, 3)), np.zeros((edge, edge + 2))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        data[i, :-1] = np.poly(others)[::-1]
        kernel[i] = np.array([1, point, point**2]) / np.prod([point - p for p in others])
        products[:, i] = [point**power for power in range(edge)]
    data[-1], kernel[-1, 2], products[-1, -1] = np.poly(points)[::-1], 1, 1
    return Transforms(data, kernel, products)


def transform_weights(weights: Array, edge: int) -> Array:
    """Weights [M, C, 3, 3] as [M, C, edge + 2, edge + 2], computed in double precision and rounded to float32.

    The sums are written out, so that the bits are the same on every machine.
    """
    taps = np.ascontiguousarray(weights.reshape(-1, 9).T, np.float64).reshape(3, 3, -1)
    rows = [k[0] * taps[0] + k[1] * taps[1] + k[2] * taps[2] for k in transforms(edge).kernel]
    places = [[k[0] * row[0] + k[1] * row[1] + k[2] * row[2] for k in transforms(edge).kernel] for row in rows]
    flat = np.array(places, np.float32).reshape((edge + 2) ** 2, -1).T
    return np.ascontiguousarray(flat).reshape(*weights.shape[:2], edge + 2, edge + 2)


@operator("winograd-conv")
class WinogradConv(Conv):
    """A 3x3 convolution of stride 1 in one group, of x without border; w is what `transform_weights` gives.

    Tiles of `edge` times `edge` outputs are computed at once, `block` of them by the C kernel (0: all); `scratch` is
    the memory that it needs meanwhile, in bytes.
    """

    edge: int = 4
    block: int = 0
    scratch: int = 0
    tolerance = Tolerance(1e-4, 1e-5)

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None) -> TensorType:
        if self.edge not in POINTS:
            raise ModelError(f"edge is {self.edge}, must be one of {', '.join(map(str, POINTS))}")
        if self.groups != 1 or {*self.strides, *self.dilations} != {1} or any(self.pads):
            raise ModelError("strides, dilations and groups must be 1, pads 0")
        if w.rank != 4 or w.shape[2:] != (self.edge + 2, self.edge + 2):
            raise ModelError(f"weight is {w}, needs {self.edge + 2} times {self.edge + 2} transformed taps")
        kernel = TensorType(w.dtype, (*w.shape[:2], 3, 3))
        return super().infer(x, kernel, bias)

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        matrices = transforms(self.edge)
        data, products = matrices.data.astype(np.float32), matrices.products.astype(np.float32)
        (n, _, *size), (down, right) = x.shape, (-(-(extent - 2) // self.edge) for extent in x.shape[2:])
        extra = [(0, t * self.edge + 2 - extent) for t, extent in zip((down, right), size, strict=True)]
        tiles = windows(np.pad(x, [(0, 0), (0, 0), *extra]), w.shape[2:], (self.edge, self.edge), (1, 1))
        turned = data @ tiles @ data.T
        rows = turned.transpose(4, 5, 0, 2, 3, 1).reshape(*w.shape[2:], -1, w.shape[1])
        sums = rows @ w.transpose(2, 3, 1, 0)
        y = products @ sums.transpose(2, 3, 0, 1) @ products.T
        y = y.reshape(n, down, right, -1, self.edge, self.edge).transpose(0, 3, 1, 4, 2, 5)
        y = y.reshape(n, -1, down * self.edge, right * self.edge)[:, :, : size[0] - 2, : size[1] - 2]
        return np.asarray(y if bias is None else y + bias.reshape(-1, 1, 1))

    def expand(self) -> None:
        """None: its weight is transformed."""

    def macs(self) -> int:
        """Those of the direct convolution, so that rates compare."""
        return self.type.size * self.w.shape[1] * 9

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 7, 9), arg(f32, 5, 3, 4, 4), arg(f32, 5), edge=2)
        yield cls(arg(f32, 2, 17, 11, 6), arg(f32, 35, 17, 6, 6), edge=4)
        yield cls(arg(f32, 1, 5, 8, 15), arg(f32, 9, 5, 8, 8), arg(f32, 9), edge=6)

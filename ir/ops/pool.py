"""Windowed reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import is_open, lower
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, f32, u8
from ..value import Value
from .constant import constant
from .contraction import pad_spatial, window_extents, windows


@operator("pool")
class Pool(Op):
    """Maximum, sum or average over windows of x [N, C, spatial...].

    `pads` holds all begins, then all ends. The sum of 8-bit integers is f32, exact below 2^24. An average
    counts the `counted` part of the pads as zeros that take part (all of it when the model includes padding, none of
    it when it does not).
    """

    x: Value
    kind: str
    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    counted: tuple[int, ...] = ()
    kernel = "pool"
    tolerance = Tolerance(1e-6, 1e-6)

    def infer(self, x: TensorType) -> TensorType:
        spatial = x.rank - 2
        if self.kind not in ("max", "sum", "average"):
            raise ModelError(f"unknown kind '{self.kind}'")
        lengths = (len(self.kernel_shape), len(self.strides), len(self.dilations), len(self.pads))
        if spatial < 1 or lengths != (spatial, spatial, spatial, 2 * spatial):
            raise ModelError(f"window does not fit an input of rank {x.rank}")
        if min(self.kernel_shape + self.strides + self.dilations) < 1 or min(self.pads) < 0:
            raise ModelError("kernel, strides and dilations must be positive, pads not negative")
        out = window_extents(x.shape[2:], self.kernel_shape, self.strides, self.dilations, self.pads)
        if min(map(lower, out)) < 1:
            what = f"window {list(self.kernel_shape)} does not fit into input {list(x.shape[2:])} with its pads"
            raise ModelError(what)
        if self.kind == "average" and x.dtype.is_integer:
            raise ModelError(f"averages floats, not {x.dtype.name}")
        small = self.kind == "sum" and x.dtype.is_integer and x.dtype.bits < 32
        return TensorType(f32 if small else x.dtype, (*x.shape[:2], *out))

    def evaluate(self, x: Array) -> Array:
        spatial = tuple(range(-(x.ndim - 2), 0))
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = pad_spatial(x, self.pads, lowest if self.kind == "max" else 0)
        view = windows(padded, self.kernel_shape, self.strides, self.dilations)
        if self.kind == "max":
            return np.asarray(view.max(axis=spatial))
        total = view.sum(axis=spatial, dtype=self.type.dtype.numpy)
        return np.asarray(total) if self.kind == "sum" else (total * self.weights(x.shape)).astype(x.dtype)

    def weights(self, shape: tuple[int, ...]) -> Array:
        """One over the number of elements that each window averages: [1, 1, positions...], of float32 or float64."""
        counted = self.counted or (0,) * len(self.pads)
        kind = self.x.dtype.wide.numpy
        ones = pad_spatial(np.ones((1, 1, *shape[2:]), kind), counted, 1.0)
        rest = tuple(p - c for p, c in zip(self.pads, counted, strict=True))
        view = windows(pad_spatial(ones, rest), self.kernel_shape, self.strides, self.dilations)
        counts = view.sum(axis=tuple(range(-(len(shape) - 2), 0)))
        return np.asarray(kind.type(1) / np.maximum(counts, kind.type(1)))

    def expand(self) -> Value | None:
        """An average as a sum times one over the counts."""
        from .arithmetic import Div, Mul

        if self.kind != "average":
            return None
        if any(map(is_open, self.x.shape[2:])):
            return Div(self.replace(kind="sum", counted=()).result, self._counts()).result
        weights = self.weights(self.x.shape)
        if (weights == weights.flat[0]).all():
            weights = np.asarray(weights.flat[0])
        return Mul(self.replace(kind="sum", counted=()).result, constant(weights, self.x.dtype)).result

    def _counts(self) -> Value:
        """The number of elements that each window averages, found at run time."""
        from .assembly import Pad
        from .view import Expand

        counted = self.counted or (0,) * len(self.pads)
        half, rest = len(self.pads) // 2, tuple(p - c for p, c in zip(self.pads, counted, strict=True))
        ones = Expand(constant(1, self.x.dtype), (1, 1, *self.x.shape[2:])).result
        if any(counted):
            ones = Pad(ones, (0, 0, *counted[:half], 0, 0, *counted[half:]), 1.0).result
        return Pool(ones, "sum", self.kernel_shape, self.strides, rest, self.dilations).result

    def macs(self) -> int:
        return self.type.size * math.prod(self.kernel_shape)

    @classmethod
    def samples(cls) -> Any:
        x = arg(f32, 1, 5, 7, 9)
        yield cls(x, "max", (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
        yield cls(x, "max", (2, 3), (1, 2), (0, 0, 0, 0), (2, 1))
        yield cls(x, "average", (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
        yield cls(x, "average", (2, 2), (2, 2), (0, 0, 1, 1), (1, 1), (0, 0, 0, 0))
        yield cls(arg(f32, 2, 33, 4, 4), "average", (4, 4), (1, 1), (0, 0, 0, 0), (1, 1))
        yield cls(arg(f32, 1, 3, 9), "sum", (3,), (2,), (1, 0), (1,))
        yield cls(arg(u8, 1, 19, 7, 6), "sum", (3, 2), (2, 2), (0, 0, 0, 0), (1, 1))
        yield cls(arg(u8, 1, 37, 7, 6), "max", (2, 2), (2, 2), (0, 0, 1, 0), (1, 1))

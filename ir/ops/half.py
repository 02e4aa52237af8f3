"""Convolutions and matrix products of numbers that are rounded to half precision first."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Tolerance, arg, operator
from ..types import DType, TensorType, bf16, f16, f32
from .contraction import Conv, MatMul, pad_spatial, windows

HALF = Tolerance(1e-2, 1e-3)
HALVES = (bf16, f16)
BLOCK = 64
"""The products of a sum in f16; as EC_CONV_F16_BLOCK."""
_INFINITE = np.float32(65520)
_LEAST_NORMAL = np.float32(2.0**-14)
_SMALLEST = np.float32(0.75)
"""A number of f32 whose last place is the smallest number of f16."""


def rounded(x: Array, to: DType = bf16) -> Array:
    """The nearest numbers of a type, halves to even, as f32."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(x.astype(to.numpy).astype(np.float32))


@operator("half-conv")
class HalfConv(Conv):
    """A convolution whose x and w are rounded `to` bf16, and summed in f32 as is the bias, or to f16.

    Products of f16 are summed in f16, rounded one by one: 64 of them in the order of taps, channels innermost. Such
    sums are added up in f32. x may be in f16 already.
    """

    to: DType = bf16
    tolerance = HALF

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None) -> TensorType:
        check_types(self.to, x)
        return TensorType(f32, super().infer(x, w, bias).shape)

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        x, w = rounded(x, self.to), rounded(w, self.to)
        if self.to == bf16:
            return super().evaluate(x, w, bias)
        view = windows(pad_spatial(x, self.pads), w.shape[2:], self.strides, self.dilations)
        parts = [
            _convolved(chunk, weights)
            for chunk, weights in zip(np.split(view, self.groups, 1), np.split(w, self.groups), strict=True)
        ]
        found = np.concatenate(parts, axis=1)
        return found if bias is None else found + bias.reshape(-1, *[1] * (x.ndim - 2))

    @classmethod
    def samples(cls) -> Any:
        for to in HALVES:
            yield cls(arg(f32, 1, 3, 7, 9), arg(f32, 5, 3, 3, 3), arg(f32, 5), pads=(1, 1, 1, 1), to=to)
            yield cls(arg(f32, 2, 4, 9, 8), arg(f32, 6, 2, 2, 3), strides=(2, 1), dilations=(1, 2), groups=2, to=to)
            yield cls(arg(f32, 1, 33, 4, 5), arg(f32, 17, 33, 1, 1), to=to)


@operator("half-matmul")
class HalfMatMul(MatMul):
    """A matrix product whose operands are rounded `to` bf16 or f16, and whose products are summed as by `half-conv`.

    a may be in f16 already.
    """

    to: DType = bf16
    tolerance = HALF

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        check_types(self.to, a)
        return TensorType(f32, super().infer(a.with_dtype(b.dtype), b).shape)

    def evaluate(self, a: Array, b: Array) -> Array:
        a, b = rounded(a, self.to), rounded(b, self.to)
        if self.to == bf16:
            return super().evaluate(a, b)
        rows, columns = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
        found = half_sums(rows, columns)
        found = found[..., 0, :] if a.ndim == 1 else found
        return found[..., 0] if b.ndim == 1 else found

    @classmethod
    def samples(cls) -> Any:
        for to in HALVES:
            yield cls(arg(f32, 5, 7), arg(f32, 7, 9), to=to)
            yield cls(arg(f32, 1, 70), arg(f32, 70, 10), to=to)


def check_types(to: DType, x: TensorType) -> None:
    """Refuse other types than those that are rounded to and from."""
    if to not in HALVES:
        raise ModelError(f"operands cannot be rounded to {to.name}", hint="types: bf16, f16")
    if x.dtype not in (f32, to) or x.dtype == bf16:
        raise ModelError(f"operands in {x.dtype.name} cannot be rounded to {to.name}", hint="f32 can, and f16 to f16")


def half_sums(a: Array, b: Array) -> Array:
    """a [..., M, K] times b [..., K, N], numbers of f16 in f32, by sums that `half-conv` tells of."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    total = np.zeros(shape, np.float32)
    columns = np.ascontiguousarray(np.moveaxis(a, -1, 0))[..., None]
    with np.errstate(invalid="ignore"):
        for start in range(0, a.shape[-1], BLOCK):
            part = np.zeros(shape, np.float32)
            for k in range(start, min(start + BLOCK, a.shape[-1])):
                part = to_f16(part + columns[k] * b[..., k, None, :])
            total += part
    return total


def to_f16(x: Array) -> Array:
    """As `rounded` to f16, several times as fast."""
    size, bits = np.abs(x), x.view(np.uint32)
    normal = ((bits + np.uint32(0xFFF) + ((bits >> 13) & np.uint32(1))) & np.uint32(0xFFFFE000)).view(np.float32)
    found = np.where(size < _LEAST_NORMAL, (x + _SMALLEST) - _SMALLEST, normal)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(size < _INFINITE, found, x * np.float32(np.inf)))


def _convolved(view: Array, w: Array) -> Array:
    """Windows [N, C, positions..., taps...] of one group times w [M, C, taps...]: [N, M, positions...]."""
    spatial = w.ndim - 2
    positions, taps = range(2, 2 + spatial), range(2 + spatial, 2 + 2 * spatial)
    rows = view.transpose(0, *positions, *taps, 1)
    shape = rows.shape[: 1 + spatial]
    sums = half_sums(rows.reshape(-1, w[0].size), np.moveaxis(w, 1, -1).reshape(len(w), -1).T)
    return np.moveaxis(sums.reshape(*shape, len(w)), -1, 1)

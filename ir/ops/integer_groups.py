"""Contractions of 8-bit activations with integer weights that have a scale for each group of what they sum over."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, arg, operator
from ..types import TensorType, f32, i8, u8
from ..value import Value
from .constant import constant
from .contraction import Conv, pad_spatial, windows
from .quantize import ConvInteger, MatMulInteger
from .stored import row_form, to_rows


@operator("grouped-conv-integer")
class GroupedConvInteger(ConvInteger):
    """bias + sum over groups of scale * (sum (x - x_zero) * w), where `group` weights of an output share a scale.

    What an output sums over is counted taps outermost, input channels innermost; `scale` is f32 [M, groups], the bias
    f32 [M]. The sum of a group is exact; it becomes f32, is multiplied and added to what came before, the bias first
    and groups in ascending order, each operation rounded once.
    """

    scale: Value | None = None
    group: int = 0

    def infer(  # type: ignore[override]
        self, x: TensorType, w: TensorType, bias: TensorType | None, scale: TensorType | None
    ) -> TensorType:
        check(x, w, bias, scale, self.group)
        shapes = (x.with_dtype(f32), w.with_dtype(f32), bias)
        return Conv.infer(self, *shapes)  # type: ignore[arg-type]

    def evaluate(self, x: Array, w: Array, bias: Array | None, scale: Array) -> Array:  # type: ignore[override]
        padded = pad_spatial(x.astype(np.float64) - self.x_zero, self.pads)
        seen = windows(padded, w.shape[2:], self.strides, self.dilations)
        size, per_group = seen.shape[2 : x.ndim], w.shape[0] // self.groups
        spatial, taps = range(2, x.ndim), range(x.ndim, 2 * x.ndim - 2)
        rows = to_rows(w)
        found = np.empty((x.shape[0], *size, w.shape[0]), np.float32)
        for g in range(self.groups):
            channels = slice(g * w.shape[1], (g + 1) * w.shape[1])
            inputs = seen[:, channels].transpose(0, *spatial, *taps, 1).reshape(x.shape[0], *size, rows.shape[1])
            mine = slice(g * per_group, (g + 1) * per_group)
            start = None if bias is None else bias[mine]
            found[..., mine] = grouped_products(inputs, rows[mine].T, start, scale[mine], self.group)
        return np.moveaxis(found, -1, 1)

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)

        def weight(*shape: int) -> Value:
            return constant(rng.integers(-8, 8, shape), i8)

        def scale(*shape: int) -> Value:
            return constant(rng.uniform(0.01, 0.1, shape).astype(np.float32))

        bias = constant(rng.random(5, np.float32))
        yield cls(arg(u8, 1, 7, 7, 9), weight(5, 7, 3, 3), bias, 128, pads=(1, 1, 1, 1), scale=scale(5, 2), group=32)
        yield cls(arg(i8, 2, 64, 4, 3), weight(6, 32, 1, 2), None, -3, groups=2, scale=scale(6, 4), group=16)


@operator("grouped-matmul-integer")
class GroupedMatMulInteger(MatMulInteger):
    """bias + sum over groups of scale * ((a - a_zero) [..., M, K] by b [K, N]), K in groups, as grouped-conv-integer.

    `scale` is f32 [N, groups], the bias f32 [N].
    """

    scale: Value | None = None
    group: int = 0

    def infer(  # type: ignore[override]
        self, a: TensorType, b: TensorType, bias: TensorType | None, scale: TensorType | None
    ) -> TensorType:
        check(a, b, bias, scale, self.group)
        return MatMulInteger.infer(self, a, b, None)

    def evaluate(self, a: Array, b: Array, bias: Array | None, scale: Array) -> Array:  # type: ignore[override]
        return grouped_products(a.astype(np.float64) - self.a_zero, b, bias, scale, self.group)

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)
        b = constant(rng.integers(-8, 8, (70, 19)).astype(np.int8))
        scale = constant(rng.uniform(0.01, 0.1, (19, 3)).astype(np.float32))
        yield cls(arg(u8, 2, 5, 70), b, constant(rng.random(19, np.float32)), 17, scale, 32)
        yield cls(arg(i8, 1, 70), b, None, -128, scale, 32)


def grouped_products(inputs: Array, columns: Array, bias: Array | None, scale: Array, group: int) -> Array:
    """inputs [..., K] of whole numbers by columns [K, N], scale [N, groups]."""
    total = np.zeros((*inputs.shape[:-1], columns.shape[1]), np.float32)
    total = total if bias is None else total + bias
    for g in range(scale.shape[1]):
        part = slice(g * group, (g + 1) * group)
        sums = np.matmul(inputs[..., part], columns[part].astype(np.float64)).astype(np.float32)
        total = total + sums * scale[:, g]
    return total


def check(x: TensorType, w: TensorType, bias: TensorType | None, scale: TensorType | None, group: int) -> None:
    """Operands of a grouped contraction; ModelError where they do not fit."""
    if x.dtype not in (u8, i8) or w.dtype != i8:
        raise ModelError(f"multiplies u8 or i8 by i8, not {x.dtype.name} by {w.dtype.name}")
    rows, length = row_form(w.shape)
    if group < 1 or scale != TensorType(f32, (rows, -(-length // group))):
        raise ModelError(f"scale {scale} does not hold a number for each {group} of {rows} rows of {length}")
    if bias is not None and bias != TensorType(f32, (rows,)):
        raise ModelError(f"bias must be f32[{rows}], is {bias}")

"""Convolutions and matrix products of numbers that are rounded to half precision first."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ..op import Array, Tolerance, arg, operator
from ..types import f32
from .contraction import Conv, MatMul

HALF = Tolerance(1e-2, 1e-3)


def rounded(x: Array) -> Array:
    """The nearest numbers of bf16, halves to even, as the type that x has."""
    return np.asarray(x.astype(ml_dtypes.bfloat16).astype(x.dtype))


@operator("half-conv")
class HalfConv(Conv):
    """A convolution whose x and w are rounded to bf16; products and sums are those of f32, as is the bias."""

    tolerance = HALF

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        return super().evaluate(rounded(x), rounded(w), bias)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 3, 7, 9), arg(f32, 5, 3, 3, 3), arg(f32, 5), pads=(1, 1, 1, 1))
        yield cls(arg(f32, 2, 4, 9, 8), arg(f32, 6, 2, 2, 3), strides=(2, 1), dilations=(1, 2), groups=2)
        yield cls(arg(f32, 1, 33, 4, 5), arg(f32, 17, 33, 1, 1))


@operator("half-matmul")
class HalfMatMul(MatMul):
    """A matrix product whose operands are rounded to bf16; products and sums are those of f32."""

    tolerance = HALF

    def evaluate(self, a: Array, b: Array) -> Array:
        return super().evaluate(rounded(a), rounded(b))

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 5, 7), arg(f32, 7, 9))
        yield cls(arg(f32, 1, 70), arg(f32, 70, 10))

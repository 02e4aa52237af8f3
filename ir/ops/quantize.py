"""Quantization: numbers as integers with a scale and a zero point, and what computes on such integers.

QDQ is the exchange form: `quantize` and `dequantize` around float ops, as models carry it. Integer ops come from it by
rewriting; their arithmetic is exact, so every backend and every instruction set gives the same bits:

- sums of products of integers are exact, without saturation: of 8-bit numbers in 32 bits, of 16-bit numbers in as many
  bits as they need; they become float32 numbers, rounded once;
- from there on single float32 operations, each rounded once (no fused multiply-add), in the order they are written;
- rounding to integers is to nearest, halves to even; results saturate at the limits of their type.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from .. import scalar as s
from ..op import EXACT, Array, Op, arg, operator
from ..scalar import Scalar
from ..types import DType, TensorType, broadcast, f32, i8, i16, i32, u8
from ..value import Value
from .constant import constant
from .contraction import Conv
from .elementwise import Elementwise


def limits(dtype: DType) -> tuple[int, int]:
    """The least and the largest number of an integer type."""
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


class Requantizing(Elementwise):
    """Float to integer: `exact` gives the number to round; the last operand is the zero point, `to` the result's type.

    A NaN becomes the least number of the type.
    """

    tolerance = EXACT
    zero: Value
    to: DType

    def exact(self, *operands: Scalar) -> Scalar:
        """The number before it is rounded, shifted and limited, of all operands but the zero point."""
        raise NotImplementedError

    def scalar(self, *operands: Scalar) -> Scalar:
        return self.limited(self.exact(*operands[:-1]), operands[-1])

    def infer(self, *types: TensorType) -> TensorType:
        self.check_integer()
        return TensorType(self.to, broadcast(*(t.shape for t in types)))

    def check_integer(self) -> None:
        if not self.to.is_integer or self.to.bits > 16:
            raise ModelError(f"cannot quantize to {self.to.name}", hint="i8, u8, i16 or u16")

    def limited(self, value: Scalar, zero: Scalar) -> Scalar:
        low, high = limits(self.to)
        return s.minimum(float(high), s.maximum(s.round_even(value) + zero, float(low)))

    def evaluate(self, *arrays: Array) -> Array:
        wide = [np.asarray(a, np.float32) for a in arrays]
        found = s.evaluate(self.expression, wide, np.dtype(np.float32))
        shape = broadcast(*(a.shape for a in arrays))
        return np.broadcast_to(found, shape).astype(self.to.numpy)


@operator("quantize")
class Quantize(Requantizing):
    """saturate(round(x / scale) + zero); scale and zero point broadcast against x (per channel: [C, 1, 1])."""

    x: Value
    scale: Value
    zero: Value
    to: DType = u8

    def check(self, *types: TensorType) -> None:
        if types[0].dtype != f32 or types[1].dtype != f32:
            raise ModelError("quantizes f32 with an f32 scale")

    def exact(self, *operands: Scalar) -> Scalar:
        x, scale = operands
        return x / scale

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 3, 5), constant(np.float32(0.1)), constant(np.uint8(128)))
        yield cls(arg(f32, 2, 3, 5), constant([[0.1], [0.2], [0.3]], f32), constant(np.int8(0)), i8)


@operator("requantize")
class Requantize(Requantizing):
    """saturate(round(x * factor) + zero): a quantize whose scale was merged with a factor before it."""

    x: Value
    factor: Value
    zero: Value
    to: DType = u8

    def exact(self, *operands: Scalar) -> Scalar:
        x, factor = operands
        return x * factor

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 3, 5), constant(np.float32(7.5)), constant(np.uint8(3)))


@operator("dequantize")
class Dequantize(Elementwise):
    """(x - zero) * scale as float32; scale and zero point broadcast against x."""

    x: Value
    scale: Value
    zero: Value
    tolerance = EXACT
    folds = False

    def infer(self, *types: TensorType) -> TensorType:
        if not types[0].dtype.is_integer:
            raise ModelError(f"cannot dequantize {types[0].dtype.name}")
        return TensorType(f32, broadcast(*(t.shape for t in types)))

    def scalar(self, *operands: Scalar) -> Scalar:
        x, scale, zero = operands
        return (x - zero) * scale

    def evaluate(self, *arrays: Array) -> Array:
        x, scale, zero = (np.asarray(a, np.float32) for a in arrays)
        return (x - zero) * scale

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(u8, 2, 3, 5), constant(np.float32(0.1)), constant(np.uint8(128)))
        yield cls(arg(i8, 2, 3, 5), constant([[0.1], [0.2], [0.3]], f32), constant(np.int8(0)))


@operator("conv-integer")
class ConvInteger(Op):
    """sum (x - x_zero) * w + bias, exact in integers, then rounded once to f32; x is u8, i8 or i16, w i8.

    Borders hold `x_zero`, so that they add nothing.
    """

    x: Value
    w: Value
    bias: Value | None = None
    x_zero: int = 0
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    groups: int = 1
    kernel = "conv"
    tolerance = EXACT

    def infer(self, x: TensorType, w: TensorType, bias: TensorType | None) -> TensorType:
        check_integers(x, w)
        if bias is not None and bias.dtype != i32:
            raise ModelError(f"bias must be i32, is {bias.dtype.name}")
        shapes = (x.with_dtype(f32), w.with_dtype(f32), None if bias is None else bias.with_dtype(f32))
        return Conv.infer(self, *shapes)  # type: ignore[arg-type]

    def evaluate(self, x: Array, w: Array, bias: Array | None) -> Array:
        """In double precision, which holds every sum exactly."""
        found = Conv.evaluate(self, x.astype(np.float64) - self.x_zero, w.astype(np.float64), bias)  # type: ignore[arg-type]
        return found.astype(np.float32)

    def macs(self) -> int:
        return self.type.size * math.prod(self.w.shape[1:])

    @property
    def is_depthwise(self) -> bool:
        """One input channel to each output channel, one output channel to each group."""
        return self.groups > 1 and self.w.shape[1] == 1 and self.w.shape[0] == self.groups

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)

        def weight(*shape: int) -> Value:
            return constant(rng.integers(-128, 128, shape), i8)

        def bias(count: int) -> Value:
            return constant(rng.integers(-9999, 9999, count), i32)

        yield cls(arg(u8, 1, 3, 7, 9), weight(5, 3, 3, 3), bias(5), 128, pads=(1, 1, 1, 1))
        yield cls(arg(i8, 2, 4, 9, 8), weight(6, 2, 2, 3), None, -3, strides=(2, 1), dilations=(1, 2), groups=2)
        yield cls(arg(u8, 1, 19, 8, 6), weight(19, 1, 3, 3), bias(19), 7, strides=(2, 2), pads=(0, 0, 1, 1), groups=19)
        yield cls(arg(u8, 1, 33, 4, 5), weight(17, 33, 1, 1), bias(17))
        yield cls(arg(i16, 1, 3, 7, 9), weight(5, 3, 3, 3), bias(5), 0, pads=(1, 1, 1, 1))
        yield cls(arg(i16, 1, 19, 8, 6), weight(19, 1, 3, 3), bias(19), -300, strides=(2, 1), groups=19)


@operator("matmul-integer")
class MatMulInteger(Op):
    """(a - a_zero) [..., M, K] by b [K, N] plus bias [N], exact in integers, then rounded once to f32."""

    a: Value
    b: Value
    bias: Value | None = None
    a_zero: int = 0
    kernel = "conv"
    tolerance = EXACT

    def infer(self, a: TensorType, b: TensorType, bias: TensorType | None) -> TensorType:
        check_integers(a, b)
        if a.rank < 2 or b.rank != 2 or a.shape[-1] != b.shape[0]:
            raise ModelError(f"shapes {list(a.shape)} and {list(b.shape)} do not multiply")
        if bias is not None and (bias.shape != b.shape[1:] or bias.dtype != i32):
            raise ModelError(f"bias must be i32[{b.shape[1]}], is {bias}")
        return TensorType(f32, (*a.shape[:-1], b.shape[1]))

    def evaluate(self, a: Array, b: Array, bias: Array | None) -> Array:
        found = np.matmul(a.astype(np.float64) - self.a_zero, b.astype(np.float64))
        return np.asarray(found if bias is None else found + bias, np.float32)

    def macs(self) -> int:
        return self.type.size * self.a.shape[-1]

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)
        b = constant(rng.integers(-128, 128, (37, 19)).astype(np.int8))
        yield cls(arg(u8, 2, 5, 37), b, constant(rng.integers(-999, 999, 19).astype(np.int32)), 17)
        yield cls(arg(i8, 1, 37), b, None, -128)
        yield cls(arg(i16, 3, 37), b, None, 5)


def check_integers(x: TensorType, w: TensorType) -> None:
    """Operands of an integer contraction: activations of 8 or 16 bits, signed 8-bit weights."""
    if x.dtype not in (u8, i8, i16) or w.dtype != i8:
        raise ModelError(f"multiplies u8, i8 or i16 by i8, not {x.dtype.name} by {w.dtype.name}")


@operator("lookup")
class Lookup(Op):
    """table[x] for 8-bit x; an i8 counts from -128, so that entry 0 is that of the least number."""

    x: Value
    table: Value
    tolerance = EXACT

    def infer(self, x: TensorType, table: TensorType) -> TensorType:
        if x.dtype not in (u8, i8) or table.shape != (256,):
            raise ModelError(f"looks 8-bit numbers up in 256 entries, not {x} in {table}")
        return x.with_dtype(table.dtype)

    def evaluate(self, x: Array, table: Array) -> Array:
        return table[x.astype(np.int64) - (-128 if x.dtype == np.int8 else 0)]

    @classmethod
    def samples(cls) -> Any:
        table = constant((np.arange(256) ** 2 % 251).astype(np.uint8))
        yield cls(arg(u8, 3, 41), table)
        yield cls(arg(i8, 130), table)

"""Contractions of activations whose scale is found at run time, computed on the integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import Rule, Skip, Value
from ...ir.ops import Add, Conv, ConvInteger, Dequantize, MatMul, MatMulInteger, Mul, Reshape, constant, uniform
from ...ir.types import i8, u8
from .quantized import weights

RUN_TIME_ZERO = "the zero point is found at run time"


@dataclass(frozen=True)
class Dynamic:
    """8-bit numbers with a zero point that is known and one scale that is not."""

    x: Value
    scale: Value
    zero: int

    def scaled(self, accumulated: Value, factor: np.ndarray, shape: tuple[int, ...]) -> Value:
        """The accumulator times both scales, the weights' one for each channel."""
        scale = self.scale if self.scale.rank == 0 else Reshape(self.scale, ()).result
        both = Mul(scale, constant(factor.astype(np.float32).reshape(shape))).result
        return Mul(accumulated, both).result


def _dynamic(value: Value) -> Dynamic | Skip:
    op = value.producer
    if not isinstance(op, Dequantize) or uniform(op.scale) is not None or op.scale.type.size != 1:
        return Skip()
    zero = uniform(op.zero)
    if zero is None:
        return Skip(RUN_TIME_ZERO, op)
    return Dynamic(op.x, op.scale, int(zero)) if op.x.dtype in (u8, i8) else Skip()


def dynamic_convolution(conv: Conv) -> Value | Skip:
    """conv(dequantize(x, scale), dequantize(w), bias) -> scale * factor * conv-integer(x, w) + bias"""
    x = _dynamic(conv.x)
    if isinstance(x, Skip):
        return x
    w = weights(conv.w, 0)
    if w is None:
        return Skip("the weight is not i8 with one scale per output channel and zero point 0", conv.w)
    integers = ConvInteger(x.x, constant(w[0]), None, x.zero, conv.strides, conv.pads, conv.dilations, conv.groups)
    shape = (len(w[0]),) + (1,) * (conv.x.rank - 2)
    found = x.scaled(integers.result, w[1], shape)
    return found if conv.bias is None else Add(found, Reshape(conv.bias, shape).result).result


def dynamic_product(matmul: MatMul) -> Value | Skip:
    """matmul(dequantize(a, scale), dequantize(b)) -> scale * factor * matmul-integer(a, b)"""
    a = _dynamic(matmul.a)
    if isinstance(a, Skip):
        return a
    b = weights(matmul.b, 1) if matmul.a.rank >= 2 and matmul.b.rank == 2 else None
    if b is None:
        return Skip("the right operand is not a constant of i8 with one scale per column and zero point 0", matmul.b)
    return a.scaled(MatMulInteger(a.x, constant(b[0]), None, a.zero).result, b[1], (-1,))


RULES: tuple[Rule, ...] = (dynamic_convolution, dynamic_product)

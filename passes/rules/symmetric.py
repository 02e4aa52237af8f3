"""Quantization as TensorRT computes it: signed 8-bit integers around zero, on activations and weights of layers."""

from __future__ import annotations

import numpy as np

from ...ir import Rule, Skip, Value, f32
from ...ir.ops import (
    Add,
    Cast,
    Clip,
    Conv,
    ConvInteger,
    ConvTranspose,
    Dequantize,
    Div,
    MatMul,
    MatMulInteger,
    Mul,
    Quantize,
    Round,
    Sub,
    array_of,
    constant,
    like,
    uniform,
)
from ...ir.ops.quantize import limits
from ...ir.types import i8, i32, u8
from .match import made_by

LARGEST = 127
LAYERS = (Conv, ConvTranspose, MatMul)


def centre_activations(dequantize: Dequantize) -> Value | Skip:
    """A quantize and the dequantize that undoes it, with the zero point 0 and a scale that reaches as far."""
    quantize = made_by(dequantize.x, Quantize)
    if quantize is None or quantize.to not in (u8, i8):
        return Skip()
    if quantize.to == i8 and uniform(quantize.zero) == 0:
        return Skip()
    if not (_same(quantize.scale, dequantize.scale) and _same(quantize.zero, dequantize.zero)):
        return Skip(
            "quantized and dequantized with other scales or zero points, or ones known only at run time", quantize
        )
    scale, zero = constant(_reach(quantize) / np.float32(LARGEST)), constant(0, i8)
    return Dequantize(Quantize(quantize.x, scale, zero, i8).result, scale, zero).result


def rounded_floats(dequantize: Dequantize) -> Value | Skip:
    """A quantize in 16 bits, or with a scale found at run time, and what undoes it: rounding and clipping of floats."""
    quantize = made_by(dequantize.x, Quantize)
    if quantize is None or (quantize.to in (u8, i8) and array_of(quantize.scale) is not None):
        return Skip()
    scale = quantize.scale
    if not (scale is dequantize.scale or _same(scale, dequantize.scale)) or not _same(quantize.zero, dequantize.zero):
        return Skip("quantized and dequantized with other scales or zero points", quantize)
    low, high = limits(quantize.to)
    zero = Cast(quantize.zero, f32).result
    steps = Add(Round(Div(quantize.x, scale).result).result, zero).result
    return Mul(Sub(Clip(steps, float(low), float(high)).result, zero).result, scale).result


def _same(a: Value, b: Value) -> bool:
    first, second = array_of(a), array_of(b)
    return first is not None and second is not None and np.array_equal(first, second)


def _reach(quantize: Quantize) -> np.ndarray:
    """The largest magnitude that the integers stand for."""
    scale, zero = array_of(quantize.scale), array_of(quantize.zero)
    assert scale is not None
    assert zero is not None
    low, high = limits(quantize.to)
    wide = zero.astype(np.float32)
    return np.asarray(scale * np.maximum(wide - low, high - wide), np.float32)


def plain_weights(dequantize: Dequantize) -> Value | Skip:
    """Constant integers as floats where nothing computes on them: biases, blocks, layers whose input is float."""
    arrays = [array for v in dequantize.operands if (array := array_of(v)) is not None]
    if len(arrays) < len(dequantize.operands) or not _unread(dequantize):
        return Skip()
    return constant(dequantize.evaluate(*arrays))


def _unread(dequantize: Dequantize) -> str:
    if dequantize.x.dtype != i8 or uniform(dequantize.zero) != 0:
        return "not signed 8-bit integers around zero"
    if sum(d != 1 for d in dequantize.scale.shape) > 1:
        return "scales of blocks"
    readers = dequantize.result.users
    whole = all(isinstance(user, LAYERS) and made_by(user.operands[0], Dequantize) for user in readers)
    return "" if whole else "a reader computes in float"


def whole_biases(conv: Conv) -> Value | Skip:
    """A bias in whole steps of the sums that it is added to, as runtimes store it that compute on integers."""
    x, w, bias = made_by(conv.x, Dequantize), made_by(conv.w, Dequantize), array_of(conv.bias)
    if x is None or w is None or bias is None or x.x.dtype != i8 or uniform(x.zero) != 0:
        return Skip()
    scales = [array_of(each.scale) for each in (x, w)]
    if any(scale is None or scale.size not in (1, len(bias)) for scale in scales):
        return Skip("the scales are none of whole tensors or output channels", conv)
    steps = np.asarray(scales[0], np.float32).reshape(-1) * np.asarray(scales[1], np.float32).reshape(-1)
    counts = np.rint(bias / steps)
    if np.abs(counts).max() > limits(i32)[1] / 2 or np.array_equal(counts * steps, bias):
        return Skip()
    made: Conv = conv.replace(bias=constant((counts * steps).astype(np.float32)))
    return made.result


def float_conv(conv: ConvInteger) -> Value:
    """A convolution of integers as one of floats."""
    weights = _float(conv.w)
    bias = None if conv.bias is None else _float(conv.bias)
    x = _centred(conv.x, conv.x_zero)
    return Conv(x, weights, bias, conv.strides, conv.pads, conv.dilations, conv.groups).result


def float_matmul(product: MatMulInteger) -> Value:
    """A matrix product of integers as one of floats."""
    found = MatMul(_centred(product.a, product.a_zero), _float(product.b)).result
    return found if product.bias is None else Add(found, _float(product.bias)).result


def _centred(x: Value, zero: int) -> Value:
    wide = Cast(x, f32).result
    return Sub(wide, like(wide, zero)).result if zero else wide


def _float(x: Value) -> Value:
    """Integers as floats, known ones now: the library casts no constant of 8 bits."""
    known = array_of(x)
    return Cast(x, f32).result if known is None else constant(known.astype(np.float32))


RULES: tuple[Rule, ...] = (centre_activations, rounded_floats, plain_weights, whole_biases, float_conv, float_matmul)

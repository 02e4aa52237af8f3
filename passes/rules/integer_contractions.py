"""Convolutions and matrix products of dequantized operands, computed on the integers."""

from __future__ import annotations

import numpy as np

from ...ir import Rule, Skip, Value
from ...ir.ops import (
    Add,
    Clip,
    Conv,
    ConvInteger,
    Dequantize,
    MatMul,
    MatMulInteger,
    Mul,
    Pool,
    Quantize,
    Relu,
    Requantize,
    Sub,
    array_of,
    constant,
    uniform,
)
from ...ir.ops.quantize import limits
from .quantized import dequantized, known, scaling_of, weights

INT32 = (-(2**31), 2**31 - 1)


def _bias(values: np.ndarray | None, factor: np.ndarray) -> np.ndarray | None:
    """A float bias in units of the accumulator."""
    if values is None:
        return None
    return np.asarray(np.clip(np.rint(values.astype(np.float64).reshape(-1) / factor), *INT32), np.int32)


def _scaled(accumulated: Value, factor: np.ndarray, shape: tuple[int, ...]) -> Value:
    """The accumulator as a float in the model's units."""
    single = np.asarray(factor[0]) if np.all(factor == factor[0]) else factor.reshape(shape)
    return Mul(accumulated, constant(single.astype(np.float32))).result


def convolution(conv: Conv) -> Value | Skip:
    """conv(dequantize(x), dequantize(w), bias) -> factor * conv-integer(x, w, bias / factor)"""
    x = dequantized(conv.x)
    if x is None:
        return Skip()
    w = weights(conv.w, 0)
    if w is None:
        return Skip("the weight is not i8 with one scale per output channel and zero point 0", conv.w)
    if conv.bias is not None and known(conv.bias) is None:
        return Skip("the bias is computed", conv.bias)
    source, scaling = x
    factor = scaling.scale * w[1]
    bias = _bias(known(conv.bias), factor)
    integers = ConvInteger(
        source.x, constant(w[0]), None if bias is None else constant(bias), scaling.zero, conv.strides, conv.pads,
        conv.dilations, conv.groups,
    )  # fmt: skip
    return _scaled(integers.result, factor, (-1,) + (1,) * (conv.x.rank - 2))


def product(matmul: MatMul) -> Value | Skip:
    """matmul(dequantize(a), dequantize(b)) -> factor * matmul-integer(a, b)"""
    a = dequantized(matmul.a)
    if a is None or matmul.a.rank < 2 or matmul.b.rank != 2:
        return Skip()
    b = weights(matmul.b, 1)
    if b is None:
        return Skip("the right operand is not a constant of i8 with one scale per column and zero point 0", matmul.b)
    source, scaling = a
    integers = MatMulInteger(source.x, constant(b[0]), None, scaling.zero)
    return _scaled(integers.result, scaling.scale * b[1], (-1,))


def bias_into_product(add: Add) -> Value | Skip:
    """factor * matmul-integer(a, b) + bias -> factor * matmul-integer(a, b, bias / factor)"""
    for scaled, other in ((add.x, add.y), (add.y, add.x)):
        mul = scaled.producer
        bias = known(other)
        if not isinstance(mul, Mul) or bias is None:
            continue
        op = mul.x.producer
        factor = array_of(mul.y)
        if not isinstance(op, MatMulInteger) or op.bias is not None or factor is None:
            continue
        if not scaled.has_one_use or bias.shape[-1:] != op.type.shape[-1:] or bias.size != op.type.shape[-1]:
            return Skip("the sum is no bias of columns", op)
        wide = np.broadcast_to(factor.reshape(-1), (bias.size,)).astype(np.float64)
        integers = op.replace(bias=constant(_bias(bias, wide)))
        return Mul(integers.result, mul.y).result
    return Skip()


def relu_before_saturation(quantize: Quantize) -> Value | Skip:
    """quantize(relu(x)) -> quantize(x) where the zero point is the least number: saturation does the same"""
    relu, scaling = quantize.x.producer, scaling_of(quantize)
    if not isinstance(relu, Relu) or scaling is None:
        return Skip()
    if scaling.zero != limits(quantize.to)[0]:
        return Skip("the zero point is not the least number", relu)
    return quantize.replace(x=relu.x).result  # type: ignore[no-any-return]


def clip_before_saturation(quantize: Quantize) -> Value | Skip:
    """quantize(clip(x)) -> quantize(x) where the limits lie at or beyond those of the integer type"""
    clip, scaling = quantize.x.producer, scaling_of(quantize)
    if not isinstance(clip, Clip) or scaling is None:
        return Skip()
    low, high = limits(quantize.to)
    scale = np.float32(scaling.scale)
    reached = [np.rint(np.float32(bound) / scale) + scaling.zero for bound in (clip.low, clip.high)]
    if reached[0] > low or reached[1] < high:
        return Skip(f"the clip reaches {reached[0]:.0f} .. {reached[1]:.0f}, saturation {low} .. {high}", clip)
    return quantize.replace(x=clip.x).result  # type: ignore[no-any-return]


def _rescaled(term: Value, scale: float) -> Value | None:
    """A factor * x or dequantize(x), divided by a scale; None for anything else."""
    op = term.producer
    if isinstance(op, Mul) and array_of(op.y) is not None and term.has_one_use:
        return op.replace(y=_divided(op.y, scale)).result  # type: ignore[no-any-return]
    if isinstance(op, Dequantize) and array_of(op.scale) is not None:
        return op.replace(scale=_divided(op.scale, scale)).result  # type: ignore[no-any-return]
    return None


def _divided(value: Value, scale: float) -> Value:
    array = array_of(value)
    assert array is not None
    return constant((array.astype(np.float64) / scale).astype(np.float32))


def merged_sum(quantize: Quantize) -> Value | Skip:
    """quantize(f * x + dequantize(y), scale) -> requantize(f / scale * x + dequantize(y) / scale), no division"""
    add, scale = quantize.x.producer, uniform(quantize.scale)
    if not isinstance(add, Add) or scale is None or not add.result.has_one_use:
        return Skip()
    x, y = _rescaled(add.x, scale), _rescaled(add.y, scale)
    if x is None or y is None:
        return Skip("a term has no constant factor", add)
    return Requantize(Add(x, y).result, constant(np.float32(1)), quantize.zero, quantize.to).result


def merged_factor(quantize: Quantize) -> Value | Skip:
    """quantize(x * factor, scale) -> requantize(x, factor / scale): one multiplication instead of two roundings"""
    mul, scale = quantize.x.producer, uniform(quantize.scale)
    if not isinstance(mul, Mul) or scale is None:
        return Skip()
    factor = array_of(mul.y)
    if factor is None or not isinstance(mul.x.producer, ConvInteger | MatMulInteger | Pool | Sub):
        return Skip()
    if not mul.result.has_one_use:
        return Skip("the product has another reader", mul)
    merged = constant((factor.astype(np.float64) / scale).astype(np.float32))
    return Requantize(mul.x, merged, quantize.zero, quantize.to).result


RULES: tuple[Rule, ...] = (
    convolution,
    product,
    bias_into_product,
    relu_before_saturation,
    clip_before_saturation,
    merged_factor,
    merged_sum,
)

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
from ...ir.types import i8, i16, u8
from ...kernels.packing_i16 import fits_wide_sums
from .quantized import dequantized, known, scaling_of, weights

LARGEST_BIAS = 2**31 - 1
MULTIPLIED = (u8, i8, i16)
SHIFTS = (-128, 0, 128)
"""What kernels add to each x; the bias makes up for it, and for the zero point."""

TOO_LARGE = "the bias is too large for int32 in units of the scales"


def _bias(values: np.ndarray, factor: np.ndarray, integers: np.ndarray, zero: int) -> np.ndarray | None:
    """A float bias in units of the accumulator; None where int32 cannot hold it and what kernels add to it.

    `integers` are the weights, [channels, ...].
    """
    sums = integers.astype(np.int64).reshape(len(integers), -1).sum(axis=1)
    found = np.rint(values.astype(np.float64).reshape(-1) / factor)
    if not np.isfinite(found).all():
        return None
    reach = max(np.abs(found - (zero + shift) * sums).max() for shift in SHIFTS)
    return None if max(reach, np.abs(found).max()) > LARGEST_BIAS else np.asarray(found, np.int32)


def _scaled(accumulated: Value, factor: np.ndarray, shape: tuple[int, ...]) -> Value:
    """The accumulator as a float in the model's units."""
    single = np.asarray(factor[0]) if np.all(factor == factor[0]) else factor.reshape(shape)
    return Mul(accumulated, constant(single.astype(np.float32))).result


def _multiplier_fault(x: Value, integers: np.ndarray) -> str:
    """Why kernels do not multiply x by weights [channels, ...]; empty where they do."""
    if x.dtype not in MULTIPLIED:
        return f"no kernel multiplies {x.dtype.name}"
    return "" if x.dtype != i16 or fits_wide_sums(integers) else "its sums leave 40 bits"


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
    fault = _multiplier_fault(source.x, w[0])
    if fault:
        return Skip(fault, conv.x)
    factor = scaling.scale * w[1]
    values = known(conv.bias)
    bias = _bias(np.zeros(len(w[0])) if values is None else values, factor, w[0], scaling.zero)
    if bias is None:
        return Skip(TOO_LARGE, conv.bias)
    integers = ConvInteger(
        source.x, constant(w[0]), None if conv.bias is None else constant(bias), scaling.zero, conv.strides, conv.pads,
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
    fault = _multiplier_fault(source.x, b[0].T)
    if fault:
        return Skip(fault, matmul.a)
    integers = MatMulInteger(source.x, constant(b[0]), None, scaling.zero)
    return _scaled(integers.result, scaling.scale * b[1], (-1,))


def _column_bias(op: MatMulInteger, bias: np.ndarray, factor: np.ndarray) -> np.ndarray | None:
    """A float bias of columns in units of the accumulator; None where it does not fit."""
    integers, before = array_of(op.b), array_of(op.bias)
    wide = np.broadcast_to(factor.reshape(-1), (bias.size,)).astype(np.float64)
    total = bias.reshape(-1) + (0.0 if before is None else before * wide)
    return None if integers is None else _bias(total, wide, integers.T, op.a_zero)


def bias_into_product(add: Add) -> Value | Skip:
    """factor * matmul-integer(a, b) + bias -> factor * matmul-integer(a, b, bias / factor)"""
    for scaled, other in ((add.x, add.y), (add.y, add.x)):
        mul = scaled.producer
        bias = known(other)
        if not isinstance(mul, Mul) or bias is None:
            continue
        op = mul.x.producer
        factor = array_of(mul.y)
        if type(op) is not MatMulInteger or factor is None:
            continue
        if not scaled.has_one_use or bias.shape[-1:] != op.type.shape[-1:] or bias.size != op.type.shape[-1]:
            return Skip("the sum is no bias of columns", op)
        found = _column_bias(op, bias, factor)
        if found is None:
            return Skip(TOO_LARGE, op)
        integers = op.replace(bias=constant(found))
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
    if isinstance(op, Mul) and _divides(op.y, scale) and term.has_one_use:
        return op.replace(y=_divided(op.y, scale)).result  # type: ignore[no-any-return]
    if isinstance(op, Dequantize) and _divides(op.scale, scale):
        return op.replace(scale=_divided(op.scale, scale)).result  # type: ignore[no-any-return]
    return None


def _divided(value: Value, scale: float) -> Value:
    array = array_of(value)
    assert array is not None
    return constant((array.astype(np.float64) / scale).astype(np.float32))


def _divides(value: Value, scale: float) -> bool:
    """Whether f32 holds a constant divided by a scale."""
    array = array_of(value)
    return array is not None and bool(np.abs(array.astype(np.float64) / scale).max() <= np.finfo(np.float32).max)


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
    merged = factor.astype(np.float64) / scale
    if np.abs(merged).max() > np.finfo(np.float32).max:
        return Skip("the merged factor is beyond the range of f32", mul)
    return Requantize(mul.x, constant(merged.astype(np.float32)), quantize.zero, quantize.to).result


RULES: tuple[Rule, ...] = (
    convolution,
    product,
    bias_into_product,
    relu_before_saturation,
    clip_before_saturation,
    merged_factor,
    merged_sum,
)

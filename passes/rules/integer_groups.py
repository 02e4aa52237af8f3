"""Contractions of dequantized activations with 4-bit weights that have several scales for an output."""

from __future__ import annotations

import numpy as np

from ...ir import Rule, Skip, Value
from ...ir.ops import Add, Conv, GroupedConvInteger, GroupedMatMulInteger, MatMul, Mul, array_of, constant
from ...ir.ops.stored import from_rows
from ...kernels.packing_weights import fits_four_bits
from .quantized import dequantized, known
from .stored_weights import Coded, coded_weights

Array = np.ndarray
LARGEST_GROUP = 4096
"""Products of 8 by 4 bits whose sum, and what the zero point adds to it, f32 holds exactly."""


def grouped_convolution(conv: Conv) -> Value | Skip:
    """conv(dequantize(x), views(dequantize(w)), bias) -> factor * grouped-conv-integer(x, w, bias / factor)"""
    x = dequantized(conv.x)
    if x is None or x[0].x.dtype.bits != 8:
        return Skip()
    code = _grouped(conv.w)
    if isinstance(code, Skip):
        return code
    if conv.is_depthwise:
        return Skip("its filters have scales in groups", conv.w)
    values = known(conv.bias)
    if conv.bias is not None and values is None:
        return Skip("the bias is computed", conv.bias)
    source, scaling = x
    integers = GroupedConvInteger(
        source.x, constant(np.ascontiguousarray(from_rows(code.numbers, conv.w.shape))), _bias(values, scaling.scale),
        scaling.zero, conv.strides, conv.pads, conv.dilations, conv.groups, constant(code.scale), code.group,
    )  # fmt: skip
    return Mul(integers.result, constant(np.float32(scaling.scale))).result


def grouped_product(matmul: MatMul) -> Value | Skip:
    """matmul(dequantize(a), views(dequantize(b))) -> factor * grouped-matmul-integer(a, b)"""
    a = dequantized(matmul.a)
    if a is None or a[0].x.dtype.bits != 8 or matmul.a.rank < 2 or matmul.b.rank != 2:
        return Skip()
    code = _grouped(matmul.b)
    if isinstance(code, Skip):
        return code
    source, scaling = a
    b = constant(np.ascontiguousarray(code.numbers.T))
    integers = GroupedMatMulInteger(source.x, b, None, scaling.zero, constant(code.scale), code.group)
    return Mul(integers.result, constant(np.float32(scaling.scale))).result


def bias_into_grouped_product(add: Add) -> Value | Skip:
    """factor * grouped-matmul-integer(a, b) + bias -> factor * grouped-matmul-integer(a, b, bias / factor)"""
    for scaled, other in ((add.x, add.y), (add.y, add.x)):
        mul, bias = scaled.producer, known(other)
        if not isinstance(mul, Mul) or bias is None:
            continue
        op, factor = mul.x.producer, array_of(mul.y)
        if not isinstance(op, GroupedMatMulInteger) or op.bias is not None or factor is None or factor.size != 1:
            continue
        if not scaled.has_one_use or bias.shape[-1:] != op.type.shape[-1:] or bias.size != op.type.shape[-1]:
            return Skip("the sum is no bias of columns", op)
        return Mul(op.replace(bias=_bias(bias, float(factor))).result, mul.y).result
    return Skip()


def _grouped(weights: Value) -> Coded | Skip:
    """Weights of 4 bits with several scales to a row and no zero point."""
    code = coded_weights(weights)
    if isinstance(code, Skip):
        return code
    if code.scale.shape[1] == 1:
        return Skip()
    if code.group > LARGEST_GROUP:
        return Skip(f"the sum of {code.group} products is not exact as a float", weights)
    if code.zero is not None or not fits_four_bits(code.numbers):
        return Skip("its weights have scales in groups, but a zero point or more than 4 bits", weights)
    return code


def _bias(values: Array | None, scale: float) -> Value | None:
    return None if values is None else constant((values.astype(np.float64).reshape(-1) / scale).astype(np.float32))


RULES: tuple[Rule, ...] = (grouped_convolution, grouped_product, bias_into_grouped_product)
"""In the order in which they are tried."""

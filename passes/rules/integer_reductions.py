"""Sums and softmax of dequantized numbers, made exact: sums of integers do not depend on their order."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Rule, Skip, Value
from ...ir.ops import Cast, Div, Gather, Mul, Pool, Reduce, Softmax, Sub, constant
from ...ir.types import f32, f64, i32
from .quantized import dequantized

EXACT_IN_F32 = 2**24
FRACTION_BITS = 30


def _affine(total: Value, count: float, factor: np.ndarray | float) -> Value:
    """(total - count) * factor"""
    shifted = Sub(total, constant(np.float32(count))).result if count else total
    return Mul(shifted, constant(np.asarray(factor, np.float32))).result


def average_pool_of_dequantized(pool: Pool) -> Value | Skip:
    """average(dequantize(x)) -> (sum(x) - taps * zero) * scale / taps, padded with the zero point"""
    found = dequantized(pool.x)
    if found is None or pool.kind != "average":
        return Skip()
    source, scaling = found
    if any(pool.pads) and scaling.zero:
        return Skip("a border of zero points takes part in the sum")
    weights = pool.weights(pool.x.shape) * np.float32(scaling.scale)
    total = pool.replace(x=source.x, kind="sum", counted=()).result
    taps = math.prod(pool.kernel_shape)
    single = weights.flat[0] if (weights == weights.flat[0]).all() else weights
    return _affine(total, taps * scaling.zero, single)


def sum_of_dequantized(reduce: Reduce) -> Value | Skip:
    """sum or mean(dequantize(x)) -> (sum(x) - n * zero) * scale (/ n)"""
    found = dequantized(reduce.x)
    if found is None or reduce.kind not in ("sum", "mean"):
        return Skip()
    source, scaling = found
    count = math.prod(reduce.x.shape[a] for a in reduce.axes)
    if count * 255 >= EXACT_IN_F32:
        return Skip(f"a sum of {count} integers is not exact in f32")
    total = reduce.replace(x=Cast(source.x, f32).result, kind="sum").result
    factor = scaling.scale / count if reduce.kind == "mean" else scaling.scale
    return _affine(total, count * scaling.zero, factor)


def softmax_of_dequantized(softmax: Softmax) -> Value | Skip:
    """softmax(dequantize(x)): exponentials from a table of integers below 2^30, their sum exact in f64

    The largest error against softmax in real numbers is 2^-30 for each term.
    """
    found = dequantized(softmax.x)
    if found is None or softmax.log:
        return Skip()
    source, scaling = found
    axes = (softmax.axis,)
    wide = Cast(source.x, i32).result
    below = Sub(Reduce(wide, "max", axes).result, wide).result
    table = np.rint(np.exp(-np.arange(256) * scaling.scale) * 2.0**FRACTION_BITS)
    terms = Gather(constant(table, f64), below, 0).result
    return Cast(Div(terms, Reduce(terms, "sum", axes).result).result, f32).result


RULES: tuple[Rule, ...] = (average_pool_of_dequantized, sum_of_dequantized, softmax_of_dequantized)

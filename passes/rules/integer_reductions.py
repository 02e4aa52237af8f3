"""Sums and softmax of dequantized numbers, made exact: sums of integers do not depend on their order."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Rule, Skip, Value
from ...ir.ops import Cast, Div, Gather, Mul, Pad, Pool, Reduce, Softmax, Sub, constant
from ...ir.types import f32, f64, i8, i16, i32, u8
from .quantized import dequantized

EXACT_IN_F32 = 2**24
POOLED = (u8, i8, i16)
LARGEST_I32 = 2**31 - 1
FRACTION_BITS = 30
ON_VECTORS = 2**16


def _affine(total: Value, count: float, factor: np.ndarray | float) -> Value:
    """(total - count) * factor"""
    shifted = Sub(total, constant(np.float32(count))).result if count else total
    return Mul(shifted, constant(np.asarray(factor, np.float32))).result


def average_pool_of_dequantized(pool: Pool) -> Value | Skip:
    """average(dequantize(x)) -> (sum(x) - taps * zero) * scale / taps, padded with the zero point"""
    found = dequantized(pool.x)
    if found is None or pool.kind != "average" or found[0].x.dtype not in POOLED:
        return Skip()
    source, scaling = found
    if math.prod(pool.kernel_shape) << (source.x.dtype.bits - 1) > EXACT_IN_F32:
        return Skip("a sum of so many integers is not exact in f32")
    weights = pool.weights(pool.x.shape) * np.float32(scaling.scale)
    bordered = Pad(source.x, _pads_of(pool), float(scaling.zero)).result if any(pool.pads) else source.x
    total = pool.replace(x=bordered, kind="sum", pads=(0,) * len(pool.pads), counted=()).result
    taps = math.prod(pool.kernel_shape)
    single = weights.flat[0] if (weights == weights.flat[0]).all() else weights
    return _affine(total, taps * scaling.zero, single)


def _pads_of(pool: Pool) -> tuple[int, ...]:
    """The pads of all dimensions, begins first."""
    spatial = len(pool.kernel_shape)
    return (0, 0, *pool.pads[:spatial], 0, 0, *pool.pads[spatial:])


def sum_of_dequantized(reduce: Reduce) -> Value | Skip:
    """sum or mean(dequantize(x)) -> (sum(x) - n * zero) * scale (/ n)"""
    found = dequantized(reduce.x)
    if found is None or reduce.kind not in ("sum", "mean"):
        return Skip()
    source, scaling = found
    count = math.prod(reduce.x.shape[a] for a in reduce.axes)
    largest = count * (2**source.x.dtype.bits - 1)
    if largest > LARGEST_I32:
        return Skip(f"a sum of {count} integers may not fit into 32 bits")
    factor = scaling.scale / count if reduce.kind == "mean" else scaling.scale
    if largest < EXACT_IN_F32:
        total = reduce.replace(x=Cast(source.x, f32).result, kind="sum").result
        return _affine(total, count * scaling.zero, factor)
    wide = reduce.replace(x=Cast(source.x, i32).result, kind="sum").result
    centred = Sub(wide, constant(count * scaling.zero, i32)).result
    return _affine(Cast(centred, f32).result, 0, factor)


def softmax_of_dequantized(softmax: Softmax) -> Value | Skip:
    """softmax(dequantize(x)) of many terms: exponentials from a table of integers below 2^30, their sum exact in f64

    The largest error against softmax in real numbers is 2^-30 for each term. `softmax_of_exact` does fewer terms on
    vectors.
    """
    found = dequantized(softmax.x)
    if found is None or softmax.log or found[0].x.dtype.bits != 8 or softmax.x.shape[softmax.axis] <= ON_VECTORS:
        return Skip()
    source, scaling = found
    axes = (softmax.axis,)
    wide = Cast(source.x, i32).result
    below = Sub(Reduce(wide, "max", axes).result, wide).result
    table = np.rint(np.exp(-np.arange(256) * scaling.scale) * 2.0**FRACTION_BITS)
    terms = Gather(constant(table, f64), below, 0).result
    return Cast(Div(terms, Reduce(terms, "sum", axes).result).result, f32).result


RULES: tuple[Rule, ...] = (average_pool_of_dequantized, sum_of_dequantized, softmax_of_dequantized)

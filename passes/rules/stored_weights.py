"""Weights of float convolutions and products that stay in few bits: kernels widen them as they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import Op, Rule, Skip, Value
from ...ir.ops import Cast, Conv, Dequantize, MatMul, Stored, View, array_of
from ...ir.ops.stored import stored_half, stored_integers, to_rows

LEAST_GROUP = 16
Array = np.ndarray


def conv_weights(conv: Conv) -> Value | Skip:
    """conv(x, views(dequantize(integers))) -> conv(x, stored(integers)), and the same for a cast of half precision"""
    found = _stored(conv.w)
    return found if isinstance(found, Skip) else conv.replace(w=found.result).result


def product_weights(matmul: MatMul) -> Value | Skip:
    """matmul(a, views(dequantize(integers))) -> matmul(a, stored(integers)), and for a cast of half precision"""
    if matmul.b.rank != 2:
        return Skip("its right operand is no matrix") if are_coded(matmul.b) else Skip()
    found = _stored(matmul.b)
    return found if isinstance(found, Skip) else matmul.replace(b=found.result).result


@dataclass(frozen=True)
class Coded:
    """Weights as rows of what one output sums over: integers [R, K], scales and zeros [R, groups]."""

    numbers: Array
    scale: Array
    zero: Array | None
    group: int


def are_coded(weights: Value) -> bool:
    """Whether weights come from integers or from half precision."""
    return _source(weights)[0] is not None


def coded_weights(weights: Value) -> Coded | Skip:
    """The integers and scales behind weights that are dequantized constants, or views of such."""
    op, views = _source(weights)
    return _integers(op, views) if isinstance(op, Dequantize) else Skip()


def _stored(weights: Value) -> Stored | Skip:
    op, views = _source(weights)
    if isinstance(op, Cast):
        return stored_half(_seen(op.compute(_known)[0], views), op.x.dtype.name)
    code = coded_weights(weights)
    if isinstance(code, Skip):
        return code
    return stored_integers(code.numbers, code.scale, code.zero, weights.shape, code.group)


def _source(value: Value) -> tuple[Op | None, list[View]]:
    """The dequantize of constants, or cast of half precision, that weights come from, and the views between."""
    views: list[View] = []
    while isinstance(value.producer, View):
        views.insert(0, value.producer)
        value = value.producer.operands[0]
    op = value.producer
    wanted = isinstance(op, Dequantize) or (isinstance(op, Cast) and op.x.dtype.name in ("f16", "bf16"))
    if op is None or not wanted or any(array_of(v) is None for v in op.operands):
        return None, []
    return op, views


def _integers(op: Dequantize, views: list[View]) -> Coded | Skip:
    x, scale, zero = map(_known, op.operands)
    if x.dtype not in (np.int8, np.uint8):
        return Skip(f"its weights are {x.dtype}, not of 8 bits")
    if not x.size:
        return Skip("it has no weights")
    shift = 128 if x.dtype == np.uint8 else 0
    parts = (x.astype(np.int16) - shift, scale, zero.astype(np.int16) - shift)
    numbers, scales, zeros = (np.ascontiguousarray(to_rows(_seen(np.broadcast_to(a, x.shape), views))) for a in parts)
    group = _group(scales, zeros)
    if group is None:
        return Skip(f"its scales change within {LEAST_GROUP} weights of a row", op)
    scale, zero = (a[:, ::group].astype(t) for a, t in ((scales, np.float32), (zeros, np.int8)))
    return Coded(numbers.astype(np.int8), scale, zero if zero.any() else None, group)


def _group(scales: Array, zeros: Array) -> int | None:
    """How many weights of a row share scale and zero point: all, or the largest power of two."""
    length = scales.shape[1]
    halves = [1 << n for n in range(length.bit_length(), 3, -1)]
    for group in (length, *halves):
        first = np.arange(length) // group * group
        if all((a == a[:, first]).all() for a in (scales, zeros)):
            return int(group)
    return None


def _seen(array: Array, views: list[View]) -> Array:
    for view in views:
        array = np.asarray(view.evaluate(array))
    return array


def _known(value: Value) -> Array:
    array = array_of(value)
    assert array is not None
    return array


RULES: tuple[Rule, ...] = (conv_weights, product_weights)
"""In the order in which they are tried."""

"""Multiplications and additions by constants that move into the weights of a convolution or a matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import Add, BatchNorm, Conv, ConvTranspose, Div, MatMul, Mul, Reshape, Sub, array_of, constant
from .match import both_ways, is_constant, is_finite, made_by, same_type

Array = np.ndarray
OUT_OF_RANGE = "the folded numbers are out of range"
WITHIN = "the constant differs within a channel"


def batch_norm_as_scale(norm: BatchNorm) -> Value | Skip:
    """batch-norm(x) = x * factor + offset with constant statistics"""
    arrays = [array_of(v) for v in (norm.scale, norm.bias, norm.mean, norm.variance)]
    if any(a is None for a in arrays):
        return Skip("scale, bias, mean or variance is not constant")
    scale, bias, mean, variance = (a.astype(np.float64) for a in arrays if a is not None)
    factor = scale / np.sqrt(variance + norm.epsilon)
    offset = bias - mean * factor
    if not is_finite(factor) or not is_finite(offset):
        return Skip(OUT_OF_RANGE)
    column = (-1,) + (1,) * max(norm.x.rank - 2, 0)
    wanted = norm.x.dtype
    scaled = Mul(norm.x, constant(factor.reshape(column), wanted)).result
    return Add(scaled, constant(offset.reshape(column), wanted)).result


# --- constants ------------------------------------------------------------------------------------------------------


def scale_of(op: Any) -> tuple[Value, Array] | None:
    """x and c of x * c and x / c where c is constant and the result keeps x's shape."""
    if isinstance(op, Mul):
        for x, y in both_ways(op):
            if is_constant(y) and not is_constant(x) and same_type(x, op.result):
                return x, _wide(y)
    if isinstance(op, Div) and is_constant(op.y) and same_type(op.x, op.result) and op.x.dtype.is_float:
        with np.errstate(all="ignore"):
            return op.x, 1 / _wide(op.y)
    return None


def shift_of(op: Any) -> tuple[Value, Array] | None:
    """x and c of x + c and x - c where c is constant and the result keeps x's shape."""
    if isinstance(op, Add):
        for x, y in both_ways(op):
            if is_constant(y) and not is_constant(x) and same_type(x, op.result):
                return x, _wide(y)
    if isinstance(op, Sub) and is_constant(op.y) and same_type(op.x, op.result):
        return op.x, -_wide(op.y)
    return None


def _wide(value: Value) -> Array:
    array = array_of(value)
    assert array is not None
    return array.astype(np.float64)


def along(array: Array, axis: int, shape: tuple[int, ...]) -> Array | None:
    """A constant as one number for each place along an axis of a tensor; None where it differs elsewhere."""
    full: Array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    extents: tuple[int, ...] = full.shape
    if any(extent != 1 for a, extent in enumerate(extents) if a != axis):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[axis],))


def _unshared(op: Conv | ConvTranspose | MatMul, weight: Value) -> str:
    """Why the weights of an op whose result is scaled must stay; empty when they need not."""
    if not op.result.has_one_use:
        return "the result before it has another reader"
    return _foldable(weight)


def _foldable(weight: Value) -> str:
    if not is_constant(weight):
        return "the weight is not constant"
    if not weight.dtype.is_float:
        return f"the weight is of type {weight.dtype}"
    return "" if weight.has_one_use else "the weight is shared with another op"


def _like(array: Array, old: Value) -> Value | None:
    """An array in the element type of an old constant; None where it does not fit in."""
    with np.errstate(over="ignore"):
        narrow = array.astype(old.dtype.numpy)
    return constant(narrow) if is_finite(narrow) else None


# --- after a contraction --------------------------------------------------------------------------------------------


def scale_after_conv(op: Mul) -> Value | Skip:
    """conv(x, w, b) * c = conv(x, w * c, b * c)"""
    return _scale_after(op)


def division_after_conv(op: Div) -> Value | Skip:
    """conv(x, w, b) / c = conv(x, w / c, b / c)"""
    return _scale_after(op)


def _scale_after(op: Mul | Div) -> Value | Skip:
    found = scale_of(op)
    conv = found[0].producer if found else None
    if found is None or not isinstance(conv, Conv | ConvTranspose):
        return Skip()
    reason = _unshared(conv, conv.w)
    if reason:
        return Skip(reason, conv)
    factors = along(found[1], 1, conv.type.shape)
    if factors is None:
        return Skip(WITHIN, conv)
    bias = None if conv.bias is None else array_of(conv.bias)
    if conv.bias is not None and bias is None:
        return Skip("the bias is not constant", conv)
    w = _like(_output_channels(conv, factors) * _wide(conv.w), conv.w)
    b = None if conv.bias is None or bias is None else _like(bias * factors, conv.bias)
    if w is None or (b is None and conv.bias is not None):
        return Skip(OUT_OF_RANGE, conv)
    result: Value = conv.replace(w=w, bias=b).result
    return result


def _output_channels(conv: Conv | ConvTranspose, factors: Array) -> Array:
    """Factors of the output channels, shaped to multiply the weight."""
    ones = (1,) * (conv.x.rank - 2)
    if isinstance(conv, Conv):
        return factors.reshape(-1, 1, *ones)
    per_group = factors.reshape(conv.groups, 1, -1)
    rows = np.broadcast_to(per_group, (conv.groups, conv.w.shape[0] // conv.groups, conv.w.shape[1]))
    return rows.reshape(*conv.w.shape[:2], *ones)


def shift_after_conv(op: Add) -> Value | Skip:
    """conv(x, w, b) + c = conv(x, w, b + c)"""
    return _shift_after(op)


def difference_after_conv(op: Sub) -> Value | Skip:
    """conv(x, w, b) - c = conv(x, w, b - c)"""
    return _shift_after(op)


def _shift_after(op: Add | Sub) -> Value | Skip:
    found = shift_of(op)
    conv = found[0].producer if found else None
    if found is None or not isinstance(conv, Conv | ConvTranspose) or not conv.type.dtype.is_float:
        return Skip()
    if not conv.result.has_one_use:
        return Skip("the result before it has another reader", conv)
    shifts = along(found[1], 1, conv.type.shape)
    if shifts is None:
        return Skip(WITHIN, conv)
    if conv.bias is not None and not is_constant(conv.bias):
        return Skip("the bias is not constant", conv)
    total = shifts if conv.bias is None else shifts + _wide(conv.bias)
    bias = _like(total, conv.w)
    if bias is None:
        return Skip(OUT_OF_RANGE, conv)
    result: Value = conv.replace(bias=bias).result
    return result


def scale_after_matmul(op: Mul) -> Value | Skip:
    """(a @ b) * c = a @ (b * c) for a c of one number for each column"""
    return _scale_product(op)


def division_after_matmul(op: Div) -> Value | Skip:
    """(a @ b) / c = a @ (b / c) for a c of one number for each column"""
    return _scale_product(op)


def _scale_product(op: Mul | Div) -> Value | Skip:
    found = scale_of(op)
    product = made_by(found[0], MatMul) if found else None
    if found is None or product is None:
        return Skip()
    reason = _unshared(product, product.b)
    if reason:
        return Skip(reason, product)
    if product.b.rank < 2:
        return Skip("the second operand is a vector", product)
    factors = along(found[1], product.type.rank - 1, product.type.shape)
    if factors is None:
        return Skip("the constant differs within a column", product)
    b = _like(_wide(product.b) * factors, product.b)
    return Skip(OUT_OF_RANGE, product) if b is None else MatMul(product.a, b).result


def scale_past_shift(op: Mul) -> Value | Skip:
    """(y + k) * c = y * c + k * c behind a matrix product, so that c reaches its weights"""
    found = scale_of(op)
    shift = made_by(found[0], Add) if found else None
    inner = shift_of(shift) if shift is not None else None
    product = made_by(inner[0], MatMul) if inner else None
    if found is None or shift is None or inner is None or product is None:
        return Skip()
    if not shift.result.has_one_use:
        return Skip("the sum has another reader", shift)
    reason = _unshared(product, product.b)
    if reason:
        return Skip(reason, product)
    if along(found[1], op.type.rank - 1, op.type.shape) is None:
        return Skip("the constant differs within a column", product)
    moved = _like(inner[1] * found[1], op.result)
    factor = _like(found[1], op.result)
    if moved is None or factor is None:
        return Skip(OUT_OF_RANGE, product)
    return Add(Mul(inner[0], factor).result, moved).result


def scale_past_reshape(op: Mul) -> Value | Skip:
    """reshape(conv(x)) * c = reshape(conv(x) * c) for one number c"""
    found = scale_of(op)
    view = made_by(found[0], Reshape) if found else None
    if found is None or view is None or not isinstance(view.x.producer, Conv | MatMul):
        return Skip()
    if found[1].size != 1:
        return Skip("the constant is more than one number", view)
    if not view.result.has_one_use or not view.x.has_one_use:
        return Skip("the result before it has another reader", view)
    return Reshape(Mul(view.x, constant(found[1].reshape(()), view.x.dtype)).result, view.shape).result


# --- before a contraction -------------------------------------------------------------------------------------------


def scale_before_conv(conv: Conv) -> Value | Skip:
    """conv(x * c, w) = conv(x, w * c)"""
    found = scale_of(conv.x.producer)
    if found is None:
        return Skip()
    reason = _before(conv.x, conv.w)
    if reason:
        return Skip(reason, conv.x)
    factors = along(found[1], 1, conv.x.shape)
    if factors is None:
        return Skip(WITHIN, conv.x)
    w = _like(_input_channels(conv, factors) * _wide(conv.w), conv.w)
    if w is None:
        return Skip(OUT_OF_RANGE, conv.x)
    result: Value = conv.replace(x=found[0], w=w).result
    return result


def _before(operand: Value, weight: Value) -> str:
    if not operand.has_one_use:
        return "what stands before has another reader"
    return _foldable(weight)


def _input_channels(conv: Conv, factors: Array) -> Array:
    """Factors of the input channels, shaped to multiply the weight."""
    rows = factors.reshape(conv.groups, 1, -1)
    spread = np.broadcast_to(rows, (conv.groups, conv.w.shape[0] // conv.groups, conv.w.shape[1]))
    return spread.reshape(*conv.w.shape[:2], *(1,) * (conv.x.rank - 2))


def shift_before_conv(conv: Conv) -> Value | Skip:
    """conv(x + c, w, b) = conv(x, w, b + sum of w * c) where there is no padding"""
    found = shift_of(conv.x.producer)
    if found is None:
        return Skip()
    reason = _before(conv.x, conv.w)
    if any(conv.pads):
        reason = "the convolution pads with zeros, which are not shifted"
    if conv.bias is not None and not is_constant(conv.bias):
        reason = "the bias is not constant"
    if reason:
        return Skip(reason, conv.x)
    shifts = along(found[1], 1, conv.x.shape)
    if shifts is None:
        return Skip(WITHIN, conv.x)
    extra = (_input_channels(conv, shifts) * _wide(conv.w)).sum(axis=tuple(range(1, conv.w.rank)))
    bias = _like(extra if conv.bias is None else extra + _wide(conv.bias), conv.w)
    if bias is None:
        return Skip(OUT_OF_RANGE, conv.x)
    result: Value = conv.replace(x=found[0], bias=bias).result
    return result


def scale_before_matmul(product: MatMul) -> Value | Skip:
    """(a * c) @ b = a @ (c * b) for a c of one number for each row of b"""
    found = scale_of(product.a.producer)
    if found is None:
        return Skip()
    reason = _before(product.a, product.b)
    if product.b.rank < 2:
        reason = "the second operand is a vector"
    if reason:
        return Skip(reason, product.a)
    factors = along(found[1], product.a.rank - 1, product.a.shape)
    if factors is None:
        return Skip("the constant differs within a row", product.a)
    b = _like(_wide(product.b) * factors[:, None], product.b)
    return Skip(OUT_OF_RANGE, product.a) if b is None else MatMul(found[0], b).result


RULES = (
    batch_norm_as_scale, scale_after_conv, division_after_conv, shift_after_conv, difference_after_conv,
    scale_after_matmul, division_after_matmul, scale_past_shift, scale_past_reshape, scale_before_conv,
    shift_before_conv, scale_before_matmul,
)  # fmt: skip

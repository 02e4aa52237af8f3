"""Contractions and windows that no vector kernel takes: operands computed at run time, and other types than f32."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ...ir import Skip, TensorType, Value
from ...ir.dims import is_open
from ...ir.ops import (
    Add,
    Cast,
    Contract,
    Conv,
    ConvInteger,
    ConvTranspose,
    Gather,
    MatMul,
    MatMulInteger,
    Pad,
    Pool,
    Reshape,
    Slice,
    Sub,
    Transpose,
    array_of,
    channelwise,
    constant,
    like,
)
from ...ir.types import DType, f32, i32, i64
from .match import is_constant

POOLED = {"max": ("f32", "u8", "i8", "i16"), "sum": ("f32", "u8", "i8", "i16")}
"""The element types that kernels pool."""

MOST_SPATIAL = 3
"""Spatial dimensions that are brought to those of images."""

FIXED = "its sizes are not known before the run"
DERIVED = "it does not multiply its operands as they are"


def _are_open(*values: Value | None) -> bool:
    return any(is_open(d) for v in values if v is not None for d in v.shape)


def _is_computed(value: Value | None) -> bool:
    return value is not None and not is_constant(value)


def _strides(value: Value) -> tuple[int, ...]:
    return value.type.with_order(()).strides


def _padded(x: Value, pads: tuple[int, ...], filling: float) -> Value:
    """x [N, C, ...] with a border around its spatial dimensions."""
    half = len(pads) // 2
    return Pad(x, (0, 0, *pads[:half], 0, 0, *pads[half:]), filling).result if any(pads) else x


# --- convolutions -----------------------------------------------------------------------------------------------------


def conv_with_computed_bias(conv: Conv) -> Value | Skip:
    """conv(x, w, bias) -> conv(x, w) + bias where the bias is computed at run time"""
    if not _is_computed(conv.bias):
        return Skip()
    assert conv.bias is not None
    return Add(conv.replace(bias=None).result, channelwise(conv.bias, conv.x.rank)).result


def conv_as_product(conv: Conv) -> Value | Skip:
    """conv(x, w) -> w @ columns(x): weights that are computed at run time, on the kernels of products"""
    if not _is_computed(conv.w) or conv.x.dtype != f32 or conv.x.rank != 4:
        return Skip()
    if type(conv) is not Conv:
        return Skip(DERIVED)
    if _are_open(conv.w) or any(map(is_open, conv.x.shape[2:])):
        return Skip(FIXED)
    groups, places = conv.groups, conv.type.shape[2:]
    rows = (groups, conv.w.shape[0] // groups, math.prod(conv.w.shape[1:]))
    columns = Reshape(_columns(conv), (conv.x.shape[0], groups, rows[2], math.prod(places))).result
    found = Reshape(MatMul(Reshape(conv.w, rows).result, columns).result, conv.type.shape).result
    return found if conv.bias is None else Add(found, channelwise(conv.bias, 4)).result


def _columns(conv: Conv) -> Value:
    """What the taps see: [N, C, tap rows, tap columns, rows, columns]."""
    found = _padded(conv.x, conv.pads, 0.0)
    for i in (1, 0):
        taps, places = np.arange(conv.w.shape[2 + i]), np.arange(conv.type.shape[2 + i])
        seen = taps[:, None] * conv.dilations[i] + places * conv.strides[i]
        found = Gather(found, constant(seen, i64), 2 + i).result
    return Transpose(found, (0, 1, 2, 4, 3, 5)).result


def conv_as_contraction(conv: Conv) -> Value | Skip:
    """conv -> contract(pad(x), w) where the elements are no f32 or the dimensions are many"""
    if conv.x.dtype == f32 and conv.x.rank <= 2 + MOST_SPATIAL:
        return Skip()
    if type(conv) is not Conv:
        return Skip(DERIVED)
    if _are_open(conv.x, conv.w):
        return Skip(FIXED)
    found = _contracted(conv, _padded(conv.x, conv.pads, 0.0), conv.w)
    return found if conv.bias is None else Add(found, channelwise(conv.bias, conv.x.rank)).result


def integer_conv_as_contraction(conv: ConvInteger) -> Value | Skip:
    """conv-integer -> cast(contract(pad(x) - x_zero, w) + bias): weight or bias are computed, or x is no image"""
    if not _is_computed(conv.w) and not _is_computed(conv.bias) and conv.x.rank <= 4:
        return Skip()
    if _are_open(conv.x, conv.w):
        return Skip(FIXED)
    exact = _exact(conv.x)
    x = _padded(_centred(conv.x, conv.x_zero, exact), conv.pads, 0)
    found = _contracted(conv, x, _as(conv.w, exact))
    if conv.bias is not None:
        found = Add(found, _as(channelwise(conv.bias, conv.x.rank), exact)).result
    return Cast(found, f32).result


def _contracted(conv: Any, x: Value, w: Value) -> Value:
    """The convolution of a padded x without its bias: [N, groups, channels, ...] over channels and taps."""
    n, groups, spatial = x.shape[0], conv.groups, x.rank - 2
    shape = (n, groups, w.shape[0] // groups, *conv.type.shape[2:])
    image, kernel = _strides(x), _strides(w)
    steps = tuple(s * t for s, t in zip(image[2:], conv.strides, strict=True))
    taps = tuple(s * t for s, t in zip(image[2:], conv.dilations, strict=True))
    x_strides = (image[0], w.shape[1] * image[1], 0, *steps, image[1], *taps)
    w_strides = (0, shape[2] * kernel[0], kernel[0], *[0] * spatial, *kernel[1:])
    return Reshape(Contract(x, w, "add", shape, w.shape[1:], x_strides, w_strides).result, conv.type.shape).result


# --- transposed convolutions ------------------------------------------------------------------------------------------


def conv_transpose_as_conv(op: ConvTranspose) -> Value | Skip:
    """conv-transpose(x, w) -> conv of x with zeros between its elements, taps reversed, where phases do not do"""
    if op.x.rank == 3 or (op.x.rank == 4 and is_constant(op.w)):
        return Skip()
    if _are_open(op.x, op.w):
        return Skip(FIXED)
    spatial = op.x.rank - 2
    reach = [d * (k - 1) for d, k in zip(op.dilations, op.w.shape[2:], strict=True)]
    begins = [r - p for r, p in zip(reach, op.pads[:spatial], strict=True)]
    ends = [r - p + o for r, p, o in zip(reach, op.pads[spatial:], op.output_padding, strict=True)]
    x = _bordered(_spread(op.x, op.strides), begins, ends)
    ones = (1,) * spatial
    return Conv(x, _turned(op), op.bias, ones, (0,) * (2 * spatial), op.dilations, op.groups).result


def _bordered(x: Value, begins: list[int], ends: list[int]) -> Value:
    """x with zeros around its spatial dimensions; a negative border cuts."""
    more = [max(b, 0) for b in begins], [max(e, 0) for e in ends]
    x = _padded(x, (*more[0], *more[1]), 0.0)
    starts = [max(-b, 0) for b in begins]
    sizes = [n - s - max(-e, 0) for n, s, e in zip(x.shape[2:], starts, ends, strict=True)]
    return x if tuple(sizes) == x.shape[2:] else Slice(x, (0, 0, *starts), (*x.shape[:2], *sizes)).result


def _spread(x: Value, strides: tuple[int, ...]) -> Value:
    """x with stride - 1 zeros between its elements along each spatial dimension."""
    if all(s == 1 for s in strides):
        return x
    lead, sizes = x.shape[:2], x.shape[2:]
    pairs = tuple(itertools.chain.from_iterable((n, 1) for n in sizes))
    ends = tuple(itertools.chain.from_iterable((0, s - 1) for s in strides))
    apart = Pad(Reshape(x, (*lead, *pairs)).result, (0,) * (2 + len(pairs) + 2) + ends, 0.0).result
    whole = Reshape(apart, (*lead, *(n * s for n, s in zip(sizes, strides, strict=True)))).result
    kept = tuple((n - 1) * s + 1 for n, s in zip(sizes, strides, strict=True))
    return Slice(whole, (0,) * x.rank, (*lead, *kept)).result


def _turned(op: ConvTranspose) -> Value:
    """The weight [C, M/groups, taps...] as [M, C/groups, taps reversed...]."""
    channels, per_out, *taps = op.w.shape
    grouped = (op.groups, channels // op.groups, per_out, *taps)
    order = (0, 2, 1, *range(3, 3 + len(taps)))
    shape = (op.groups * per_out, channels // op.groups, *taps)
    array = array_of(op.w)
    if array is not None:
        back = np.flip(array, tuple(range(2, op.w.rank)))
        return constant(np.ascontiguousarray(back.reshape(grouped).transpose(order).reshape(shape)))
    ends = (0, 0, *(t - 1 for t in taps))
    turned = Slice(op.w, ends, op.w.shape, (1, 1, *[-1] * len(taps))).result
    return Reshape(Transpose(Reshape(turned, grouped).result, order).result, shape).result


# --- products and pools -----------------------------------------------------------------------------------------------


def product_as_contraction(product: MatMul) -> Value | Skip:
    """matmul(a, b) -> contract(a, b) where the elements are no f32"""
    if product.a.dtype == f32 or min(product.a.rank, product.b.rank) < 2:
        return Skip()
    if type(product) is not MatMul:
        return Skip(DERIVED)
    if _are_open(product.a, product.b):
        return Skip(FIXED)
    return _product(product.a, product.b, product.type)


def integer_product_as_contraction(product: MatMulInteger) -> Value | Skip:
    """matmul-integer -> cast(contract(a - a_zero, b) + bias) where matrix or bias are computed at run time"""
    if not _is_computed(product.b) and not _is_computed(product.bias):
        return Skip()
    if _are_open(product.a, product.b):
        return Skip(FIXED)
    exact = _exact(product.a)
    found = _product(_centred(product.a, product.a_zero, exact), _as(product.b, exact), product.type)
    if product.bias is not None:
        found = Add(found, _as(product.bias, exact)).result
    return Cast(found, f32).result


def _product(a: Value, b: Value, kind: TensorType) -> Value:
    """[..., M, K] @ [..., K, N], leading dimensions broadcast."""
    lead = kind.rank - 2
    rows, columns = _leading(a, lead), _leading(b, lead)
    a_strides = (*rows, _strides(a)[-2], 0, _strides(a)[-1])
    b_strides = (*columns, 0, _strides(b)[-1], _strides(b)[-2])
    return Contract(a, b, "add", kind.shape, a.shape[-1:], a_strides, b_strides).result


def _leading(x: Value, lead: int) -> tuple[int, ...]:
    """Strides along the leading dimensions of a product."""
    kept = tuple(0 if n == 1 else s for n, s in zip(x.shape[:-2], _strides(x), strict=False))
    return (0,) * (lead - len(kept)) + kept


def pool_as_contraction(pool: Pool) -> Value | Skip:
    """pool(x) -> contract(pad(x)) where no kernel pools such elements or so many dimensions"""
    if pool.kind == "average" or (pool.x.dtype.name in POOLED[pool.kind] and pool.x.rank <= 2 + MOST_SPATIAL):
        return Skip()
    if _are_open(pool.x):
        return Skip(FIXED)
    largest = pool.kind == "max"
    x = _padded(_as(pool.x, pool.type.dtype), pool.pads, lowest(pool.x.dtype) if largest else 0.0)
    image = _strides(x)
    steps = (*image[:2], *(s * t for s, t in zip(image[2:], pool.strides, strict=True)))
    taps = tuple(s * t for s, t in zip(image[2:], pool.dilations, strict=True))
    how = "max" if largest else "add"
    return Contract(x, None, how, pool.type.shape, pool.kernel_shape, (*steps, *taps)).result


def lowest(kind: DType) -> float:
    """The least number of a type."""
    return -math.inf if kind.is_float else int(np.iinfo(kind.numpy).min)


def _exact(x: Value) -> DType:
    """The integers that hold every sum of products of 8-bit weights."""
    return i32 if x.dtype.bits == 8 else i64


def _as(x: Value, kind: DType) -> Value:
    return x if x.dtype == kind else Cast(x, kind).result


def _centred(x: Value, zero: int, kind: DType) -> Value:
    wide = _as(x, kind)
    return Sub(wide, like(wide, zero)).result if zero else wide


RULES = (
    conv_with_computed_bias, conv_as_product, conv_as_contraction, integer_conv_as_contraction,
    conv_transpose_as_conv, product_as_contraction, integer_product_as_contraction, pool_as_contraction,
)  # fmt: skip

"""Rules: QuantizeLinear and its relatives, as `quantize` and `dequantize`; what other quantized operators build on.

A scale or zero point is one number for the tensor, one for each index along an axis, or one for each block along it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from ..escaping import escape
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_shape import reshaped
from .onnx_tensors import MAX_DENSE_BYTES, element_type
from .ops import (
    Add,
    Clip,
    Dequantize,
    Div,
    Equal,
    Gather,
    Max,
    Min,
    Mul,
    Quantize,
    Reduce,
    Round,
    Sub,
    Where,
    array_of,
    constant,
    uniform,
)
from .types import DType, f16, f32, i8, i16, i32, normal_axis, u8, u16
from .value import Value

QUANTIZED = (u8, i8, u16, i16)
ONNX_FLOAT, ONNX_HALF = 1, 10


def dequantized(
    x: Value, scale: Value, zero: Value | None = None, axis: int | None = None, block: int = 0, what: str = "operand"
) -> Value:
    """(x - zero) * scale as f32; without an axis there is one scale only.

    `ModelError` names a scale or zero point that cannot be meant.
    """
    if x.dtype.is_float and x.dtype.bits <= 8:
        return _dequantized_floats(x, scale, zero, axis, block)
    x, zero = plain(x), None if zero is None else plain(zero)
    if x.dtype not in (*QUANTIZED, i32):
        raise NotCovered(f"{_called(what, x)} of {x.dtype.name} is not dequantized", "u8, i8, u16, i16 or i32")
    return restored(x, scale_for(scale, x, axis, block, block > 0), zero_point(zero, x, axis, block))


def plain(x: Value) -> Value:
    """Integers of fewer than 8 bits as those of 8; others as they are."""
    if not (x.dtype.is_integer and x.dtype.is_narrow):
        return x
    numbers = array_of(x)
    return cast(x, x.dtype.wide) if numbers is None else _renamed(numbers.astype(x.dtype.wide.numpy), x)


def _dequantized_floats(x: Value, scale: Value, zero: Value | None, axis: int | None, block: int) -> Value:
    """x * scale for narrow floats, whose zero point is 0."""
    if zero is not None and array_of(zero) is not None and uniform(zero) != 0:
        raise ModelError(f"{_called('zero point', zero)} of a tensor of {x.dtype.name} must be 0")
    return Mul(cast(x, f32), scale_for(scale, x, axis, block, block > 0)).result


def restored(x: Value, scale: Value, zero: Value) -> Value:
    """(x - zero) * scale for a scale and zero point that have been checked and broadcast against x."""
    if x.dtype == i32 and uniform(zero) not in (None, 0.0):
        raise ModelError(f"{_called('zero point', zero)} of an i32 tensor must be 0")
    x, zero = _centred(x, zero)
    return Dequantize(x, scale, zero).result


def quantized(x: Value, scale: Value, zero: Value | None, to: DType, axis: int | None = None, block: int = 0) -> Value:
    """saturate(round(x / scale) + zero) of type `to`, which is the type of the zero point where there is one."""
    target = checked_target(zero, to)
    scale = scale_for(scale, x, axis, block)
    if target not in QUANTIZED:
        return _rounded(Div(cast(x, f32), scale).result, zero, target, x, axis, block)
    zero = zero_point(zero, Value(x.type.with_dtype(target)), axis, block)
    return Quantize(cast(x, f32), scale, zero, target).result


NUMBERS = {"i4": (-8, 7), "u4": (0, 15), "i2": (-2, 1), "u2": (0, 3)}


def _rounded(ratio: Value, zero: Value | None, to: DType, x: Value, axis: int | None, block: int) -> Value:
    """Quotients as narrow floats, or rounded, moved by the zero point and limited to integers below 8 bits."""
    place = None if zero is None else cast(zero_point(zero, Value(x.type.with_dtype(to)), axis, block), f32)
    if to.is_float:
        return cast(ratio if place is None else Add(ratio, place).result, to)
    whole = Round(ratio).result
    moved = whole if place is None else Add(whole, place).result
    return cast(Clip(moved, *map(float, NUMBERS[to.name])).result, to)


def checked_target(zero: Value | None, to: DType) -> DType:
    """The type to quantize to: that of the zero point, or `to` without one."""
    if zero is None:
        return to
    if zero.dtype not in QUANTIZED and not zero.dtype.is_narrow:
        raise NotCovered(f"{_called('zero point', zero)} of {zero.dtype.name}", "numbers of at most 16 bits")
    return zero.dtype


def checked_scale(scale: Value, signed: bool = False) -> Value:
    """A scale as f32, refused where it is known not to be positive and finite (`signed`: where it is not finite)."""
    what = _called("scale", scale)
    if not scale.dtype.is_float:
        raise ModelError(f"{what} is {scale.dtype.name}", hint="scales are floating-point numbers")
    numbers = array_of(scale)
    if numbers is None:
        return cast(scale, f32)
    with np.errstate(over="ignore"):
        narrow = numbers.astype(np.float32)
    sound = np.isfinite(narrow) & (signed | (narrow > 0))
    if not sound.all():
        allowed = "finite" if signed else "positive and finite"
        raise ModelError(f"{what} holds {narrow[~sound][0]}", hint=f"scales must be {allowed}")
    # Some vector units flush subnormal numbers to zero; the difference is beyond what any result can show.
    tiny = np.finfo(np.float32).tiny
    return _renamed(np.where((narrow > 0) & (narrow < tiny), tiny, narrow), scale)


def scale_for(scale: Value, x: Value, axis: int | None, block: int = 0, signed: bool = False) -> Value:
    """A checked scale of x, shaped to broadcast against it."""
    return _spread("scale", checked_scale(scale, signed), x.shape, axis, block)


def zero_point(zero: Value | None, x: Value, axis: int | None, block: int = 0) -> Value:
    """The zero point of x, shaped to broadcast against it; one scalar where all its numbers are equal."""
    if zero is None:
        return constant(0, x.dtype)
    if zero.dtype != x.dtype:
        what = _called("zero point", zero)
        raise ModelError(f"{what} is {zero.dtype.name}, {_called('its tensor', x)} is {x.dtype.name}")
    spread = _spread("zero point", zero, x.shape, axis, block)
    number = uniform(spread)
    return spread if number is None else _renamed(np.asarray(number, x.dtype.numpy), zero)


def _spread(kind: str, p: Value, shape: tuple[int, ...], axis: int | None, block: int) -> Value:
    """A scale or zero point shaped to broadcast against a shape."""
    if block:
        return _repeated(kind, p, shape, 0 if axis is None else axis, block)
    if p.type.size == 1:
        return _shaped(p, ())
    if p.rank == len(shape) > 1 and all(d in (1, full) for d, full in zip(p.shape, shape, strict=True)):
        return p
    if axis is None or p.rank != 1:
        wanted = "one number" if axis is None else "one number or a list"
        raise ModelError(f"{_called(kind, p)} has shape {list(p.shape)}", hint=f"{wanted} is expected")
    axis = normal_axis(axis, len(shape))
    if p.shape[0] != shape[axis]:
        size = f"axis {axis} of shape {list(shape)} has {shape[axis]}"
        raise ModelError(f"{_called(kind, p)} has {p.shape[0]} numbers, {size}")
    return _shaped(p, (*p.shape, *[1] * (len(shape) - axis - 1)))


def _repeated(kind: str, p: Value, shape: tuple[int, ...], axis: int, block: int) -> Value:
    """One number a block along an axis, as one a element."""
    if block < 0:
        raise ModelError(f"block_size is {block}", hint="it must not be negative")
    axis = normal_axis(axis, len(shape))
    blocks = [-(-d // block) if i == axis else d for i, d in enumerate(shape)]
    if list(p.shape) != blocks:
        need = f"blocks of {block} along axis {axis} of shape {list(shape)} need {blocks}"
        raise ModelError(f"{_called(kind, p)} has shape {list(p.shape)}, {need}")
    numbers = array_of(p)
    if math.prod(shape) * p.dtype.bytes > MAX_DENSE_BYTES:
        raise ModelError(f"{_called(kind, p)} is too large with one number for each element of {list(shape)}")
    places = np.arange(shape[axis]) // block
    if numbers is None:
        return Gather(p, constant(places), axis).result
    return _renamed(np.take(numbers, places, axis), p)


def _centred(x: Value, zero: Value) -> tuple[Value, Value]:
    """Constant 8-bit numbers as i8 around zero where they fit (u8 around 128 always does), for kernels take these."""
    numbers, zeros = array_of(x), array_of(zero)
    if numbers is None or zeros is None or x.dtype not in (u8, i8) or (x.dtype == i8 and uniform(zero) == 0):
        return x, zero
    moved = np.subtract(numbers, zeros, dtype=np.int16)
    if moved.size and (moved.min() < -128 or moved.max() > 127):
        return x, zero
    return _renamed(moved.astype(np.int8), x), constant(0, i8)


def _shaped(x: Value, shape: Sequence[int]) -> Value:
    numbers = array_of(x)
    return reshaped(x, shape) if numbers is None else _renamed(numbers.reshape(shape), x)


def _renamed(array: Array, source: Value) -> Value:
    """A constant that bears the name of the one it was made from."""
    if array is array_of(source):
        return source
    made = constant(array)
    made.name = source.name
    return made


def _called(kind: str, value: Value) -> str:
    return f"{kind} '{escape(value.name)}'" if value.name else kind


@rule("DequantizeLinear")
@rule("DequantizeLinear", domain=MICROSOFT)
def dequantize_linear(node: Node) -> Value:
    scale, axis, block = node.input(1), node.integer("axis", 1), node.integer("block_size", 0)
    found = dequantized(node.x, scale, node.optional(2), axis, block)
    code = node.integer("output_dtype", 0)
    return cast(found, element_type(code) if code else scale.dtype)


@rule("QuantizeLinear")
@rule("QuantizeLinear", domain=MICROSOFT)
def quantize_linear(node: Node) -> Value:
    x, scale, zero = node.x, node.input(1), node.optional(2)
    axis, block = node.integer("axis", 1), node.integer("block_size", 0)
    target = _target(node, zero)
    precision = node.integer("precision", 0)
    if precision == ONNX_HALF:
        return _quantized_halves(x, scale, zero, target, axis, block)
    if precision not in (0, ONNX_FLOAT):
        raise NotCovered(f"division in precision {precision}", f"{ONNX_FLOAT} (float) or {ONNX_HALF} (float16)")
    return quantized(x, scale, zero, target, axis, block)


def _target(node: Node, zero: Value | None) -> DType:
    code = node.integer("output_dtype", 0)
    wanted = element_type(code) if code else None
    target = checked_target(zero, wanted or u8)
    if wanted not in (None, target):
        raise ModelError(f"output_dtype is {wanted}, {_called('zero point', node.input(2))} is {target.name}")
    if target not in QUANTIZED and not target.is_narrow:
        raise NotCovered(f"quantizing to {target.name}", "numbers of at most 16 bits")
    return target


def _quantized_halves(x: Value, scale: Value, zero: Value | None, to: DType, axis: int, block: int) -> Value:
    """The quotient rounded to f16 before it is rounded to an integer."""
    scale = scale_for(scale, x, axis, block)
    ratio = Div(cast(x, f16), cast(scale, f16)).result
    return quantized(cast(ratio, f32), constant(1.0, f32), zero, to, axis)


def dynamically_quantized(x: Value) -> tuple[Value, Value, Value]:
    """x as u8 over the range it has at run time (zero included), its scale and its zero point."""
    if x.dtype != f32 or not x.type.size:
        raise ModelError(f"{_called('operand', x)} is {x.type}, it must be f32 and not empty")
    zero, most = constant(0.0, f32), constant(255.0, f32)
    low = Min(Reduce(x, "min", (), False).result, zero).result
    high = Max(Reduce(x, "max", (), False).result, zero).result
    extent = Sub(high, low).result
    # A tensor of zeros has no extent: any scale gives zeros back, and 1 is what runtimes take.
    scale = Where(Equal(extent, zero).result, constant(1.0, f32), Div(extent, most).result).result
    place = Sub(zero, Div(low, scale).result).result
    zero_u8 = cast(Round(Clip(place, 0.0, 255.0).result).result, u8)
    return Quantize(x, scale, zero_u8, u8).result, scale, zero_u8


@rule("DynamicQuantizeLinear")
def dynamic_quantize_linear(node: Node) -> tuple[Value, Value, Value]:
    return dynamically_quantized(node.x)

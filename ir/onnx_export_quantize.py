"""Export rules: quantization.

A scale is one number, one for each index along an axis, or one for each block along it; anything else is spelled out in
float arithmetic, which gives the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .onnx_export_rules import expression, rule
from .onnx_export_window import window
from .onnx_export_writer import Tensor, Writer
from .ops import ConvInteger, Dequantize, Lookup, MatMulInteger, Quantize, array_of, uniform
from .types import DType, f32, i8, i32, i64
from .value import Value


@rule
def quantize(op: Quantize, writer: Writer) -> Tensor:
    form = _form(op.x, op.scale, op.zero, op.to, writer)
    if form is None:
        return expression(op, writer)
    scale, zero, attributes = form
    return writer.emit("QuantizeLinear", writer.of(op.x), scale, zero, **attributes)


@rule
def dequantize(op: Dequantize, writer: Writer) -> Tensor:
    form = _form(op.x, op.scale, op.zero, op.x.dtype, writer)
    if form is None:
        return expression(op, writer)
    scale, zero, attributes = form
    return writer.emit("DequantizeLinear", writer.of(op.x), scale, zero, **attributes)


def _form(
    x: Value, scale: Value, zero: Value, dtype: DType, writer: Writer
) -> tuple[Tensor, Tensor | None, dict[str, Any]] | None:
    """Scale, zero point and attributes as the Linear operators take them."""
    attributes = _granularity(x.shape, scale.shape)
    if attributes is None or scale.dtype != f32 or zero.dtype != dtype:
        return None
    shape = _shape(scale.shape, attributes)
    zeros = _zero(zero, shape, dtype, writer)
    return None if zeros is _ODD else (_shaped(scale, shape, writer), zeros, attributes)


_ODD = Tensor("no zero point that fits")


def _granularity(shape: tuple[int, ...], scale: tuple[int, ...]) -> dict[str, int] | None:
    """The attributes for a scale of some shape; None where its shape is neither for a tensor, an axis nor blocks."""
    if len(scale) > len(shape):
        return None if any(d != 1 for d in scale) else {}
    aligned = (1,) * (len(shape) - len(scale)) + scale
    axes = [a for a, d in enumerate(aligned) if d != 1]
    if not axes:
        return {}
    if len(axes) == 1:
        return {"axis": axes[0]}
    blocks = [a for a, d in enumerate(aligned) if d != shape[a]]
    return (
        {"axis": blocks[0], "block_size": shape[blocks[0]]} if len(blocks) == 1 and len(scale) == len(shape) else None
    )


def _shape(scale: tuple[int, ...], attributes: dict[str, int]) -> tuple[int, ...]:
    if "block_size" in attributes:
        return scale
    return tuple(d for d in scale if d != 1) if attributes else ()


def _shaped(value: Value, shape: tuple[int, ...], writer: Writer) -> Tensor:
    known = array_of(value)
    if known is not None:
        return writer.weights(known.reshape(shape))
    return writer.of(value) if value.shape == shape else writer.reshape(writer.of(value), shape)


def _zero(zero: Value, shape: tuple[int, ...], dtype: DType, writer: Writer) -> Tensor | None:
    """The zero point in the shape of the scale; a 32-bit integer has none."""
    number = uniform(zero)
    if number is not None:
        return None if dtype == i32 else writer.weights(np.full(shape, number, dtype.numpy))
    return _shaped(zero, shape, writer) if zero.type.size == int(np.prod(shape)) else _ODD


# --- integer arithmetic -----------------------------------------------------------------------------------------------


@rule
def conv_integer(op: ConvInteger, writer: Writer) -> Tensor | None:
    """Of 8-bit numbers; wider ones only passes of the C backend make."""
    if op.x.dtype.bits > 8:
        return None
    attributes = window(op.w.shape[2:], op.strides, op.pads, op.dilations)
    zero = writer.weights(np.asarray(op.x_zero, op.x.dtype.numpy))
    total = writer.emit("ConvInteger", writer.of(op.x), writer.of(op.w), zero, **attributes, group=op.groups)
    if op.bias is not None:
        column = (-1,) + (1,) * (op.x.rank - 2)
        total = writer.emit("Add", total, writer.reshape(writer.of(op.bias), column))
    return writer.cast(total, f32)


@rule
def matmul_integer(op: MatMulInteger, writer: Writer) -> Tensor | None:
    if op.a.dtype.bits > 8:
        return None
    zero = writer.weights(np.asarray(op.a_zero, op.a.dtype.numpy))
    total = writer.emit("MatMulInteger", writer.of(op.a), writer.of(op.b), zero)
    if op.bias is not None:
        total = writer.emit("Add", total, writer.of(op.bias))
    return writer.cast(total, f32)


@rule
def lookup(op: Lookup, writer: Writer) -> Tensor:
    places = writer.cast(writer.of(op.x), i64)
    if op.x.dtype == i8:
        places = writer.emit("Add", places, writer.weights(np.asarray(128, np.int64)))
    return writer.emit("Gather", writer.of(op.table), places, axis=0)

"""Export rules: convolutions, products of half precision, Fourier transforms, pools, normalizations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .onnx_export_rules import rule
from .onnx_export_writer import Tensor, Writer
from .ops import BatchNorm, Conv, ConvTranspose, Fourier, HalfConv, HalfMatMul, InstanceNorm, LayerNorm, Pool, Softmax
from .ops.fourier import MAX_MATRIX
from .types import DType, f32
from .value import Value


@rule
def conv(op: Conv, writer: Writer) -> Tensor:
    return writer.emit("Conv", *_operands(op, writer), **_window(op), group=op.groups)


@rule
def half_conv(op: HalfConv, writer: Writer) -> Tensor:
    x, w, *bias = _operands(op, writer)
    rounded = [_rounded(tensor, op.to, writer) for tensor in (x, w)]
    return writer.emit("Conv", *rounded, *bias, **_window(op), group=op.groups)


@rule
def half_matmul(op: HalfMatMul, writer: Writer) -> Tensor:
    return writer.emit("MatMul", *(_rounded(writer.of(v), op.to, writer) for v in op.operands))


@rule
def fourier(op: Fourier, writer: Writer) -> Tensor | None:
    """A product where the matrix is not too large: engines have kernels for that, and none for many small steps."""
    if op.matrix_size > MAX_MATRIX:
        return None
    order = op.axis_behind
    rows = writer.emit("Transpose", writer.of(op.x), perm=list(order))
    *lead, given, parts = (op.x.shape[axis] for axis in order)
    matrix = writer.weights(op.matrix().astype(op.x.dtype.numpy))
    product = writer.emit("MatMul", writer.reshape(rows, (*lead, given * parts)), matrix)
    found = writer.reshape(product, [op.type.shape[axis] for axis in order])
    return writer.emit("Transpose", found, perm=[order.index(axis) for axis in range(len(order))])


def _rounded(tensor: Tensor, to: DType, writer: Writer) -> Tensor:
    """The nearest numbers of a type, as f32."""
    return writer.cast(writer.cast(tensor, to), f32)


@rule
def conv_transpose(op: ConvTranspose, writer: Writer) -> Tensor:
    attributes = {**_window(op), "group": op.groups, "output_padding": list(op.output_padding)}
    return writer.emit("ConvTranspose", *_operands(op, writer), **attributes)


def _operands(op: Conv | ConvTranspose, writer: Writer) -> list[Tensor]:
    return [writer.of(v) for v in op.operands]


def _window(op: Conv | ConvTranspose) -> dict[str, Any]:
    return window(op.w.shape[2:], op.strides, op.pads, op.dilations)


def window(
    kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...], dilations: tuple[int, ...]
) -> dict[str, Any]:
    """The attributes of a window; dilations only where there are any, for not every runtime takes them."""
    found = {"kernel_shape": list(kernel), "strides": list(strides), "pads": list(pads)}
    return found if set(dilations) == {1} else {**found, "dilations": list(dilations)}


@rule
def pool(op: Pool, writer: Writer) -> Tensor | None:
    """Runtimes refuse borders as wide as the window, and an average counts all of them or none."""
    counted = op.counted or (0,) * len(op.pads)
    if op.kind == "average" and counted not in (op.pads, (0,) * len(op.pads)):
        return None
    wide = any(p >= k for p, k in zip(op.pads, op.kernel_shape * 2, strict=True))
    if wide and op.kind == "average":
        return None
    x, pads = writer.of(op.x), op.pads
    if op.kind == "sum" and op.x.dtype != op.type.dtype:
        x = writer.cast(x, f32)
    if wide:
        x, pads = _bordered(op, x, writer), (0,) * len(pads)
    attributes = window(op.kernel_shape, op.strides, pads, op.dilations)
    if op.kind == "max":
        return writer.emit("MaxPool", x, **attributes)
    if any(pads) and (op.kind == "sum" or any(counted)):
        attributes["count_include_pad"] = 1
    mean = writer.emit("AveragePool", x, **attributes)
    return mean if op.kind == "average" else _summed(op, mean, writer)


def _bordered(op: Pool, x: Tensor, writer: Writer) -> Tensor:
    half, dtype = len(op.pads) // 2, op.x.dtype
    lowest = -np.inf if dtype.is_float else np.iinfo(dtype.numpy).min
    pads = writer.integers((0, 0, *op.pads[:half], 0, 0, *op.pads[half:]))
    kind = op.type.dtype.numpy
    return writer.emit("Pad", x, pads, writer.weights(np.asarray(lowest if op.kind == "max" else 0).astype(kind)))


def _summed(op: Pool, mean: Tensor, writer: Writer) -> Tensor:
    """The sum from the average over whole windows."""
    count = np.asarray(math.prod(op.kernel_shape)).astype(op.type.dtype.numpy)
    return writer.emit("Mul", mean, writer.weights(count))


# --- normalizations ---------------------------------------------------------------------------------------------------


@rule
def softmax(op: Softmax, writer: Writer) -> Tensor:
    return writer.emit("LogSoftmax" if op.log else "Softmax", writer.of(op.x), axis=op.axis)


@rule
def batch_norm(op: BatchNorm, writer: Writer) -> Tensor:
    return writer.emit("BatchNormalization", *(writer.of(v) for v in op.operands), epsilon=op.epsilon)


@rule
def instance_norm(op: InstanceNorm, writer: Writer) -> Tensor | None:
    """Statistics of each channel on its own."""
    if op.groups not in (0, op.x.shape[1]):
        return None
    return writer.emit("InstanceNormalization", *(writer.of(v) for v in op.operands), epsilon=op.epsilon)


@rule
def layer_norm(op: LayerNorm, writer: Writer) -> Tensor | None:
    """With the mean taken out; scale and bias must have the shape of what is normalized."""
    shape = op.x.shape[op.axis :]
    if not op.centered or any(v is not None and v.shape != shape for v in (op.scale, op.bias)):
        return None
    scale = _ones(shape, op.x, writer) if op.scale is None else writer.of(op.scale)
    bias = () if op.bias is None else (writer.of(op.bias),)
    return writer.emit("LayerNormalization", writer.of(op.x), scale, *bias, axis=op.axis, epsilon=op.epsilon)


def _ones(shape: tuple[int, ...], x: Value, writer: Writer) -> Tensor:
    return writer.weights(np.ones(shape, x.dtype.numpy))

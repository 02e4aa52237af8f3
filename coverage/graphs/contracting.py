"""Ops at random that compute many elements from one another: reductions, products, windows, normalizations."""

from __future__ import annotations

from typing import Any

from ...ir import TensorType, Value
from ...ir.ops import (
    BatchNorm,
    Conv,
    ConvInteger,
    ConvTranspose,
    Dequantize,
    Fourier,
    InstanceNorm,
    LayerNorm,
    Lookup,
    Lrn,
    MatMul,
    MatMulInteger,
    MaxPlaces,
    Pool,
    Quantize,
    Reduce,
    Requantize,
    Reshape,
    Resize,
    Softmax,
    constant,
)
from ...ir.ops.resize import COORDINATES, ROUNDINGS
from ...ir.types import DTYPES, DType, f32, f64, i8, i32, u8
from .elementwise import as_float32, kinds_of
from .growth import Growth

EPSILONS = tuple(map(as_float32, (1e-5, 1e-2)))
FLOATS = (f32, f32, f64, DTYPES["f16"])
ACTIVATIONS = (u8, i8)
QUANTIZED = tuple(DTYPES[n] for n in ("u8", "i8", "u16", "i16"))


def reduce(g: Growth) -> Value:
    kind = g.one(("sum", "max", "min", "mean", "prod"))
    x = g.of_kind(g.of_rank(1), kinds_of("reduce-max" if kind in ("max", "min") else "reduce-sum"))
    axes = g.axes(x.rank)
    x = g.limited(x, 0 if x.dtype.name[0] == "u" else -1, 1) if kind == "prod" else x
    return g.put(Reduce(x, kind, axes, g.chance(0.5)))


def matmul(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1, 4), kinds_of("matmul"))
    columns = g.number(1, 20)
    if x.rank == 1 or g.chance(0.2):
        return g.put(MatMul(x, g.partner(x, (x.shape[-1],) if g.chance(0.3) else (x.shape[-1], columns))))
    batch = x.shape[:-2] if g.chance(0.5) else tuple(1 for _ in x.shape[:-2])
    batch = batch if g.chance(0.6) else ()
    other = g.partner(x, (*batch, x.shape[-1], columns))
    if g.chance(0.2):
        return g.put(MatMul(g.partner(x, (*batch, g.number(1, 5), x.shape[-2])), x))
    return g.put(MatMul(x, other))


def _image(g: Growth, low: int = 1, high: int = 3) -> Value:
    """Something of rank 3 to 5 with elements in it."""
    x = g.of_rank(2 + low, 2 + high)
    return x if x.type.size else g.constant(f32, (1, 2, *[5] * low))


def _window(g: Growth, space: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Any]:
    n = len(space)
    dilations = [g.one((1, 1, 1, 2)) for _ in space]
    pads = [g.number(0, min(2, k - 1)) if g.chance(0.5) else 0 for k in kernel * 2]
    for i in range(n):
        if space[i] + pads[i] + pads[n + i] < dilations[i] * (kernel[i] - 1) + 1:
            dilations[i] = 1
    strides = tuple(g.one((1, 1, 2, 3)) for _ in space)
    return {"strides": strides, "pads": tuple(pads), "dilations": tuple(dilations)}


def _kernel(g: Growth, space: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(g.number(1, min(3, d)) for d in space)


def conv(g: Growth) -> Value:
    x = g.of_kind(_image(g), FLOATS)
    channels, kernel = x.shape[1], _kernel(g, x.shape[2:])
    groups = g.one([k for k in range(1, channels + 1) if channels % k == 0])
    outputs = groups * g.number(1, 3) if g.chance(0.5) else groups
    weight = g.array(x.dtype, (outputs, channels // groups, *kernel)) / 2
    w = constant(weight.astype(x.dtype.numpy)) if g.chance(0.8) else g.partner(x, weight.shape)
    bias = g.partner(x, (outputs,)) if g.chance(0.5) else None
    return g.put(Conv(x, w, bias, **_window(g, x.shape[2:], kernel), groups=groups))


def conv_transpose(g: Growth) -> Value:
    x = g.of_kind(_image(g), FLOATS)
    channels, kernel = x.shape[1], _kernel(g, x.shape[2:])
    groups = g.one([k for k in range(1, channels + 1) if channels % k == 0])
    w = constant(g.array(x.dtype, (channels, g.number(1, 4), *kernel)))
    bias = g.constant(x.dtype, (w.shape[1] * groups,)) if g.chance(0.5) else None
    window = _window(g, x.shape[2:], kernel)
    more = tuple(g.number(0, s - 1) for s in window["strides"])
    return g.put(ConvTranspose(x, w, bias, **window, output_padding=more, groups=groups))


def pool(g: Growth) -> Value:
    kind = g.one(("max", "average", "sum"))
    x = g.of_kind(_image(g), (*FLOATS, u8, i8) if kind == "max" else FLOATS)
    kernel = _kernel(g, x.shape[2:])
    window = _window(g, x.shape[2:], kernel)
    counted = window["pads"] if kind == "average" and g.chance(0.5) else ()
    return g.put(Pool(x, kind, kernel, **window, counted=counted))


def max_places(g: Growth) -> Value:
    x = g.of_kind(_image(g), (f32, f64))
    kernel = _kernel(g, x.shape[2:])
    return g.put(MaxPlaces(x, kernel, **_window(g, x.shape[2:], kernel), column_major=g.chance(0.2)))


def softmax(g: Growth) -> Value:
    x = g.limited(g.of_kind(g.of_rank(1), FLOATS), -20, 20)
    return g.put(Softmax(x, g.axis(x.rank), g.chance(0.3)))


def _channels(g: Growth, x: Value) -> Value:
    return g.constant(x.dtype, (x.shape[1],))


def batch_norm(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(2, 5), FLOATS)
    variance = constant(abs(g.array(x.dtype, (x.shape[1],))) + x.dtype.numpy.type(0.5))
    scale, bias, mean = (_channels(g, x) for _ in range(3))
    return g.put(BatchNorm(x, scale, bias, mean, variance, g.one(EPSILONS)))


def layer_norm(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1), FLOATS)
    axis = g.axis(x.rank)
    shape = x.shape[axis % x.rank :]
    scale = g.partner(x, shape) if g.chance(0.6) else None
    bias = g.partner(x, shape) if scale is not None and g.chance(0.5) else None
    return g.put(LayerNorm(x, scale, bias, axis, g.one(EPSILONS), g.chance(0.8)))


def instance_norm(g: Growth) -> Value:
    x = g.of_kind(_image(g), FLOATS)
    groups = g.one([0, *(k for k in range(1, x.shape[1] + 1) if x.shape[1] % k == 0)])
    return g.put(InstanceNorm(x, _channels(g, x), _channels(g, x), groups, g.one(EPSILONS)))


def lrn(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(4, 4), FLOATS)
    return g.put(Lrn(x, g.one((1, 3, 5)), alpha=0.125, beta=g.one((0.5, 0.75)), bias=1.0))


def fourier(g: Growth) -> Value:
    """Of lengths around that of the axis, or of one that is computed in passes."""
    x = g.of_kind(g.of_rank(1, 3), FLOATS)
    parts = x if x.rank > 1 and x.shape[-1] in (1, 2) else g.put(Reshape(x, (*x.shape, 1)))
    axis = g.axis(parts.rank - 1) % (parts.rank - 1)
    length = g.one((64, 75, 128, 140)) if g.chance(0.3) else g.number(1, parts.shape[axis] + 3)
    return g.put(Fourier(parts, axis, length, g.chance(0.4), g.chance(0.4)))


def resize(g: Growth) -> Value:
    x = g.of_kind(_image(g, 2), FLOATS)
    mode = g.one(("nearest", "linear", "cubic"))
    scales = [1.0, 1.0, *(g.one((1.0, 2.0, 0.5, 1.5, 3.0)) for _ in x.shape[2:])]
    sizes = [max(1, int(d * s)) for d, s in zip(x.shape, scales, strict=True)]
    if g.chance(0.4):
        sizes[2:] = [g.number(1, 9) for _ in sizes[2:]]
        scales = [n / d for n, d in zip(sizes, x.shape, strict=True)]
    coordinates, rounding = g.one(list(COORDINATES)), g.one(list(ROUNDINGS))
    outside = mode == "cubic" and g.chance(0.3)
    return g.put(Resize(x, tuple(sizes), tuple(scales), mode, coordinates, rounding, exclude_outside=outside))


# --- quantization -----------------------------------------------------------------------------------------------------


def _scale(g: Growth, x: Value) -> tuple[Value, tuple[int, ...]]:
    """A scale for all, or for each index of an axis, and its shape."""
    shape: tuple[int, ...] = ()
    if x.rank and g.chance(0.4):
        axis = g.number(0, x.rank - 1)
        shape = (x.shape[axis], *[1] * (x.rank - 1 - axis))
    scale = 2.0 ** g.random.integers(-4, 1, shape) * g.one((1.0, 1.25))
    return constant(scale, f32), shape


def _zero(g: Growth, kind: DType, shape: tuple[int, ...]) -> Value:
    low = 0 if kind.name[0] == "u" else -5
    return constant(g.random.integers(low, 9, shape) if g.chance(0.6) else g.random.integers(0, 1, shape), kind)


def quantize(g: Growth) -> Value:
    x = g.of_kind(g.value(), (f32,))
    scale, shape = _scale(g, x)
    kind = g.one(QUANTIZED)
    return g.put(Quantize(x, scale, _zero(g, kind, shape), kind))


def requantize(g: Growth) -> Value:
    x = g.of_kind(g.value(), (f32,))
    scale, shape = _scale(g, x)
    kind = g.one(QUANTIZED)
    return g.put(Requantize(x, scale, _zero(g, kind, shape), kind))


def dequantize(g: Growth) -> Value:
    x = g.of_kind(g.value(), (*QUANTIZED, i32))
    scale, shape = _scale(g, x)
    zero = _zero(g, x.dtype, shape) if x.dtype != i32 else constant(g.random.integers(0, 1, shape), i32)
    return g.put(Dequantize(x, scale, zero))


def conv_integer(g: Growth) -> Value:
    x = g.of_kind(_image(g), ACTIVATIONS)
    channels, kernel = x.shape[1], _kernel(g, x.shape[2:])
    groups = g.one([k for k in range(1, channels + 1) if channels % k == 0])
    w = g.constant(i8, (groups * g.number(1, 3), channels // groups, *kernel))
    bias = g.constant(i32, (w.shape[0],)) if g.chance(0.5) else None
    return g.put(ConvInteger(x, w, bias, g.number(0, 9), **_window(g, x.shape[2:], kernel), groups=groups))


def matmul_integer(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(2, 4), ACTIVATIONS)
    columns = g.number(1, 20)
    bias = g.constant(i32, (columns,)) if g.chance(0.5) else None
    return g.put(MatMulInteger(x, g.constant(i8, (x.shape[-1], columns)), bias, g.number(0, 9)))


def lookup(g: Growth) -> Value:
    x = g.of_kind(g.value(), ACTIVATIONS)
    return g.put(Lookup(x, g.fit(g.constant(g.one((u8, i8, f32)), (256,)), TensorType(g.one((u8, i8, f32)), (256,)))))

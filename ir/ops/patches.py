"""Convolutions by weights that the run computes: products of the weights and of all windows, laid out as a matrix."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

from ..dims import is_open
from ..types import f32
from ..value import Value
from .arithmetic import Add, Mul
from .assembly import Concat, Pad
from .reduction import Reduce
from .view import Reshape, Slice, Transpose

if TYPE_CHECKING:
    from .contraction import Conv, ConvTranspose, MatMul

MAX_TAPS = 1 << 10
"""Elements of a kernel, each of which costs a slice."""


def depends_on_run(value: Value | None) -> bool:
    """Whether a value is computed from an input of its graph."""
    seen: dict[Value, None] = {}
    stack = [] if value is None else [value]
    while stack:
        one = stack.pop()
        if one.producer is None:
            return True
        if one not in seen:
            seen[one] = None
            stack += one.producer.operands
    return False


def as_patches(op: Conv) -> Value | None:
    """A convolution with a weight or a bias of the run; None for one with constants, which has kernels of its own."""
    if any(map(is_open, (*op.x.shape, *op.w.shape))):
        return None
    if depends_on_run(op.w) or op.type.dtype != f32:
        return _with_bias(_product(op), op.bias) if prod(op.w.shape[2:]) <= MAX_TAPS else None
    return _with_bias(op.replace(bias=None).result, op.bias) if depends_on_run(op.bias) else None


def summed_products(op: MatMul) -> Value | None:
    """A matrix product as a sum of products, for numbers that no kernel multiplies; None for vectors."""
    if op.a.rank < 2 or op.b.rank < 2:
        return None
    rows = Reshape(op.a, (*op.a.shape[:-1], 1, op.a.shape[-1])).result
    turned = Transpose(op.b, (*range(op.b.rank - 2), op.b.rank - 1, op.b.rank - 2)).result
    columns = Reshape(turned, (*turned.shape[:-2], 1, *turned.shape[-2:])).result
    products = Mul(rows, columns).result
    return Reduce(products, "sum", (products.rank - 1,), False).result


def _with_bias(y: Value, bias: Value | None) -> Value:
    return y if bias is None else Add(y, Reshape(bias, (bias.shape[0], *[1] * (y.rank - 2))).result).result


def _product(op: Conv) -> Value:
    from .contraction import MatMul

    batch, groups, channels, taps = op.x.shape[0], op.groups, op.w.shape[1], prod(op.w.shape[2:])
    places = prod(op.type.shape[2:])
    slices = [Reshape(one, (batch, groups, channels, 1, places)).result for one in _slices(op)]
    stacked = slices[0] if taps == 1 else Concat(tuple(slices), 3).result
    patches = Reshape(stacked, (batch, groups, channels * taps, places)).result
    weights = Reshape(op.w, (1, groups, op.w.shape[0] // groups, channels * taps)).result
    return Reshape(MatMul(weights, patches).result, op.type.shape).result


def _slices(op: Conv) -> list[Value]:
    """For each element of the kernel the elements of x that it meets."""
    half = len(op.pads) // 2
    x = Pad(op.x, (0, 0, *op.pads[:half], 0, 0, *op.pads[half:])).result if any(op.pads) else op.x
    sizes, steps = (*x.shape[:2], *op.type.shape[2:]), (1, 1, *op.strides)
    starts = product(*(range(0, k * d, d) for k, d in zip(op.w.shape[2:], op.dilations, strict=True)))
    return [Slice(x, (0, 0, *start), sizes, steps).result for start in starts]


def transposed_as_conv(op: ConvTranspose) -> Value | None:
    """A transposed convolution as one of x with zeros between its elements, by the weight turned round."""
    from .contraction import Conv

    half, extents = len(op.pads) // 2, [d * (k - 1) for k, d in zip(op.w.shape[2:], op.dilations, strict=True)]
    begins = [e - p for e, p in zip(extents, op.pads[:half], strict=True)]
    ends = [e - p + o for e, p, o in zip(extents, op.pads[half:], op.output_padding, strict=True)]
    if any(map(is_open, op.x.shape)) or min(*begins, *ends) < 0:
        return None
    ones = (1,) * half
    return Conv(_spread(op.x, op.strides), _turned(op), op.bias, ones, (*begins, *ends), op.dilations, op.groups).result


def _spread(x: Value, strides: tuple[int, ...]) -> Value:
    """x with zeros between the elements of each spatial dimension."""
    if all(s == 1 for s in strides):
        return x
    pairs = tuple(d for extent in x.shape[2:] for d in (extent, 1))
    border = tuple(p for s in strides for p in (0, s - 1))
    apart = Pad(Reshape(x, (*x.shape[:2], *pairs)).result, (0,) * len(x.shape[:2] + pairs) + (0, 0, *border)).result
    full = [e * s for e, s in zip(x.shape[2:], strides, strict=True)]
    kept = [(e - 1) * s + 1 for e, s in zip(x.shape[2:], strides, strict=True)]
    joined = Reshape(apart, (*x.shape[:2], *full)).result
    return Slice(joined, (0,) * x.rank, (*x.shape[:2], *kept)).result


def _turned(op: ConvTranspose) -> Value:
    """The weight [C, M/groups, kernel...] as [M, C/groups, kernel...], its kernel backwards."""
    (inputs, outputs), kernel, groups = op.w.shape[:2], op.w.shape[2:], op.groups
    split = Reshape(op.w, (groups, inputs // groups, outputs, *kernel)).result
    swapped = Transpose(split, (0, 2, 1, *range(3, 3 + len(kernel)))).result
    merged = Reshape(swapped, (groups * outputs, inputs // groups, *kernel)).result
    starts = (0, 0, *(k - 1 for k in kernel))
    return Slice(merged, starts, merged.shape, (1, 1, *[-1] * len(kernel))).result

"""Rules: convolutions and matrix products whose results are integers, or integers times a scale of the run.

With constant weights they are integer ops, whatever their zero points and however large their sums:

- weights less their zero point are a sum of parts, each held by i8, whose sums f32 (the type of an integer op) holds;
- a zero point of x that is no constant is taken off afterwards: sum (x - z) * w = sum (x - m) * w - (z - m) * sum w.

Without, they are float ops where these are exact, products in parts that are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_qlinear import product_of_scales
from .onnx_rules_quantize import dynamically_quantized, restored, scale_for, zero_point
from .onnx_rules_shape import reshaped
from .onnx_rules_window import conv
from .ops import Add, Conv, ConvInteger, Expand, MatMul, MatMulInteger, Mul, Slice, Sub, array_of, constant, uniform
from .ops.quantize import limits
from .types import f32, i8, i32, u8
from .value import Value

EXACT_FLOATS = 1 << 24
"""All integers up to here are f32 numbers."""


@dataclass(frozen=True)
class Operand:
    """8-bit numbers and their zero point, shaped to broadcast against them."""

    x: Value
    zero: Value

    @property
    def reach(self) -> int:
        """The largest magnitude of x - zero."""
        zeros, numbers = array_of(self.zero), array_of(self.x)
        low, high = limits(self.x.dtype)
        if zeros is None:
            return high - low
        span = np.array([low, high]) if numbers is None or not numbers.size else numbers
        least, most = int(span.min()) - int(zeros.max()), int(span.max()) - int(zeros.min())
        return max(abs(least), abs(most))

    @property
    def origin(self) -> int:
        """The zero point, or the middle of the element type where that is not one constant."""
        number = uniform(self.zero)
        return int(number) if number is not None else 128 if self.x.dtype == u8 else 0

    @property
    def shift(self) -> Value | None:
        """zero - origin as i32, None where that is 0."""
        if uniform(self.zero) is not None:
            return None
        return Sub(cast(self.zero, i32), constant(self.origin, i32)).result

    def floats(self) -> Value:
        """x - zero as f32."""
        return restored(self.x, constant(1.0, f32), self.zero)


def _operand(node: Node, position: int, zero: int, axis: int | None) -> Operand:
    x = node.input(position)
    if x.dtype not in (u8, i8):
        raise NotCovered(f"operand {position} of {x.dtype.name}", "u8 or i8")
    return Operand(x, zero_point(node.optional(zero), x, axis))


def _parts(x: Operand, w: Operand, axis: int) -> list[Value] | None:
    """Constants of i8 that add up to w - zero, None where that is not known; `axis` counts the results.

    Products of each with x - origin have sums that f32 holds.
    """
    numbers, zeros = array_of(w.x), array_of(w.zero)
    if numbers is None or zeros is None:
        return None
    low, high = limits(x.x.dtype)
    reach = max(high - x.origin, x.origin - low)
    fitting = [part for whole in _within_i8(numbers, zeros) for part in _split(whole, axis, reach)]
    return [w.x if part is numbers else constant(part) for part in fitting]


def _within_i8(numbers: Array, zeros: Array) -> list[Array]:
    """numbers - zeros as a sum of arrays of i8."""
    if numbers.dtype == np.int8 and not zeros.any():
        return [numbers]
    rest = np.subtract(numbers, zeros, dtype=np.int16)
    parts: list[Array] = []
    while not parts or rest.any():
        parts.append(np.clip(rest, -128, 127).astype(np.int8))
        rest = rest - parts[-1]
    return parts


def _split(w: Array, axis: int, reach: int) -> list[Array]:
    """Weights as a sum of such that are zero but for some of their terms, few enough for exact sums."""
    turned = np.moveaxis(w, axis, 0)
    rows = turned.reshape(w.shape[axis], -1)
    ranges = _ranges(np.abs(rows, dtype=np.int32), EXACT_FLOATS // reach, 0, rows.shape[1])
    if len(ranges) == 1:
        return [w]
    terms = np.arange(rows.shape[1])
    kept = [np.where((terms >= start) & (terms < stop), rows, np.int8(0)) for start, stop in ranges]
    return [np.moveaxis(part.reshape(turned.shape), 0, axis) for part in kept]


def _ranges(sizes: Array, most: int, start: int, stop: int) -> list[tuple[int, int]]:
    """The columns cut into ranges in which no row sums to more than `most`."""
    if stop - start <= 1 or sizes[:, start:stop].sum(1).max(initial=0) <= most:
        return [(start, stop)]
    middle = (start + stop) // 2
    return [*_ranges(sizes, most, start, middle), *_ranges(sizes, most, middle, stop)]


def _added(sums: list[Value]) -> Value:
    """Exact sums in f32 added in i32."""
    return reduce(lambda a, b: Add(a, b).result, [cast(s, i32) for s in sums])


def _sum_over(parts: list[Value], axes: tuple[int, ...]) -> Array:
    """The sum of the weights over some of their dimensions."""
    found: Array = sum((np.asarray(array_of(p)).sum(axes, dtype=np.int32) for p in parts), np.int32(0))
    return found


def _needs_exact_floats(terms: int, a: Operand, b: Operand) -> None:
    if terms * a.reach * b.reach > EXACT_FLOATS:
        reason = f"sums of {terms} products of numbers not known at compile time may leave what f32 holds exactly"
        raise NotCovered(reason, "constant weights")


@rule("MatMulInteger")
def matmul_integer(node: Node) -> Value:
    a, b = _operand(node, 0, 2, -2 if node.x.rank > 1 else None), _operand(node, 1, 3, -1)
    return _product(a, b)


def _product(a: Operand, b: Operand) -> Value:
    """(a - zero) @ (b - zero) as i32."""
    parts = _parts(a, b, 1) if b.x.rank == 2 and a.x.rank else None
    if parts is None:
        return _product_of_two(a, b)
    rows = a.x if a.x.rank > 1 else reshaped(a.x, (1, a.x.type.size))
    found = _added([MatMulInteger(rows, part, None, a.origin).result for part in parts])
    if a.shift is not None:
        found = Sub(found, Mul(a.shift, constant(_sum_over(parts, (0,)))).result).result
    return reshaped(found, (*a.x.shape[:-1], b.x.shape[1]))


def _product_of_two(a: Operand, b: Operand) -> Value:
    """The product of operands that are both computed: float products short enough to be exact, added in i32."""
    length, most = a.x.shape[-1] if a.x.rank else 1, EXACT_FLOATS // (a.reach * b.reach)
    if length <= most or a.x.rank < 2 or b.x.rank < 2:
        _needs_exact_floats(length, a, b)
        return cast(MatMul(a.floats(), b.floats()).result, i32)
    left, right = a.floats(), b.floats()
    starts = range(0, length, most)
    return _added([MatMul(_terms(left, -1, s, most), _terms(right, -2, s, most)).result for s in starts])


def _terms(x: Value, axis: int, start: int, count: int) -> Value:
    """Elements start .. start + count of an axis, as far as there are any."""
    axis += x.rank
    starts = tuple(start if i == axis else 0 for i in range(x.rank))
    sizes = tuple(min(count, d - start) if i == axis else d for i, d in enumerate(x.shape))
    return Slice(x, starts, sizes, (1,) * x.rank).result


@rule("ConvInteger")
def conv_integer(node: Node) -> Value:
    x, w = _operand(node, 0, 2, None), _operand(node, 1, 3, 0)
    parts = _parts(x, w, 0) if w.x.rank else None
    if parts is None:
        _needs_exact_floats(math.prod(w.x.shape[1:]), x, w)
        return cast(conv(replace(node, inputs=[x.floats(), w.floats()])), i32)
    shape = conv(replace(node, inputs=[x.x, w.x])).producer
    assert isinstance(shape, Conv)
    found = _added([_convolved(shape, x.x, part, x.origin) for part in parts])
    return found if x.shift is None else Sub(found, Mul(x.shift, _weights_seen(shape, parts)).result).result


def _convolved(shape: Conv, x: Value, w: Value, zero: int) -> Value:
    return ConvInteger(x, w, None, zero, shape.strides, shape.pads, shape.dilations, shape.groups).result


def _weights_seen(shape: Conv, parts: list[Value]) -> Value:
    """The sum of the weights that meet the input rather than the border, at each place of the result, as i32."""
    if any(shape.pads):
        ones = Expand(constant(np.int8(1)), (1, *shape.x.shape[1:])).result
        return _added([_convolved(shape, ones, part, 0) for part in parts])
    axes = tuple(range(1, shape.w.rank))
    return constant(_sum_over(parts, axes).reshape(-1, *[1] * (shape.w.rank - 2)))


@rule("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(node: Node) -> Value:
    a, b = _operand(node, 0, 4, -2 if node.x.rank > 1 else None), _operand(node, 1, 5, -1)
    return _scaled_product(a, b, node.input(2), node.input(3), node.optional(6))


@rule("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(node: Node) -> Value:
    """The first operand is quantized over the range that it has at run time."""
    x, scale, zero = dynamically_quantized(node.x)
    return _scaled_product(Operand(x, zero), _operand(node, 1, 3, -1), scale, node.input(2), node.optional(4))


def _scaled_product(a: Operand, b: Operand, a_scale: Value, b_scale: Value, bias: Value | None) -> Value:
    """The product of what two operands stand for: in QDQ form, or in integers where it is scaled at run time."""
    dynamic = array_of(a_scale) is None or array_of(a.zero) is None
    if dynamic and array_of(b.x) is not None and array_of(b.zero) is not None and b.x.rank == 2:
        if a_scale.type.size != 1:
            raise NotCovered("a scale for each row that is not constant", "one scale")
        found = Mul(cast(_product(a, b), f32), product_of_scales(a_scale, b_scale)).result
    else:
        rows = -2 if a.x.rank > 1 else None
        left = restored(a.x, scale_for(a_scale, a.x, rows), a.zero)
        found = MatMul(left, restored(b.x, scale_for(b_scale, b.x, -1), b.zero)).result
    if bias is None:
        return found
    if bias.shape != found.shape[-1:]:
        raise ModelError(f"bias has shape {list(bias.shape)}, expected {list(found.shape[-1:])}")
    return Add(found, bias).result

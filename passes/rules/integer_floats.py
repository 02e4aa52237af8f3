"""Products of two computed 8-bit tensors: no kernel multiplies these as integers, but floats hold integers exactly."""

from __future__ import annotations

from ...ir import Rule, Skip, Value
from ...ir.ops import Add, Dequantize, MatMul, Mul, Slice, array_of, constant
from ...ir.ops.quantize import limits
from ...ir.types import f32
from .quantized import Scaling, dequantized

EXACT_IN_F32 = 2**24
LEAST_TERMS = 16


def product_of_two(matmul: MatMul) -> Value | Skip:
    """matmul(dequantize(a), dequantize(b)) -> matmul(a - zero, b - zero) * scales

    Sums of few enough products are exact in f32, so that their order does not matter; longer ones are cut into parts,
    which are added one after the other.
    """
    a, b = dequantized(matmul.a), dequantized(matmul.b)
    if a is None or b is None or array_of(b[0].x) is not None or matmul.a.rank < 2 or matmul.b.rank < 2:
        return Skip()
    terms, length = EXACT_IN_F32 // (_reach(a[1]) * _reach(b[1])), matmul.a.shape[-1]
    if a[1].scale == b[1].scale == 1 and length <= terms:
        return Skip()
    if terms < LEAST_TERMS:
        return Skip(f"f32 holds sums of at most {terms} products of such numbers exactly")
    left, right = _centred(a[0], a[1]), _centred(b[0], b[1])
    parts = [
        MatMul(_part(left, -1, start, terms), _part(right, -2, start, terms)).result
        for start in range(0, length, terms)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = Add(total, part).result
    return Mul(total, constant(a[1].scale * b[1].scale, f32)).result


def _reach(scaling: Scaling) -> int:
    """The largest magnitude of a number less its zero point."""
    low, high = limits(scaling.dtype)
    return max(high - scaling.zero, scaling.zero - low)


def _centred(source: Dequantize, scaling: Scaling) -> Value:
    """x - zero as f32."""
    return Scaling(1.0, scaling.zero, scaling.dtype).dequantized(source.x)


def _part(x: Value, axis: int, start: int, size: int) -> Value:
    """Elements start .. start + size of an axis, as far as there are any."""
    axis += x.rank
    if x.shape[axis] <= size:
        return x
    starts = tuple(start if i == axis else 0 for i in range(x.rank))
    sizes = tuple(min(size, d - start) if i == axis else d for i, d in enumerate(x.shape))
    return Slice(x, starts, sizes, (1,) * x.rank).result


RULES: tuple[Rule, ...] = (product_of_two,)

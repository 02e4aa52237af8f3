"""Ops at random that move elements, or read and write them at computed places."""

from __future__ import annotations

import numpy as np

from ...ir import TensorType, Value
from ...ir.ops import (
    ArgReduce,
    BitCast,
    Compress,
    Concat,
    Cumulative,
    Expand,
    Gather,
    Interleave,
    NonZero,
    Pad,
    Reshape,
    ScatterElements,
    ScatterRows,
    Slice,
    TopK,
    Transpose,
    Unique,
    constant,
)
from ...ir.types import DTYPES, boolean, i32, i64
from .elementwise import kinds_of
from .growth import MOST_RANK, Growth

CASTS = tuple(DTYPES)


def reshape(g: Growth) -> Value:
    x = g.value()
    shape = list(x.shape)
    for _ in range(g.number(1, 2)):
        shape = _reshaped(g, shape)
    return g.put(Reshape(x, tuple(shape)))


def _reshaped(g: Growth, shape: list[int]) -> list[int]:
    """One dimension more or less: two merged, one split, a 1 put in or taken out."""
    if len(shape) > 1 and g.chance(0.4):
        a = g.number(0, len(shape) - 2)
        return [*shape[:a], shape[a] * shape[a + 1], *shape[a + 2 :]]
    split = [(a, k) for a, d in enumerate(shape) for k in (2, 3, 4) if d > k and d % k == 0]
    if split and g.chance(0.6):
        a, k = g.one(split)
        return [*shape[:a], k, shape[a] // k, *shape[a + 1 :]]
    if 1 in shape and g.chance(0.5):
        shape.remove(1)
        return shape
    a = g.number(0, len(shape))
    return [*shape[:a], 1, *shape[a:]]


def transpose(g: Growth) -> Value:
    x = g.of_rank(2)
    return g.put(Transpose(x, tuple(int(a) for a in g.random.permutation(x.rank))))


def cut(g: Growth) -> Value:
    x = g.of_rank(1)
    rows = [_span(g, extent) if g.chance(0.6) else (0, extent, 1) for extent in x.shape]
    starts, sizes, steps = zip(*rows, strict=True)
    return g.put(Slice(x, starts, sizes, steps))


def _span(g: Growth, extent: int) -> tuple[int, int, int]:
    """Start, size and step inside an extent."""
    if not extent or (g.empty and g.chance(0.1)):
        return 0, 0, 1
    step = g.one((1, 1, 1, 2, 3, -1, -2))
    size = g.number(1, -(-extent // abs(step)))
    first = g.number(0, extent - 1 - (size - 1) * abs(step))
    return (first if step > 0 else first + (size - 1) * -step), size, step


def expand(g: Growth) -> Value:
    x = g.value()
    shape = [g.number(1, 4) if d == 1 and g.chance(0.7) else d for d in x.shape]
    front = [g.number(1, 3)] if g.chance(0.4) and x.rank < MOST_RANK else []
    return g.put(Expand(x, (*front, *shape)))


def concat(g: Growth) -> Value:
    x = g.of_rank(1)
    axis = g.axis(x.rank)
    place = axis % x.rank
    parts = [x]
    for _ in range(g.number(1, 3)):
        extent = x.shape[place] if g.chance(0.5) else g.number(0 if g.empty else 1, 5)
        parts.append(g.partner(x, (*x.shape[:place], extent, *x.shape[place + 1 :])))
    parts.append(parts.pop(g.number(0, len(parts) - 1)))
    return g.put(Concat(tuple(parts), axis))


def pad(g: Growth) -> Value:
    x = g.of_rank(1, 5)
    pads = tuple(g.number(0, 2) if g.chance(0.5) else 0 for _ in range(2 * x.rank))
    return g.put(Pad(x, pads, float(g.number(0, 1) if x.dtype.name[0] in "ub" else g.number(-2, 2) / 2)))


def interleave(g: Growth) -> Value:
    x = g.of_rank(1, 4)
    axis = g.number(0, x.rank - 1)
    step = g.number(1, 3)
    extent = x.shape[axis]
    parts = [x, *(g.partner(x, x.shape) for _ in range(step - 1))] if g.chance(0.6) else [x]
    more = g.number(0, 2) if len(parts) == 1 else 0
    shape = (*x.shape[:axis], extent * step + more, *x.shape[axis + 1 :])
    starts = tuple(tuple(i if a == axis else 0 for a in range(x.rank)) for i in range(len(parts)))
    return g.put(Interleave(tuple(parts), shape, starts, tuple(step if a == axis else 1 for a in range(x.rank))))


def cast(g: Growth) -> Value:
    x = g.value()
    return g.cast(x, g.one([DTYPES[n] for n in ("f32", "f32", *CASTS)] if g.chance(0.3) else g.kinds))


def bit_cast(g: Growth) -> Value:
    x = g.value()
    return g.put(BitCast(x, g.one([k for k in DTYPES.values() if k.bits == x.dtype.bits and k != boolean])))


def _indices(g: Growth, extent: int, shape: tuple[int, ...]) -> Value:
    """Places inside an extent, some counted from the end: known, or computed from a value."""
    if not extent:
        return constant(np.zeros((0,), np.int64))
    if g.chance(0.7):
        return constant(g.random.integers(-extent, extent, shape), g.one((i32, i64)))
    return g.limited(g.fit(g.value(), TensorType(i64, shape)), -extent, extent - 1)


def gather(g: Growth) -> Value:
    x = g.of_rank(1, 4)
    axis = g.axis(x.rank)
    return g.put(Gather(x, _indices(g, x.shape[axis], g.shape(0, 2)), axis))


def _distinct(g: Growth, extent: int, rows: int) -> np.ndarray:
    """Places of which none occurs twice."""
    return np.asarray(g.random.permutation(extent)[:rows])


def scatter_elements(g: Growth) -> Value:
    x = g.of_rank(1, 4)
    axis = g.number(0, x.rank - 1)
    kinds = ("none",) if x.dtype == boolean or x.dtype.is_narrow else ("none", "none", "add", "mul", "max", "min")
    shape = tuple(g.number(0 if g.empty else 1, d) if d else 0 for d in x.shape)
    order = np.arange(shape[axis]) if not x.shape[axis] else _distinct(g, x.shape[axis], shape[axis])
    indices = np.broadcast_to(order.reshape([-1 if a == axis else 1 for a in range(x.rank)]), shape)
    indices = np.where(g.random.random(shape) < 0.3, indices - x.shape[axis], indices)
    return g.put(ScatterElements(x, constant(indices, i64), g.partner(x, shape), axis, g.one(kinds)))


def scatter_rows(g: Growth) -> Value:
    x = g.of_rank(1, 4)
    depth = g.number(1, x.rank)
    extents = x.shape[:depth]
    size = int(np.prod(extents))
    places = _distinct(g, size, g.number(1, max(1, min(size, 6))))
    indices = np.stack(np.unravel_index(places, extents), -1) if size else np.zeros((0, depth))
    kinds = ("none",) if x.dtype == boolean or x.dtype.is_narrow else ("none", "add", "mul", "max", "min")
    updates = g.partner(x, (len(indices), *x.shape[depth:]))
    return g.put(ScatterRows(x, constant(indices, i64), updates, g.one(kinds)))


def cumulative(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1), kinds_of("cumulative"))
    kind = g.one(("sum", "sum", "prod"))
    x = g.limited(x, -1, 1) if kind == "prod" and x.dtype.name[0] != "u" else x
    return g.put(Cumulative(x, g.axis(x.rank), kind, g.chance(0.5), g.chance(0.5)))


def arg_reduce(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1), kinds_of("arg-reduce"))
    axis = g.axis(x.rank)
    return g.put(ArgReduce(x, g.one(("max", "min")), axis, g.chance(0.5), g.chance(0.5)))


def top_k(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1), kinds_of("top-k"))
    axis = g.axis(x.rank)
    return g.put(TopK(x, g.number(0 if g.empty else 1, x.shape[axis]), axis, g.chance(0.6)))


def compress(g: Growth) -> Value:
    x = g.of_rank(1)
    axis = g.axis(x.rank)
    return g.put(Compress(x, g.fit(g.value(), TensorType(boolean, (g.number(1, max(1, x.shape[axis])),))), axis))


def non_zero(g: Growth) -> Value:
    return g.put(NonZero(g.of_rank(1)))


def unique(g: Growth) -> Value:
    x = g.of_kind(g.of_rank(1), kinds_of("top-k"))
    return g.put(Unique(x, g.axis(x.rank), g.chance(0.5)))

"""Rules: writing at computed places, and running totals.

What is written at known places is appended to the tensor, and a gather picks from both, which fuses; what is written at
places that are computed, or joined at equal ones, is a scatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_gather import MAX_PLACES, flat_grid, taken
from .onnx_rules_math import cast
from .onnx_rules_shape import expanded, inverse, padded, reshaped, transposed
from .onnx_tensors import check_dims
from .ops import (
    Add,
    Concat,
    Cumulative,
    Equal,
    Fmod,
    Gather,
    MatMul,
    Max,
    Min,
    Mul,
    Or,
    ScatterElements,
    ScatterRows,
    Where,
    array_of,
    constant,
    like,
)
from .types import boolean, f32, i64, normal_axis, u8
from .value import Value

JOINS: dict[str, Any] = {"add": Add, "mul": Mul, "max": Max, "min": Min}


def _overwritten(data: Value, places: Array, updates: Value, dims: int) -> Value:
    """Rows of data (over its first dimensions) replaced at known flat places; of equal places the last wins."""
    rows = math.prod(data.shape[:dims])
    if rows + places.size > MAX_PLACES:
        raise NotCovered(f"it writes into {rows} places", f"at most {MAX_PLACES}")
    if places.size and not (places.min() >= 0 and places.max() < rows):
        raise ModelError("its indices lie outside the tensor")
    source = np.arange(rows)
    source[places.reshape(-1)] = rows + np.arange(places.size)
    tail = data.shape[dims:]
    both = Concat((reshaped(data, (rows, *tail)), reshaped(updates, (places.size, *tail))), 0).result
    return reshaped(Gather(both, constant(source), 0).result, data.shape)


def _written(node: Node, places: Array, updates: Value, dims: int) -> Value | None:
    """`_overwritten`, the updates first joined with what was there; None where they must be joined one by one."""
    kind = node.text("reduction", "none")
    if kind != "none":
        if np.unique(places).size < places.size:
            return None
        updates = JOINS[kind](taken(node.x, places, dims), updates).result
    return _overwritten(node.x, places, updates, dims)


def _reduction(node: Node) -> tuple[Value, Value, str]:
    """Data, updates and how they are joined; of bools a sum is `or`, a product is `and`."""
    data, updates, kind = node.x, node.input(2), node.text("reduction", "none")
    if kind not in ("none", *JOINS):
        raise ModelError(f"there is no reduction '{kind}'")
    return data, updates, kind


@rule("ScatterND")
def scatter_nd(node: Node) -> Value:
    """Rows written at known or computed places."""
    data, updates, kind = _reduction(node)
    indices = node.input(1)
    depth = indices.shape[-1] if indices.rank else 0
    if not 0 < depth <= data.rank or updates.shape != (*indices.shape[:-1], *data.shape[depth:]):
        raise ModelError(f"indices {list(indices.shape)} and updates {list(updates.shape)} do not fit {data.type}")
    known = array_of(indices)
    if known is not None:
        wrapped = _inside(known, np.array(data.shape[:depth], np.int64))
        steps = np.array([math.prod(data.shape[i + 1 : depth]) for i in range(depth)], np.int64)
        found = _written(node, (wrapped * steps).sum(-1), updates, depth)
        if found is not None:
            return found
    return _unpacked(lambda d, u: ScatterRows(d, cast(indices, i64), u, kind).result, data, updates, kind)


def _inside(indices: Array, extents: Any) -> Array:
    """Known indices counted from the start; `ModelError` for one that lies outside."""
    wrapped = np.where(indices < 0, indices + extents, indices)
    if ((wrapped < 0) | (wrapped >= extents)).any():
        raise ModelError("its indices lie outside the tensor")
    return wrapped


def _unpacked(scatter: Callable[[Value, Value], Value], data: Value, updates: Value, kind: str) -> Value:
    """Bools are joined as bytes: a sum is their maximum, a product their minimum, cut back to 0 and 1."""
    if data.dtype != boolean or kind == "none":
        return scatter(data, updates)
    return cast(scatter(cast(data, u8), cast(updates, u8)), boolean)


@rule("ScatterElements", "Scatter")
def scatter_elements(node: Node) -> Value:
    """Single elements written at known or computed places along an axis."""
    data, updates, kind = _reduction(node)
    indices = node.input(1)
    axis = normal_axis(node.integer("axis"), data.rank)
    if indices.shape != updates.shape or indices.rank != data.rank:
        raise ModelError(f"indices {list(indices.shape)} and updates {list(updates.shape)} do not fit {data.type}")
    known = array_of(indices)
    if known is not None:
        wrapped = _inside(known, data.shape[axis])
        places = flat_grid(data.shape, known.shape, axis) + wrapped * math.prod(data.shape[axis + 1 :])
        found = _written(node, places, updates, data.rank)
        if found is not None:
            return found
    return _unpacked(lambda d, u: ScatterElements(d, cast(indices, i64), u, axis, kind).result, data, updates, kind)


@rule("TensorScatter")
def tensor_scatter(node: Node) -> Value:
    """A stretch of a cache replaced, from a place on that each batch entry has of its own."""
    cache, update, axis = node.x, node.input(1), normal_axis(node.integer("axis"), node.x.rank)
    batch, length, extent = cache.shape[0], update.shape[axis], cache.shape[axis]
    if axis == 0 or update.shape[:axis] != cache.shape[:axis] or update.shape[axis + 1 :] != cache.shape[axis + 1 :]:
        raise ModelError(f"an update {update.type} does not fit a cache {cache.type} along axis {axis}")
    starts = cast(node.input(2), i64) if node.has(2) else constant(np.zeros(batch, np.int64))
    known = array_of(starts)
    circular = node.text("mode") == "circular"
    if starts.shape != (batch,) or (known is not None and not circular and known.max(initial=0) > extent - length):
        raise ModelError("write indices lie outside the cache")
    leading = (*cache.shape[:axis], length)
    column = reshaped(starts, (batch, *[1] * axis))
    steps = Add(column, constant(np.arange(length).reshape(*[1] * axis, length))).result
    steps = Fmod(steps, like(steps, extent)).result if circular else steps
    columns = [constant(g[..., None]) for g in np.indices(leading)[:-1]]
    columns.append(reshaped(expanded(steps, leading), (*leading, 1)))
    return ScatterRows(cache, Concat(tuple(columns), -1).result, update).result


@rule("MaxUnpool")
def max_unpool(node: Node) -> Value:
    """Elements back at the places that a pool took them from, zeros between them."""
    x, places = node.x, cast(node.input(1), i64)
    kernel = node.ints("kernel_shape") or ()
    spatial = x.rank - 2
    strides, pads = node.ints("strides") or (1,) * spatial, node.ints("pads") or (0,) * (2 * spatial)
    if places.shape != x.shape or {len(kernel), len(strides), len(pads) // 2} != {spatial} or spatial < 1:
        raise ModelError(f"places {places.type} and a kernel of {len(kernel)} dimensions do not fit {x.type}")
    rows = zip(x.shape[2:], strides, kernel, pads[:spatial], pads[spatial:], strict=True)
    shape = (*x.shape[:2], *((d - 1) * s + k - a - b for d, s, k, a, b in rows))
    flat = [reshaped(v, (x.type.size,)) for v in (places, x)]
    room = expanded(like(x, 0), (math.prod(check_dims(shape, "its result")),))
    found = reshaped(ScatterElements(room, flat[0], flat[1], 0).result, shape)
    wanted = _unpooled_shape(node) if node.has(2) else shape
    if len(wanted) != len(shape) or any(w < d for w, d in zip(wanted, shape, strict=True)):
        raise ModelError(f"output shape {list(wanted)} is smaller than {list(shape)}")
    return padded(found, (0,) * len(shape), [w - d for w, d in zip(wanted, shape, strict=True)])


def _unpooled_shape(node: Node) -> tuple[int, ...]:
    known = array_of(node.input(2))
    return node.declared_shape(0, "output shape") if known is None else node.known_ints(2, "output shape")


def by_axis(node: Node, position: int, rank: int, compute: Callable[[int], Value]) -> Value:
    """What a function makes along the axis that an operand names; all axes, of which one is chosen, at run time."""
    if array_of(node.input(position)) is not None:
        return compute(normal_axis(node.known_int(position, "axis"), rank))
    given = node.input(position)
    if given.type.size != 1:
        raise ModelError(f"axis (operand {position}) must be one integer, is {given.type}")
    axis = reshaped(cast(given, i64), ())
    found = compute(0)
    for other in range(1, rank):
        named = Or(Equal(axis, constant(np.array(other))).result, Equal(axis, constant(np.array(other - rank))).result)
        found = Where(named.result, compute(other), found).result
    return found


@rule("CumSum", "CumProd")
def cumulative(node: Node) -> Value:
    """Running totals; of a short axis of floats as a product with a triangle of ones, which fuses."""
    return by_axis(node, 1, node.x.rank, lambda axis: _running(node, axis))


def _running(node: Node, axis: int) -> Value:
    x, exclusive, reverse = node.x, node.flag("exclusive"), node.flag("reverse")
    extent = x.shape[axis]
    if node.op_type == "CumProd" or x.dtype != f32 or extent > 2048 or array_of(x) is not None:
        kind = "sum" if node.op_type == "CumSum" else "prod"
        return Cumulative(x, axis, kind, exclusive, reverse).result
    triangle = np.triu(np.ones((extent, extent), x.dtype.numpy), 1 if exclusive else 0)
    triangle = triangle.T if reverse else triangle
    perm = [a for a in range(x.rank) if a != axis] + [axis]
    total = MatMul(transposed(x, perm), constant(triangle)).result
    return transposed(total, inverse(perm))

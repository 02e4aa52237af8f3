"""Rules: reading and writing at computed places. All of them become gathers of flat rows.

What is written is appended to the tensor, and a gather at known places picks from both: there is no scatter in the IR.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_shape import inverse, reshaped, transposed
from .ops import Add, Concat, Gather, Less, Max, Min, Mul, Reduce, Where, array_of, constant
from .types import normal_axis
from .value import Value

MAX_PLACES = 1 << 24


def taken(x: Value, places: Array, dims: int) -> Value:
    """Rows of x at known flat places over its first `dims` dimensions."""
    rows = reshaped(x, (math.prod(x.shape[:dims]), *x.shape[dims:]))
    return Gather(rows, constant(places), 0).result


@rule("Gather")
def gather(node: Node) -> Value:
    return Gather(node.x, node.input(1), node.integer("axis")).result


def _wrapped(indices: Value, extent: int) -> Value:
    """Indices with negative ones counted from the end."""
    known = array_of(indices)
    if known is not None and known.size and not (-extent <= known.min() and known.max() < extent):
        raise ModelError(f"indices {known.min()} .. {known.max()} lie outside a dimension of {extent}")
    shifted = Add(indices, _integer(indices, extent)).result
    return Where(Less(indices, _integer(indices, 0)).result, shifted, indices).result


def _integer(beside: Value, number: int) -> Value:
    return constant(np.array(number, beside.dtype.numpy))


@rule("GatherElements")
def gather_elements(node: Node) -> Value:
    """Element (i, j, ...) of the result stands in x at the same place but along the axis."""
    x, indices = node.x, node.input(1)
    axis = normal_axis(node.integer("axis"), x.rank)
    inside = all(n <= d or a == axis for a, (n, d) in enumerate(zip(indices.shape, x.shape, strict=False)))
    if indices.rank != x.rank or not inside:
        raise ModelError(f"indices of shape {list(indices.shape)} do not fit {x.type}")
    step = math.prod(x.shape[axis + 1 :])
    along = Mul(_wrapped(indices, x.shape[axis]), _integer(indices, step)).result
    rest = constant(_flat_grid(x.shape, indices.shape, axis).astype(indices.dtype.numpy))
    return Gather(reshaped(x, (x.type.size,)), Add(along, rest).result, 0).result


def _flat_grid(shape: tuple[int, ...], window: tuple[int, ...], skipped: int) -> Array:
    """The flat places in a tensor of `shape` of the corner `window`, one axis counting nothing."""
    if math.prod(window) > MAX_PLACES:
        raise NotCovered(f"it has {math.prod(window)} indices", f"at most {MAX_PLACES}")
    total = np.zeros(window, np.int64)
    for axis, extent in enumerate(window):
        column = [-1 if a == axis else 1 for a in range(len(window))]
        total += np.arange(extent).reshape(column) * (0 if axis == skipped else math.prod(shape[axis + 1 :]))
    return total


@rule("GatherND")
def gather_nd(node: Node) -> Value:
    """The last dimension of the indices holds places over the dimensions of x that follow the batch ones."""
    x, indices, batch = node.x, node.input(1), node.integer("batch_dims", 0)
    depth = indices.shape[-1] if indices.rank else 0
    if not depth or batch + depth > x.rank or not 0 <= batch < indices.rank or x.shape[:batch] != indices.shape[:batch]:
        raise ModelError(f"indices of shape {list(indices.shape)} do not fit {x.type}")
    places = _flat_places(x, indices, batch)
    lead = np.arange(math.prod(x.shape[:batch])) * math.prod(x.shape[batch : batch + depth])
    shape = (*x.shape[:batch], *[1] * (indices.rank - 1 - batch))
    places = Add(places, constant(lead.reshape(shape).astype(indices.dtype.numpy))).result
    rows = reshaped(x, (math.prod(x.shape[: batch + depth]), *x.shape[batch + depth :]))
    return Gather(rows, places, 0).result


def _flat_places(x: Value, indices: Value, batch: int) -> Value:
    depth = indices.shape[-1]
    extents = x.shape[batch : batch + depth]
    steps = np.array([math.prod(extents[i + 1 :]) for i in range(depth)], indices.dtype.numpy)
    limits = constant(np.array(extents, indices.dtype.numpy))
    wrapped = Where(Less(indices, _integer(indices, 0)).result, Add(indices, limits).result, indices).result
    return Reduce(Mul(wrapped, constant(steps)).result, "sum", (-1,), False).result


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


def _written(node: Node, places: Array, updates: Value, dims: int) -> Value:
    """`_overwritten`, the updates first joined with what was there where the node says so."""
    kind = node.text("reduction", "none")
    if kind != "none":
        if np.unique(places).size < places.size:
            raise NotCovered(f"reduction '{kind}' at equal places", "places that differ")
        joins: dict[str, Any] = {"add": Add, "mul": Mul, "max": Max, "min": Min}
        updates = joins[kind](taken(node.x, places, dims), updates).result
    return _overwritten(node.x, places, updates, dims)


@rule("ScatterND")
def scatter_nd(node: Node) -> Value:
    """Rows written at known places."""
    data, updates, indices = node.x, node.input(2), node.known(1, "indices")
    depth = indices.shape[-1] if indices.ndim else 0
    if not 0 < depth <= data.rank or updates.shape != (*indices.shape[:-1], *data.shape[depth:]):
        raise ModelError(f"indices {list(indices.shape)} and updates {list(updates.shape)} do not fit {data.type}")
    extents = np.array(data.shape[:depth], np.int64)
    wrapped = np.where(indices < 0, indices + extents, indices)
    if ((wrapped < 0) | (wrapped >= extents)).any():
        raise ModelError("its indices lie outside the tensor")
    steps = np.array([math.prod(data.shape[i + 1 : depth]) for i in range(depth)], np.int64)
    return _written(node, (wrapped * steps).sum(-1), updates, depth)


@rule("ScatterElements", "Scatter")
def scatter_elements(node: Node) -> Value:
    """Single elements written at known places along an axis."""
    data, updates, indices = node.x, node.input(2), node.known(1, "indices")
    axis = normal_axis(node.integer("axis"), data.rank)
    if indices.shape != updates.shape or indices.ndim != data.rank:
        raise ModelError(f"indices {list(indices.shape)} and updates {list(updates.shape)} do not fit {data.type}")
    extent = data.shape[axis]
    wrapped = np.where(indices < 0, indices + extent, indices)
    if ((wrapped < 0) | (wrapped >= extent)).any():
        raise ModelError("its indices lie outside the tensor")
    places = _flat_grid(data.shape, indices.shape, axis) + wrapped * math.prod(data.shape[axis + 1 :])
    return _written(node, places, updates, data.rank)


@rule("Compress")
def compress(node: Node) -> Value:
    """Slices where a known condition holds."""
    condition, axis = node.known(1, "condition"), node.attributes.get("axis")
    x = reshaped(node.x, (node.x.type.size,)) if axis is None else node.x
    axis = normal_axis(axis or 0, x.rank)
    places = np.flatnonzero(condition.reshape(-1)[: x.shape[axis]])
    return Gather(x, constant(places), axis).result


@rule("TensorScatter")
def tensor_scatter(node: Node) -> Value:
    """A stretch of a cache replaced at known places."""
    cache, update, axis = node.x, node.input(1), normal_axis(node.integer("axis"), node.x.rank)
    batch, length, extent = cache.shape[0], update.shape[axis], cache.shape[axis]
    starts = node.known(2, "write indices") if node.has(2) else np.zeros(batch, np.int64)
    steps = starts.reshape(-1, 1) + np.arange(length)
    steps = steps % extent if node.text("mode") == "circular" else steps
    perm = (0, axis, *(a for a in range(1, cache.rank) if a != axis))
    rows = np.arange(batch)[:, None] * extent + steps
    if axis == 0 or starts.size != batch or steps.max(initial=0) >= extent:
        raise ModelError("write indices lie outside the cache")
    written = _overwritten(transposed(cache, perm), rows, transposed(update, perm), 2)
    return transposed(written, inverse(perm))


@rule("ReverseSequence")
def reverse_sequence(node: Node) -> Value:
    """The first `lengths[b]` elements of each batch entry in reverse: a gather at known places."""
    x, batch, time = node.x, node.integer("batch_axis"), node.integer("time_axis")
    lengths = np.array(node.known_ints(1, "lengths"))
    if x.rank < 2 or {batch, time} != {0, 1} or lengths.shape != (x.shape[batch],):
        raise ModelError("batch and time must be the first two axes, with one length for each batch entry")
    steps = np.arange(x.shape[time])
    places = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    rows = places + np.arange(x.shape[batch])[:, None] * x.shape[time] if batch == 0 else 0
    if batch == 1:
        rows = (places * x.shape[batch] + np.arange(x.shape[batch])[:, None]).T
    return taken(x, np.asarray(rows, np.int64), 2)

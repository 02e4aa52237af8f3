"""Rules: reading at computed places. All of them become gathers of flat rows."""

from __future__ import annotations

import math

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import reshaped
from .ops import Add, Gather, Less, LessEqual, Min, Mul, Reduce, Sub, Where, array_of, constant
from .types import i64, normal_axis
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
    rest = constant(flat_grid(x.shape, indices.shape, axis).astype(indices.dtype.numpy))
    return Gather(reshaped(x, (x.type.size,)), Add(along, rest).result, 0).result


def flat_grid(shape: tuple[int, ...], window: tuple[int, ...], skipped: int) -> Array:
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


@rule("ReverseSequence")
def reverse_sequence(node: Node) -> Value:
    """The first `lengths[b]` elements of each batch entry in reverse, as a gather of flat rows."""
    x, batch, time = node.x, node.integer("batch_axis"), node.integer("time_axis")
    lengths = cast(node.input(1), i64)
    if x.rank < 2 or {batch, time} != {0, 1} or lengths.shape != (x.shape[batch],):
        raise ModelError("batch and time must be the first two axes, with one length for each batch entry")
    across = [-1, 1] if batch == 0 else [1, -1]
    entry, step = np.arange(x.shape[batch]).reshape(across), np.arange(x.shape[time]).reshape(across[::-1])
    last = Sub(reshaped(lengths, np.empty(lengths.shape[0]).reshape(across).shape), _integer(lengths, 1)).result
    last = Min(last, _integer(lengths, x.shape[time] - 1)).result
    steps = constant(step)
    places = Where(LessEqual(steps, last).result, Sub(last, steps).result, steps).result
    places = Mul(places, _integer(places, x.shape[1] if time == 0 else 1)).result
    places = Add(places, constant(entry * (x.shape[1] if batch == 0 else 1))).result
    return Gather(reshaped(x, (x.shape[0] * x.shape[1], *x.shape[2:])), places, 0).result


@rule("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(node: Node) -> Value:
    """Columns of x, named by their numbers."""
    x, columns = node.x, node.input(1)
    found = Gather(x, reshaped(columns, (columns.type.size,)), x.rank - 1).result
    return reshaped(found, (1, columns.type.size)) if x.rank == 1 else found

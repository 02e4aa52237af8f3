"""Rules: choosing by value.

How much is found depends on the data: it is a size of the run. A model that declares the size of a result gets that
much, and the run checks that so much is found. Where all operands are known, so is the size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ModelError
from .dims import is_open, upper
from .onnx_rules import Node, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import found_size, part, reshaped
from .ops import Compress, Counted, NonMaxSuppression, NonZero, TopK, Unique, array_of, constant
from .types import boolean, f32, i64, normal_axis
from .value import Value


def counted(node: Node, op: Counted, axes: Mapping[int, int], like: Value | None = None) -> tuple[Value, ...]:
    """The results of an op as far as something was found; `axes` names, by result, the dimension that
    counts; the results stand in the order of the node's outputs. As many elements of an operand `like` that are 1
    give a declared size."""
    known = {v: array_of(v) for v in op.operands}
    if all(a is not None for a in known.values()):
        arrays = op.compute(lambda v: np.asarray(known[v]))
        count = int(arrays[-1])
        return tuple(part(constant(arrays[r]), axis, 0, count) for r, axis in axes.items())
    count = _count(node, op, axes)
    if like is not None and not is_open(count) and not like.type.is_open:
        ones = np.arange(like.type.size) < count
        node.examples[like] = ones.reshape(like.shape).astype(like.dtype.numpy)
    return tuple(part(op.results[r], axis, 0, count) for r, axis in axes.items())


def _count(node: Node, op: Counted, axes: Mapping[int, int]) -> int:
    """How much is given: as much as the model declares, else what the run finds."""
    result, axis = next(iter(axes.items()))
    found, most = op.results[-1], op.results[result].shape[axis]
    given = (_declared(node, r, axis, op.results[r].rank) for r, axis in axes.items())
    declared = {size for size in given if size is not None}
    if not declared:
        return found_size(node, found, "count", most)
    count = declared.pop()
    if declared or count > upper(most):
        raise ModelError(f"a result of {count} is declared, at most {most} can be found")
    node.expects(found, count)
    return count


def _declared(node: Node, position: int, axis: int, rank: int) -> int | None:
    """The size that the model declares for a dimension of a result."""
    declared = node.declared[position] if position < len(node.declared) else None
    return declared.shape[axis] if declared is not None and declared.rank == rank else None


@rule("NonZero")
def non_zero(node: Node) -> Value:
    x = node.x if node.x.rank else reshaped(node.x, (1,))
    return counted(node, NonZero(x), {0: 1}, node.x)[0]


@rule("Compress")
def compress(node: Node) -> Value:
    """Slices where a condition holds."""
    condition, axis = node.input(1), node.attributes.get("axis")
    x = reshaped(node.x, (node.x.type.size,)) if axis is None else node.x
    op = Compress(x, reshaped(cast(condition, boolean), (condition.type.size,)), normal_axis(axis or 0, x.rank))
    return counted(node, op, {0: op.axis}, condition)[0]


@rule("Unique")
def unique(node: Node) -> tuple[Value, ...]:
    axis = node.attributes.get("axis")
    x = reshaped(node.x, (node.x.type.size,)) if axis is None else node.x
    op = Unique(x, normal_axis(axis or 0, x.rank), node.flag("sorted", 1))
    y, first, counts = counted(node, op, {0: op.axis, 1: 0, 3: 0})
    count = y.shape[op.axis]
    if not node.x.type.is_open and not is_open(count) and count:
        along = [-1 if a == op.axis else 1 for a in range(x.rank)]
        place = np.minimum(np.arange(x.shape[op.axis]), count - 1).reshape(along)
        node.examples[node.x] = np.broadcast_to(place, x.shape).reshape(node.x.shape).astype(x.dtype.numpy)
    return y, first, op.results[2], counts


@rule("NonMaxSuppression")
def non_max_suppression(node: Node) -> Value:
    """Operands that are left out: no box, no overlap, any score."""
    limit = _number(node, 2, np.array(0, np.int64))
    overlap = _number(node, 3, np.array(0, np.float32))
    least = _number(node, 4, None) if node.has(4) else None
    known = array_of(limit)
    most = node.x.shape[1] if known is None else max(0, min(int(known.reshape(-1)[0]), node.x.shape[1]))
    op = NonMaxSuppression(node.x, node.input(1), limit, overlap, least, most, node.flag("center_point_box"))
    return counted(node, op, {0: 0})[0]


def _number(node: Node, position: int, default: np.ndarray | None) -> Value:
    given = node.optional(position)
    if given is None:
        return constant(default)
    if given.type.size != 1:
        raise ModelError(f"operand {position} must be one number, is {given.type}")
    return reshaped(cast(given, f32 if given.dtype.is_float else i64), ())


@rule("TopK")
def top_k(node: Node) -> tuple[Value, Value]:
    """k is an attribute before version 10, an operand from then on."""
    x, axis = node.x, normal_axis(node.integer("axis", -1), node.x.rank)
    if node.version < 10:
        k = node.integer("k")
    else:
        known = array_of(node.input(1)) is not None
        k = node.known_int(1, "k") if known else node.declared_shape(0, "k")[axis]
    values, indices = TopK(x, k, axis, node.flag("largest", 1)).results
    return values, indices

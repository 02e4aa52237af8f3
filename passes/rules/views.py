"""Views that cancel, merge or do nothing."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import Elementwise, Expand, Gather, Reduce, Reshape, Slice, Transpose, array_of
from .match import joint_shape, made_by


def identity_reshape(op: Reshape) -> Value | Skip:
    """A reshape to the shape it has."""
    return op.x if op.x.shape == op.type.shape else Skip()


def reshape_of_reshape(op: Reshape) -> Value | Skip:
    """reshape(reshape(x)) = reshape(x)"""
    inner = made_by(op.x, Reshape)
    return Reshape(inner.x, op.shape).result if inner else Skip()


def identity_transpose(op: Transpose) -> Value | Skip:
    """A transpose that keeps the order."""
    return op.x if list(op.perm) == sorted(op.perm) else Skip()


def transpose_of_transpose(op: Transpose) -> Value | Skip:
    """transpose(transpose(x)) = transpose(x)"""
    inner = made_by(op.x, Transpose)
    return Transpose(inner.x, tuple(inner.perm[p] for p in op.perm)).result if inner else Skip()


def transpose_of_small_dims(op: Transpose) -> Value | Skip:
    """A transpose that moves only dimensions of size 1 is a reshape."""
    moved = [p for p in op.perm if op.x.shape[p] != 1]
    return Reshape(op.x, op.type.shape).result if moved == sorted(moved) else Skip()


def transposes_around_squeeze(op: Transpose) -> Value | Skip:
    """transpose(reshape(transpose(x))) = reshape(x) when the reshape only adds or drops sizes of 1 and the order is
    restored."""
    middle = made_by(op.x, Reshape)
    inner = made_by(middle.x, Transpose) if middle else None
    if middle is None or inner is None:
        return Skip()
    if _proper(middle.x.shape) != _proper(middle.type.shape):
        return Skip("the reshape between two transposes joins or splits dimensions", middle)
    through = [p for p in inner.perm if inner.x.shape[p] != 1]
    places = [i for i, d in enumerate(middle.type.shape) if d != 1]
    order = [through[places.index(p)] for p in op.perm if op.x.shape[p] != 1]
    if order != sorted(order):
        return Skip("the transposes before and after a reshape do not cancel", inner)
    return Reshape(inner.x, op.type.shape).result


def _proper(shape: tuple[int, ...]) -> list[int]:
    return [d for d in shape if d != 1]


def identity_slice(op: Slice) -> Value | Skip:
    """A slice of everything."""
    whole = op.sizes == op.x.shape and not any(op.starts)
    return op.x if whole and all(s == 1 for s, n in zip(op.steps, op.sizes, strict=True) if n > 1) else Skip()


def slice_of_slice(op: Slice) -> Value | Skip:
    """slice(slice(x)) = slice(x)"""
    inner = made_by(op.x, Slice)
    if inner is None:
        return Skip()
    places = zip(inner.starts, inner.steps, op.starts, strict=True)
    starts = tuple(first + step * second for first, step, second in places)
    steps = tuple(a * b for a, b in zip(inner.steps, op.steps, strict=True))
    return Slice(inner.x, starts, op.sizes, steps).result


def identity_expand(op: Expand) -> Value | Skip:
    """An expansion to the shape it has."""
    return op.x if op.x.shape == op.type.shape else Skip()


def expand_of_expand(op: Expand) -> Value | Skip:
    """expand(expand(x)) = expand(x)"""
    inner = made_by(op.x, Expand)
    return Expand(inner.x, op.shape).result if inner else Skip()


def expanded_operand(op: Elementwise) -> Value | Skip:
    """An operand that the operation would broadcast by itself needs no expansion."""
    for position, value in enumerate(op.operands):
        expanded = made_by(value, Expand)
        if expanded is None:
            continue
        operands = [expanded.x if i == position else v for i, v in enumerate(op.operands)]
        if joint_shape(operands) == op.type.shape:
            return _rebuilt(op, operands)
    if any(made_by(v, Expand) for v in op.operands):
        return Skip("the result needs the expanded shape")
    return Skip()


def _rebuilt(op: Elementwise, operands: list[Value]) -> Value:
    names = [f.name for f in op.operand_fields()]
    found: Value = op.replace(**dict(zip(names, operands, strict=True))).result
    return found


def reduce_of_small_dims(op: Reduce) -> Value | Skip:
    """Reducing dimensions of size 1 does nothing but drop them."""
    left = tuple(a for a in op.axes if op.x.shape[a] != 1)
    if left == op.axes:
        return Skip()
    if not left:
        return Reshape(op.x, op.type.shape).result
    return Reshape(Reduce(op.x, op.kind, left, op.keepdims).result, op.type.shape).result


def reduce_of_reduce(op: Reduce) -> Value | Skip:
    """Two reductions of one kind are one over all their axes."""
    inner = made_by(op.x, Reduce)
    if inner is None or inner.kind != op.kind:
        return Skip()
    if not inner.result.has_one_use:
        return Skip("the first reduction has another reader", inner)
    outer = op.axes if inner.keepdims else _before_dropping(op.axes, inner.axes)
    axes = tuple(sorted({*outer, *inner.axes}))
    return Reshape(Reduce(inner.x, op.kind, axes).result, op.type.shape).result


def _before_dropping(axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of a tensor as axes of the one from which some were dropped."""
    kept = [a for a in range(len(dropped) + max(axes, default=0) + 1) if a not in dropped]
    return tuple(kept[a] for a in axes)


def gather_as_slice(op: Gather) -> Value | Skip:
    """A gather at constant places an even step apart is a slice."""
    indices = array_of(op.indices)
    if indices is None or not indices.size:
        return Skip()
    extent = op.x.shape[op.axis]
    places = np.where(indices < 0, indices + extent, indices).astype(np.int64).reshape(-1)
    steps = np.diff(places)
    step = int(steps[0]) if steps.size else 1
    if step == 0 or not (steps == step).all():
        return Skip("the indices are not an even step apart")
    starts = tuple(int(places[0]) if a == op.axis else 0 for a in range(op.x.rank))
    sizes = tuple(places.size if a == op.axis else d for a, d in enumerate(op.x.shape))
    found = Slice(op.x, starts, sizes, tuple(step if a == op.axis else 1 for a in range(op.x.rank))).result
    return found if sizes == op.type.shape else Reshape(found, op.type.shape).result


def reshapes_around_elementwise(op: Reshape) -> Value | Skip:
    """reshape(f(reshape(x))) = reshape(f(x)) for a chain f of functions of one tensor"""
    chain, value = [], op.x
    while isinstance(value.producer, Elementwise) and (inner := _only_tensor(value.producer)) is not None:
        if not value.has_one_use:
            return _skip_shared(value, inner)
        chain.append(value.producer)
        value = inner
    source = made_by(value, Reshape)
    if source is None or not chain:
        return Skip()
    found = source.x
    for each in reversed(chain):
        found = _applied(each, found)
    return Reshape(found, op.shape).result


def _applied(op: Elementwise, x: Value) -> Value:
    """What an op of one tensor makes of another one."""
    old = _only_tensor(op)
    found: Value = op.with_operands(lambda v: x if v is old else v).result
    return found


def _skip_shared(value: Value, inner: Value) -> Skip:
    if made_by(inner, Reshape) is None:
        return Skip()
    return Skip("what stands between two reshapes has another reader", value)


def _only_tensor(op: Elementwise) -> Value | None:
    """The operand of an elementwise op whose other operands are single numbers."""
    tensors = {v: None for v in op.operands if v.type.size != 1 or array_of(v) is None or v.rank > 1}
    if len(tensors) != 1:
        return None
    (value,) = tensors
    return value if value.shape == op.type.shape and math.prod(value.shape) > 0 else None


def expand_then_reduce(op: Reduce) -> Value | Skip:
    """max, min or mean over the dimensions that were expanded = the operand"""
    expanded = made_by(op.x, Expand)
    if expanded is None or op.kind not in ("max", "min", "mean"):
        return Skip()
    source = (1,) * (op.x.rank - expanded.x.rank) + expanded.x.shape
    kept = tuple(1 if a in op.axes else d for a, d in enumerate(op.x.shape))
    if source != kept:
        return Skip("reduces more than what was expanded", expanded)
    return Reshape(expanded.x, op.type.shape).result


RULES = (
    identity_reshape, reshape_of_reshape, identity_transpose, transpose_of_transpose, transpose_of_small_dims,
    transposes_around_squeeze, identity_slice, slice_of_slice, identity_expand, expand_of_expand, expanded_operand,
    reduce_of_small_dims, reduce_of_reduce, gather_as_slice, reshapes_around_elementwise, expand_then_reduce,
)  # fmt: skip

"""Concatenations and the slices that take them apart."""

from __future__ import annotations

from ...ir import Skip, Value
from ...ir.ops import Concat, Slice
from .match import made_by


def concat_of_one(op: Concat) -> Value | Skip:
    """concat(x) = x"""
    return op.xs[0] if len(op.xs) == 1 else Skip()


def concat_of_nothing(op: Concat) -> Value | Skip:
    """Empty operands add nothing."""
    full = tuple(x for x in op.xs if x.type.size)
    return Concat(full, op.axis).result if full and len(full) < len(op.xs) else Skip()


def concat_of_concat(op: Concat) -> Value | Skip:
    """concat(concat(x, y), z) = concat(x, y, z)"""
    for value in op.xs:
        inner = made_by(value, Concat)
        if inner is None:
            continue
        if inner.axis != op.axis:
            return Skip(f"it joins along axis {op.axis}, its operand along axis {inner.axis}", inner)
        if not value.has_one_use:
            return Skip("the inner concatenation has another reader", inner)
        parts = [p for v in op.xs for p in (inner.xs if v is value else (v,))]
        return Concat(tuple(parts), op.axis).result
    return Skip()


def concat_of_slices(op: Concat) -> Value | Skip:
    """Slices of one tensor that follow one another are one slice; so a split that is put together again is nothing."""
    parts: list[Value] = []
    for value in op.xs:
        joined = _joined(parts[-1], value, op.axis) if parts else None
        parts = [*parts[:-1], joined] if joined is not None else [*parts, value]
    if len(parts) == len(op.xs):
        return Skip()
    return parts[0] if len(parts) == 1 else Concat(tuple(parts), op.axis).result


def _joined(first: Value, second: Value, axis: int) -> Value | None:
    a, b = made_by(first, Slice), made_by(second, Slice)
    if a is None or b is None or a.x is not b.x or a.steps != b.steps or a.steps[axis] < 1:
        return None
    if a.starts[axis] + a.sizes[axis] * a.steps[axis] != b.starts[axis]:
        return None
    if any(a.starts[i] != b.starts[i] or a.sizes[i] != b.sizes[i] for i in range(a.x.rank) if i != axis):
        return None
    sizes = tuple(n + b.sizes[axis] if i == axis else n for i, n in enumerate(a.sizes))
    return Slice(a.x, a.starts, sizes, a.steps).result


def slice_of_concat(op: Slice) -> Value | Skip:
    """A slice of one operand of a concatenation needs only that operand."""
    source = made_by(op.x, Concat)
    if source is None or not op.type.size:
        return Skip()
    axis, offset = source.axis, 0
    ends = op.starts[axis], op.starts[axis] + (op.sizes[axis] - 1) * op.steps[axis]
    for part in source.xs:
        if offset <= min(ends) and max(ends) < offset + part.shape[axis]:
            starts = tuple(s - offset if i == axis else s for i, s in enumerate(op.starts))
            return Slice(part, starts, op.sizes, op.steps).result
        offset += part.shape[axis]
    return Skip("the slice needs more than one operand of the concatenation", source)


RULES = (concat_of_one, concat_of_nothing, concat_of_concat, concat_of_slices, slice_of_concat)

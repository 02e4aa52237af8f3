"""Transposes move towards the outputs, past ops that do not mind the order of dimensions, so that pairs meet.

Every rule moves a transpose downwards only, so they come to an end. A transpose with another reader stays, for moving
it would make two.
"""

from __future__ import annotations

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import Cast, Concat, Elementwise, Pad, Reduce, Slice, Softmax, Transpose, array_of, constant
from .match import is_constant, made_by

SHARED = "the transpose has another reader"


def inverse(perm: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes one."""
    return tuple(int(p) for p in np.argsort(perm))


def is_free(value: Value, perm: tuple[int, ...]) -> bool:
    """Whether undoing a permutation of a tensor moves only dimensions of size 1, which is a mere reshape."""
    moved = [p for p in inverse(perm) if p < value.rank and value.shape[p] != 1]
    return value.rank == len(perm) and moved == sorted(moved)


def _sole(value: Value) -> Transpose | Skip:
    """The transpose that computes a value for one reader."""
    found = made_by(value, Transpose)
    if found is None:
        return Skip()
    return found if value.has_one_use else Skip(SHARED, found)


def transpose_past_elementwise(op: Elementwise) -> Value | Skip:
    """f(transpose(x), transpose(y), c) = transpose(f(x, y, transposed c))"""
    moved = [t for v in op.operands if (t := made_by(v, Transpose)) is not None]
    if not moved:
        return Skip()
    perm = moved[0].perm
    for value in dict.fromkeys(op.operands):
        reason = _unfit(op, value, perm)
        if reason:
            return Skip(reason, value)
    operands = [_before(v, perm) for v in op.operands]
    names = [f.name for f in op.operand_fields()]
    return Transpose(op.replace(**dict(zip(names, operands, strict=True))).result, perm).result


def _unfit(op: Elementwise, value: Value, perm: tuple[int, ...]) -> str:
    """Why an operand hinders moving a transpose past an op; empty when it does not."""
    found = made_by(value, Transpose)
    if found is None:
        small = (value.type.size == 1 or is_constant(value)) and value.rank <= len(perm)
        return "" if small or is_free(value, perm) else "another operand is not transposed"
    if found.perm != perm or op.type.rank != len(perm):
        return "the operands are transposed differently"
    alone = set(value.users) == {op}
    return "" if alone else SHARED


def _before(value: Value, perm: tuple[int, ...]) -> Value:
    """An operand as it is before the transpose."""
    found = made_by(value, Transpose)
    if found is not None:
        return found.x
    array = array_of(value)
    if value.type.size == 1 and (array is None or value.rank <= 1):
        return value
    if array is None:
        return Transpose(value, inverse(perm)).result
    full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return constant(full.transpose(inverse(perm)))


def transpose_past_cast(op: Cast) -> Value | Skip:
    """cast(transpose(x)) = transpose(cast(x))"""
    found = _sole(op.x)
    return found if isinstance(found, Skip) else Transpose(Cast(found.x, op.to).result, found.perm).result


def transpose_past_softmax(op: Softmax) -> Value | Skip:
    """softmax(transpose(x)) = transpose(softmax(x)) along the axis where it was"""
    found = _sole(op.x)
    if isinstance(found, Skip):
        return found
    return Transpose(Softmax(found.x, found.perm[op.axis], op.log).result, found.perm).result


def transpose_past_pad(op: Pad) -> Value | Skip:
    """pad(transpose(x)) = transpose(pad(x))"""
    found = _sole(op.x)
    if isinstance(found, Skip):
        return found
    rank, back = op.x.rank, inverse(found.perm)
    begins, ends = op.pads[:rank], op.pads[rank:]
    pads = tuple(side[back[i]] for side in (begins, ends) for i in range(rank))
    return Transpose(Pad(found.x, pads, op.value).result, found.perm).result


def transpose_past_slice(op: Slice) -> Value | Skip:
    """slice(transpose(x)) = transpose(slice(x))"""
    found = _sole(op.x)
    if isinstance(found, Skip):
        return found
    back = inverse(found.perm)
    starts, sizes, steps = (tuple(field[i] for i in back) for field in (op.starts, op.sizes, op.steps))
    return Transpose(Slice(found.x, starts, sizes, steps).result, found.perm).result


def transpose_past_reduce(op: Reduce) -> Value | Skip:
    """reduce(transpose(x)) = transpose(reduce(x)) over the axes where they were"""
    found = _sole(op.x)
    if isinstance(found, Skip):
        return found
    reduced = Reduce(found.x, op.kind, tuple(sorted(found.perm[a] for a in op.axes)), op.keepdims).result
    if op.keepdims:
        return Transpose(reduced, found.perm).result
    left = [p for i, p in enumerate(found.perm) if i not in op.axes]
    return Transpose(reduced, tuple(sorted(left).index(p) for p in left)).result


def transpose_past_concat(op: Concat) -> Value | Skip:
    """concat(transpose(x), transpose(y)) = transpose(concat(x, y))"""
    moved = [t for v in op.xs if (t := made_by(v, Transpose)) is not None]
    if not moved:
        return Skip()
    perm = moved[0].perm
    for value in op.xs:
        found = made_by(value, Transpose)
        if found is None and not is_constant(value) and not is_free(value, perm):
            return Skip("another operand is not transposed", value)
        if found is not None and (found.perm != perm or set(value.users) != {op}):
            return Skip("the operands are transposed differently" if found.perm != perm else SHARED, value)
    joined = Concat(tuple(_before_exactly(v, perm) for v in op.xs), perm[op.axis]).result
    return Transpose(joined, perm).result


def _before_exactly(value: Value, perm: tuple[int, ...]) -> Value:
    found = made_by(value, Transpose)
    return found.x if found is not None else Transpose(value, inverse(perm)).result


RULES = (
    transpose_past_elementwise, transpose_past_cast, transpose_past_softmax, transpose_past_pad, transpose_past_slice,
    transpose_past_reduce, transpose_past_concat,
)  # fmt: skip

"""Which operands an op may overwrite with its result, element by element."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir import Graph, Op, Value
from ..ir.ops import Cast, Elementwise, Fused, Reduce, Relayout, ScatterElements, ScatterRows

POINTWISE = (Elementwise, Cast)


def takes_over(op: Op) -> Iterator[Value]:
    """Operands of the result's type that are read, in every step, only at the element that is being written."""
    for operand in dict.fromkeys(op.operands):
        same = (operand.type.shape, operand.dtype.bytes) == (op.results[0].shape, op.results[0].dtype.bytes)
        if same and _read_in_place(op, operand):
            yield operand


def _read_in_place(op: Op, operand: Value) -> bool:
    if isinstance(op, POINTWISE):
        return True
    if isinstance(op, ScatterElements | ScatterRows):
        return operand is op.data and operand not in (op.indices, op.updates)
    if not isinstance(op, Fused):
        return False
    inner = [v for v, outer in zip(op.body.inputs, op.xs, strict=True) if outer is operand]
    return not any(isinstance(o, Reduce) for o in op.body) and all(_only_pointwise(op.body, v) for v in inner)


def _only_pointwise(body: Graph, value: Value) -> bool:
    """Whether a value of a body reaches the output through pointwise ops of its own shape alone."""
    readers = [u for u in value.users if u.results]
    return all(
        isinstance(u, POINTWISE)
        and not isinstance(u, Relayout)
        and u.type.shape == value.shape
        and _only_pointwise(body, u.result)
        for u in readers
    )

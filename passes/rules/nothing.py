"""Tensors without elements: there is nothing to compute in them, and nothing to read."""

from __future__ import annotations

import numpy as np

from ...ir import Op, Skip, Value
from ...ir.ops import Constant, ControlFlow, Impossible, constant


def nothing_computed(op: Op) -> tuple[Value, ...] | Skip:
    """An op whose results have no elements is as many constants without elements."""
    if not op.pure or not op.results or isinstance(op, Constant | ControlFlow | Impossible):
        return Skip()
    return tuple(map(_nothing, op.results)) if all(0 in r.shape for r in op.results) else Skip()


def nothing_read(op: Op) -> tuple[Value, ...] | Skip:
    """An input without elements is known, and so is what is computed from it alone."""
    empty = {v: _nothing(v) for v in op.operands if v.producer is None and 0 in v.shape}
    if not empty or not op.results:
        return Skip()
    return tuple(op.with_operands(lambda v: empty.get(v, v)).results)


def _nothing(value: Value) -> Value:
    return constant(np.zeros(value.shape, value.dtype.numpy), value.dtype)


RULES = (nothing_computed, nothing_read)

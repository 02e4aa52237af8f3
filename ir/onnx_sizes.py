"""Computing with shapes while importing, where some of their dimensions are open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .dims import Undecided, bounds, greatest, least
from .op import Op
from .ops import (
    Add,
    Cast,
    Concat,
    Div,
    Equal,
    Expand,
    Gather,
    Max,
    Min,
    Mul,
    Reduce,
    Reshape,
    Slice,
    Sub,
    Transpose,
    Where,
)
from .ops.sizes import Sizes, known_sizes, sizes
from .value import Value

Array = np.ndarray


def folded_sizes(op: Op) -> list[Value] | None:
    """The result of an op on dimensions, some of them open; None where it is none or the bounds do not decide it."""
    rule = _RULES.get(type(op))
    if rule is None or not any(isinstance(v.producer, Sizes) for v in op.operands) or not op.results[0].type.size:
        return None
    arrays = [known_sizes(v) for v in op.operands]
    if any(a is None or a.dtype.kind not in "iubO" for a in arrays):
        return None
    try:
        found = rule(op, *(a if a.dtype.kind == "b" else a.astype(object) for a in arrays if a is not None))
    except Undecided:
        return None
    return None if found is None else [sizes(np.asarray(found, object), op.results[0].dtype)]


def _divided(a: Any, b: Any) -> Any:
    if bounds(a)[0] < 0 or bounds(b)[0] < 0:
        raise Undecided("a negative number is divided")
    return a // b


def _same(a: Any, b: Any) -> bool:
    low, high = bounds(a - b)
    if low <= 0 <= high and low != high:
        raise Undecided(f"whether {a} is {b} depends on the run")
    return bool(low == high == 0)


def _each(function: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    return lambda op, a, b: np.frompyfunc(function, 2, 1)(a, b)


def _cast(op: Any, x: Array) -> Array | None:
    return x if op.to.is_integer and op.to.bits >= 32 else None


def _reduced(op: Any, x: Array) -> Array | None:
    combine = {"sum": np.add, "prod": np.multiply}.get(op.kind)
    if combine is None:
        return None
    return np.asarray(combine.reduce(x, axis=op.axes, keepdims=op.keepdims), object)


_RULES: dict[type, Callable[..., Array | None]] = {
    Add: lambda op, a, b: a + b,
    Sub: lambda op, a, b: a - b,
    Mul: lambda op, a, b: a * b,
    Div: _each(_divided),
    Min: _each(least),
    Max: _each(greatest),
    Equal: lambda op, a, b: np.frompyfunc(_same, 2, 1)(a, b).astype(bool),
    Where: lambda op, c, a, b: np.asarray(np.where(c.astype(bool), a, b)),
    Cast: _cast,
    Reduce: _reduced,
    Concat: lambda op, *xs: np.concatenate(xs, op.axis),
    Gather: lambda op, x, i: np.take(x, i.astype(np.int64), axis=op.axis),
    Reshape: lambda op, x: x.reshape(op.shape),
    Expand: lambda op, x: np.broadcast_to(x, op.shape),
    Transpose: lambda op, x: x.transpose(op.perm),
    Slice: lambda op, x: op.evaluate(x),
}

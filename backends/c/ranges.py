"""How large the numbers of a region can get: by intervals, from the types of its leaves and its constants."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...ir import Op, Value
from ...ir.ops import (
    Cast,
    Constant,
    ConvInteger,
    Elementwise,
    GroupedConvInteger,
    GroupedMatMulInteger,
    MatMulInteger,
    Pool,
    Relayout,
    array_of,
)
from ...ir.ops.quantize import Requantizing, limits
from ...ir.ops.stored import to_rows
from ...ir.scalar import Scalar, nodes_of
from .region import Region

Interval = tuple[float, float]
ANYTHING = (-math.inf, math.inf)
ROUNDING = 1.001
"""More than what rounded additions add to a sum."""


def interval_of(region: Region, value: Value) -> Interval:
    """An interval that holds every element of a value of the region."""
    known = array_of(region.outer.get(value, value))
    if known is not None and known.size:
        return float(known.min()), float(known.max())
    if value.dtype.is_integer:
        low, high = limits(value.dtype)
        return float(low), float(high)
    op = value.producer
    return ANYTHING if op is None or value in region.leaves else _result(region, op)


def exact_interval(region: Region, op: Requantizing) -> Interval:
    """An interval that holds what an op rounds."""
    return _expression(op.exact(*_arguments(op)[:-1]), [interval_of(region, v) for v in op.operands])


def _result(region: Region, op: Op) -> Interval:
    if isinstance(op, GroupedConvInteger | GroupedMatMulInteger):
        return _grouped_sum(region, op)
    if isinstance(op, ConvInteger | MatMulInteger):
        return _sum(region, op)
    if isinstance(op, Pool) and op.x.dtype.is_integer:
        low, high = limits(op.x.dtype)
        taps = math.prod(op.kernel_shape) if op.kind != "max" else 1
        return float(low * taps), float(high * taps)
    if isinstance(op, Cast | Relayout):
        return interval_of(region, op.operands[0])
    if isinstance(op, Elementwise) and not isinstance(op, Constant):
        return _expression(op.expression, [interval_of(region, v) for v in op.operands])
    return ANYTHING


def _sum(region: Region, op: ConvInteger | MatMulInteger) -> Interval:
    weights, bias = (None if v is None else array_of(region.outer.get(v, v)) for v in (op.operands[1], op.bias))
    if weights is None or (op.bias is not None and bias is None):
        return ANYTHING
    axes = tuple(range(1, 4)) if isinstance(op, ConvInteger) else (0,)
    reach = 2 ** op.operands[0].dtype.bits - 1
    most = reach * np.abs(weights.astype(np.float64)).sum(axes)
    total = float((most + (0 if bias is None else np.abs(bias.astype(np.float64)))).max(initial=0))
    return -total, total


def _grouped_sum(region: Region, op: GroupedConvInteger | GroupedMatMulInteger) -> Interval:
    operands = (op.operands[1], op.scale, op.bias)
    weights, scale, bias = (None if v is None else array_of(region.outer.get(v, v)) for v in operands)
    if weights is None or scale is None or (op.bias is not None and bias is None):
        return ANYTHING
    rows = np.abs(to_rows(weights).astype(np.float64))
    spread = np.repeat(np.abs(scale.astype(np.float64)), op.group, axis=1)[:, : rows.shape[1]]
    most = 255 * (rows * spread).sum(1) + (0 if bias is None else np.abs(bias.astype(np.float64)))
    total = float(most.max(initial=0)) * ROUNDING
    return -total, total


def _arguments(op: Elementwise) -> list[Scalar]:
    return [Scalar("arg", literal=float(i)) for i in range(len(op.operands))]


def _expression(expression: Scalar, operands: list[Interval]) -> Interval:
    found: dict[int, Interval] = {}
    for node in nodes_of(expression)[0]:
        if node.primitive == "arg":
            found[id(node)] = operands[int(node.literal)]
        elif node.primitive == "const":
            found[id(node)] = (node.literal, node.literal)
        else:
            rule = _RULES.get(node.primitive)
            found[id(node)] = rule(*(found[id(a)] for a in node.args)) if rule else ANYTHING
    return found[id(expression)]


def _corners(combine: Callable[[float, float], float]) -> Callable[[Interval, Interval], Interval]:
    def rule(a: Interval, b: Interval) -> Interval:
        values = [combine(x, y) for x in a for y in b]
        return ANYTHING if any(map(math.isnan, values)) else (min(values), max(values))

    return rule


def _divide(a: Interval, b: Interval) -> Interval:
    return ANYTHING if b[0] <= 0 <= b[1] else _corners(lambda x, y: x / y)(a, b)


_RULES: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _corners(lambda x, y: x * y),
    "div": _divide,
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "neg": lambda a: (-a[1], -a[0]),
    "round": lambda a: (a[0] - 0.5, a[1] + 0.5),
}

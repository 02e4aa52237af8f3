"""Slice and Pad whose operands only the run knows: elements gathered at places that it computes.

The model declares the shape of the result; the run checks that its operands make that shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from .dims import is_open
from .onnx_rules import Node, NotCovered
from .ops import (
    Abs,
    Add,
    And,
    Cast,
    Div,
    Equal,
    Expand,
    Fmod,
    Gather,
    Less,
    LessEqual,
    Max,
    Min,
    Mul,
    Reduce,
    Reshape,
    Slice,
    Sub,
    Where,
    constant,
    like,
)
from .types import boolean, i64
from .value import Value

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """Numbers for some dimensions, and the axes that they belong to."""

    axes: Value

    @staticmethod
    def of(node: Node, position: int, count: int) -> Named:
        """Axes in an operand, the first ones where it is left out."""
        given = flat(node.input(position)) if node.has(position) else constant(np.arange(count))
        if given.shape != (count,):
            raise ModelError(f"axes {given.type} do not fit {count} numbers")
        from_end = Add(given, like(given, node.x.rank)).result
        return Named(Where(Less(given, like(given, 0)).result, from_end, given).result)

    def at(self, axis: int, numbers: Value, default: int) -> Value:
        """The number of an axis, a default where it has none."""
        here = Equal(self.axes, like(self.axes, axis)).result
        number = _sum(Where(here, numbers, like(numbers, 0)).result)
        has = _sum(Cast(here, i64).result)
        return Where(Cast(has, boolean).result, number, like(number, default)).result


def flat(value: Value) -> Value:
    """A list of integers in 64 bits."""
    return Reshape(value if value.dtype == i64 else Cast(value, i64).result, (value.type.size,)).result


def _sum(numbers: Value) -> Value:
    return Reduce(numbers, "sum", (0,), False).result


def declared(node: Node, what: str) -> Shape:
    """The declared shape of the result; `NotCovered` where there is none, or the operand's shape is open."""
    shape = node.declared_first
    if shape is None or len(shape) != node.x.rank or any(map(is_open, node.x.shape)) or 0 in node.x.shape:
        reason = f"its {what} are not known at compile time, nor is the size of its result declared"
        raise NotCovered(reason, f"constant {what}, or a result of declared size")
    return shape


def _steps(count: int) -> Value:
    return constant(np.arange(count))


def _clamped(places: Value, extent: int) -> Value:
    """Places that exist, whatever the run finds."""
    return Max(Min(places, like(places, extent - 1)).result, like(places, 0)).result


# --- Slice --------------------------------------------------------------------------------------------------------


def sliced(node: Node) -> Value:
    """Slice with axes or steps of the run."""
    shape, x = declared(node, "axes and steps"), node.x
    starts, ends = flat(node.input(1)), flat(node.input(2))
    count = starts.shape[0]
    axes = Named.of(node, 3, count)
    steps = flat(node.input(4)) if node.has(4) else constant(np.ones(count, np.int64))
    _example(node, shape)
    for axis, extent in enumerate(x.shape):
        start, end = axes.at(axis, starts, 0), axes.at(axis, ends, extent)
        x = _gathered(node, x, axis, (start, end, axes.at(axis, steps, 1)), shape[axis])
    return x


def _gathered(node: Node, x: Value, axis: int, bounds: tuple[Value, Value, Value], size: int) -> Value:
    start, end, step = bounds
    extent = x.shape[axis]
    forward = Less(like(step, 0), step).result
    least, most = (Where(forward, like(step, a), like(step, b)).result for a, b in ((0, -1), (extent, extent - 1)))
    start, end = (_within(place, extent, least, most) for place in (start, end))
    span = Where(forward, Sub(end, start).result, Sub(start, end).result).result
    stride = Max(Abs(step).result, like(step, 1)).result
    rounded = Sub(Add(Max(span, like(span, 0)).result, stride).result, like(span, 1)).result
    node.expects(Div(rounded, stride).result, size)
    node.expects(Cast(Equal(step, like(step, 0)).result, i64).result, 0)
    if size == 0:
        return Slice(x, (0,) * x.rank, (*x.shape[:axis], 0, *x.shape[axis + 1 :])).result
    places = Add(start, Mul(_steps(size), step).result).result
    return Gather(x, _clamped(places, extent), axis).result


def _within(place: Value, extent: int, least: Value, most: Value) -> Value:
    """A bound as Python counts and clamps it."""
    counted = Where(Less(place, like(place, 0)).result, Add(place, like(place, extent)).result, place).result
    return Max(Min(counted, most).result, least).result


def _example(node: Node, shape: Shape) -> None:
    """Operands that give the declared shape, where the first elements of each dimension do."""
    count = node.input(1).type.size
    cut = [i for i, (a, b) in enumerate(zip(node.x.shape, shape, strict=True)) if a != b]
    axes = sorted([*cut, *(i for i in range(node.x.rank) if i not in cut)][:count])
    if len(cut) > count or any(shape[i] > node.x.shape[i] for i in cut) or not node.has(3):
        return
    numbers = {1: [0] * count, 2: [shape[a] for a in axes], 3: axes, 4: [1] * count}
    for position, listed in numbers.items():
        if (value := node.optional(position)) is not None:
            node.examples[value] = np.array(listed, value.dtype.numpy).reshape(value.shape)


# --- Pad ----------------------------------------------------------------------------------------------------------


def padded(node: Node) -> Value:
    """Pad with widths of the run."""
    shape, x, mode = declared(node, "pads"), node.x, node.text("mode")
    if 0 in shape:
        raise NotCovered("its pads are not known at compile time, and leave nothing", "constant pads")
    pads = flat(node.input(1))
    count = pads.shape[0] // 2
    axes = Named.of(node, 3, count)
    first, last = (Gather(pads, constant(np.arange(n, n + count)), 0).result for n in (0, count))
    if mode not in _PLACES and mode != "constant":
        raise ModelError(f"there is no mode '{mode}'")
    inside: Value | None = None
    for axis, extent in enumerate(x.shape):
        begin, end = axes.at(axis, first, 0), axes.at(axis, last, 0)
        node.expects(Add(Add(begin, end).result, like(begin, extent)).result, shape[axis])
        places = Sub(_steps(shape[axis]), begin).result
        if mode == "constant":
            here = Reshape(_is_inside(places, extent), (shape[axis], *[1] * (x.rank - axis - 1))).result
            inside = here if inside is None else And(inside, here).result
        else:
            places = _PLACES[mode](places, extent)
        x = Gather(x, _clamped(places, extent), axis).result
    if inside is None:
        return x
    return Where(Expand(inside, shape).result, x, _filling(node, x)).result


def _filling(node: Node, x: Value) -> Value:
    if not node.has(2):
        return like(x, 0)
    given = node.input(2)
    if given.type.size != 1:
        raise ModelError(f"constant_value (operand 2) must be one number, is {given.type}")
    return Reshape(given, ()).result


def _is_inside(places: Value, extent: int) -> Value:
    return And(LessEqual(like(places, 0), places).result, Less(places, like(places, extent)).result).result


def _modulo(places: Value, period: int) -> Value:
    """The remainder that is not negative."""
    by = like(places, period)
    return Fmod(Add(Fmod(places, by).result, by).result, by).result


def _reflected(places: Value, extent: int) -> Value:
    if extent == 1:
        return Mul(places, like(places, 0)).result
    period = 2 * (extent - 1)
    place = _modulo(places, period)
    return Min(place, Sub(like(place, period), place).result).result


_PLACES: dict[str, Callable[[Value, int], Value]] = {"reflect": _reflected, "edge": _clamped, "wrap": _modulo}
"""Where the elements of a border come from, by mode: from places before and behind a dimension of some extent."""

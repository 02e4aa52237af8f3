"""Limits: relu, clip, min and max that meet each other or functions of known range."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import Abs, Clip, Exp, HardSigmoid, Max, Min, Relu, Sigmoid, Softmax, Softplus, Sqrt, Tanh
from ...ir.types import DType
from .match import both_ways, made_by, number, same_type

EXACT_INTEGER = 2**53
"""Clip holds its limits as doubles; larger integers would be rounded."""


def _limited(value: Value, cls: type[Max] | type[Min]) -> tuple[Value, float] | None:
    """x and the number of max(x, number) or min(x, number)."""
    op = made_by(value, cls)
    for x, y in both_ways(op) if op is not None else ():
        found = number(y)
        if found is not None and abs(found) < EXACT_INTEGER and same_type(x, value):
            return x, found
    return None


def max_with_zero(op: Max) -> Value | Skip:
    """max(x, 0) = relu(x)"""
    found = _limited(op.result, Max)
    return Relu(found[0]).result if found is not None and found[1] == 0 else Skip()


def min_of_max(op: Min) -> Value | Skip:
    """min(max(x, low), high) = clip(x, low, high)"""
    outer = _limited(op.result, Min)
    inner = _limited(outer[0], Max) if outer else None
    return Clip(inner[0], inner[1], outer[1]).result if outer and inner else Skip()


def max_of_min(op: Max) -> Value | Skip:
    """max(min(x, high), low) = clip(x, low, high) where low <= high"""
    outer = _limited(op.result, Max)
    inner = _limited(outer[0], Min) if outer else None
    if not outer or not inner:
        return Skip()
    if outer[1] > inner[1]:
        return Skip(f"the limits {outer[1]:g} and {inner[1]:g} leave no range", inner[0])
    return Clip(inner[0], outer[1], inner[1]).result


def min_of_relu(op: Min) -> Value | Skip:
    """min(relu(x), high) = clip(x, 0, high)"""
    outer = _limited(op.result, Min)
    inner = made_by(outer[0], Relu) if outer else None
    return Clip(inner.x, 0.0, outer[1]).result if outer and inner else Skip()


def limits_of(value: Value) -> tuple[float, float] | None:
    """The range that an op keeps its result in; None where it keeps none."""
    op = value.producer
    if isinstance(op, Clip):
        return min(op.low, op.high), op.high
    if isinstance(op, Relu | Abs | Exp | Sqrt | Softplus):
        return 0.0, math.inf
    if isinstance(op, Sigmoid | HardSigmoid) or (isinstance(op, Softmax) and not op.log):
        return 0.0, 1.0
    return (-1.0, 1.0) if isinstance(op, Tanh) else None


def relu_of_limited(relu: Relu) -> Value | Skip:
    """relu(x) = x where x is never negative"""
    limits = limits_of(relu.x)
    return relu.x if limits and limits[0] >= 0 else Skip()


def clip_of_limited(clip: Clip) -> Value | Skip:
    """clip(x, low, high) = x where x keeps within them"""
    limits = limits_of(clip.x)
    return clip.x if limits and clip.low <= limits[0] and limits[1] <= clip.high else Skip()


def clip_of_clip(clip: Clip) -> Value | Skip:
    """Two clips, or a clip of a relu, are one clip to the common range."""
    inner = clip.x.producer
    if not isinstance(inner, Clip | Relu):
        return Skip()
    low, high = (inner.low, inner.high) if isinstance(inner, Clip) else (0.0, math.inf)
    return _common(clip, inner.x, (low, high), (clip.low, clip.high))


def relu_of_clip(relu: Relu) -> Value | Skip:
    """relu(clip(x, low, high)) = clip(x, max(0, low), high)"""
    inner = made_by(relu.x, Clip)
    return _common(relu, inner.x, (inner.low, inner.high), (0.0, math.inf)) if inner else Skip()


def _common(outer: Clip | Relu, x: Value, first: tuple[float, float], second: tuple[float, float]) -> Value | Skip:
    low, high = max(first[0], second[0]), min(first[1], second[1])
    if first[0] > first[1] or second[0] > second[1] or low > high:
        return Skip("the two ranges have nothing in common", outer.x)
    return Clip(x, low, high).result


def clip_without_effect(clip: Clip) -> Value | Skip:
    """clip to all numbers = x, clip to all positive ones = relu(x)"""
    lowest, highest = _extremes(clip.x.dtype)
    if clip.high < highest:
        return Skip()
    if clip.low <= lowest:
        return clip.x
    return Relu(clip.x).result if clip.low == 0 else Skip()


def _extremes(dtype: DType) -> tuple[float, float]:
    """Limits that change no number of a type; of floats, only infinite ones leave infinities alone."""
    if dtype.is_float:
        return -math.inf, math.inf
    info = np.iinfo(dtype.numpy)
    return float(info.min), float(info.max)


RULES = (
    max_with_zero, min_of_max, max_of_min, min_of_relu, relu_of_limited, clip_of_limited, clip_of_clip, relu_of_clip,
    clip_without_effect,
)  # fmt: skip

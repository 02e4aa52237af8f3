"""Small questions that rules ask about values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from ...ir import Op, Value
from ...ir.ops import Constant, Div, Mul, array_of
from ...ir.types import broadcast

Wanted = TypeVar("Wanted", bound=Op)


def made_by(value: Value | None, cls: type[Wanted]) -> Wanted | None:
    """The op that computes a value when it is of a class."""
    producer = value.producer if value is not None else None
    return producer if isinstance(producer, cls) else None


def number(value: Value | None) -> float | None:
    """The number that fills a constant, None for other values; looks at few elements of most large constants."""
    array = array_of(value)
    if array is None or not array.size or array.dtype == bool:
        return None
    first = array[(0,) * array.ndim]
    if array[(-1,) * array.ndim] != first or not bool((array == first).all()):
        return None
    return float(first)


def is_number(value: Value | None, wanted: float) -> bool:
    """Whether a value is a constant filled with one number."""
    return number(value) == wanted


def is_constant(value: Value) -> bool:
    return isinstance(value.producer, Constant)


def both_ways(op: Any) -> Iterator[tuple[Value, Value]]:
    """The operands x and y of a commutative op, in both orders."""
    yield op.x, op.y
    yield op.y, op.x


def close(a: float | None, b: float) -> bool:
    """Whether a number from a model means another one: equal to about single precision."""
    return a is not None and abs(a - b) <= 2e-6 * max(1.0, abs(b))


def same_type(a: Value, b: Value) -> bool:
    return (a.dtype, a.shape) == (b.dtype, b.shape)


def fits(small: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape broadcasts into another one without making it larger."""
    aligned = (1,) * (len(shape) - len(small)) + tuple(small)
    return len(aligned) == len(shape) and all(d in (1, n) for d, n in zip(aligned, shape, strict=True))


def joint_shape(values: list[Value]) -> tuple[int, ...]:
    return broadcast(*(v.shape for v in values))


def factored(value: Value) -> tuple[float, Value]:
    """A value as a number times another value, read through multiplications and divisions by numbers.

    Below the value itself, one with several readers is not looked into: it is what others call x.
    """
    factor, step = 1.0, _one_factor(value)
    while step is not None:
        factor, value = factor * step[0], step[1]
        step = _one_factor(value) if value.has_one_use else None
    return factor, value


def _one_factor(value: Value) -> tuple[float, Value] | None:
    op = value.producer
    if isinstance(op, Mul):
        for x, y in both_ways(op):
            found = number(y)
            if found is not None and same_type(x, value):
                return found, x
    if isinstance(op, Div):
        found = number(op.y)
        if found and same_type(op.x, value):
            return 1 / found, op.x
    return None


def is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())

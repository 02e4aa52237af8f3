"""Elementwise ops at random: operands and element types follow from their declarations and from ONNX."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ir import REGISTRY, DType, Op, Value
from ...ir.onnx_element_types import element_types
from ...ir.onnx_export import OPSET
from ...ir.ops import Elementwise, Where
from ...ir.types import DTYPES, boolean, f32
from .growth import Growth

SPELLED = {
    "pow": "Pow", "fmod": "Mod", "min": "Min", "max": "Max", "clip": "Clip", "silu": "Sigmoid", "where": "Identity",
    "reduce-sum": "ReduceSum", "reduce-max": "ReduceMax", "arg-reduce": "ArgMax", "top-k": "TopK", "unique": "TopK",
    "cumulative": "CumSum",
}  # fmt: skip
"""ONNX operators of the same element types, for ops that were declared without one."""

INTEGERS = tuple(DTYPES[n] for n in ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"))
UNIT = ("asin", "acos")
SMALL = ("exp", "portable-exp", "sin", "cos", "elu", "selu", "celu", "mish", "softplus")
"""Of larger operands these tell little: all ones, or all noise."""


def kinds_of(name: str) -> tuple[DType, ...]:
    """The element types of the operands."""
    if name.startswith("shift"):
        return INTEGERS
    if name.startswith("portable"):
        return (f32,)
    if name == "shrink":
        return element_types("Exp", OPSET)
    return element_types(SPELLED.get(name) or REGISTRY[name].onnx, OPSET)


def elementwise(g: Growth, name: str) -> Value:
    """An elementwise op on a value and others that broadcast with it."""
    cls: Any = REGISTRY[name]
    fields = [f.name for f in cls.operand_fields()]
    x = g.of_kind(g.value(), kinds_of(name))
    if issubclass(cls, Where):
        shapes = [x.shape, *(g.broadcasting(x) for _ in "ab")]
        operands = [g.partner(x, shape) for shape in shapes[1:]]
        flag = g.constant(boolean)
        condition = g.partner(flag, shapes[0] if g.chance(0.5) else g.broadcasting(x))
        return g.put(cls(condition, *operands))
    operands = [x, *(g.partner(x, g.broadcasting(x)) for _ in fields[1:])]
    if name != "prelu" and g.chance(0.3):
        operands.reverse()
    return g.put(cls(*_in_domain(g, name, operands), **_attributes(g, name, cls, x.dtype)))


def _in_domain(g: Growth, name: str, operands: list[Value]) -> list[Value]:
    """Operands for which the op has a well-conditioned result."""
    first, *rest = operands
    if name in UNIT:
        return [g.limited(first, -0.75, 0.75)]
    if name in SMALL:
        return [g.limited(first, -6, 6)]
    if name in ("log", "sqrt", "reciprocal"):
        return [g.positive(first)]
    if name == "pow":
        return [g.limited(g.positive(first), 0, 6), g.limited(rest[0], 0 if first.dtype.is_integer else -3, 3)]
    if name in ("div", "fmod"):
        return [first, g.limited(g.positive(rest[0]), 0.5 if first.dtype.is_float else 1, 1e4)]
    if name.startswith("shift"):
        return [first, g.limited(rest[0], 0, first.dtype.bits - 1)]
    return operands


def _attributes(g: Growth, name: str, cls: type[Op], kind: DType) -> dict[str, Any]:
    fields = {f.name: f for f in cls.attribute_fields()}
    if name == "clip":
        step = 1 if kind.is_integer else 0.5
        low = g.number(0 if kind.name.startswith("u") else -4, 2) * step
        return {"low": low, "high": low + g.number(0, 6) * step}
    if name == "gelu":
        return {"approximate": g.one(("none", "tanh"))}
    numbers = {n: f.default for n, f in fields.items() if isinstance(f.default, float)}
    return {n: g.one((0.25, 0.5, 1.5, as_float32(number))) for n, number in numbers.items()}


def as_float32(number: float) -> float:
    """An attribute as ONNX holds it."""
    return float(np.float32(number))


def names() -> list[str]:
    """The elementwise ops that fit this; quantization has operands of its own."""
    return [
        name for name, cls in REGISTRY.items()
        if issubclass(cls, Elementwise) and "zero" not in {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        and cls.__module__.startswith("edgec.")
    ]  # fmt: skip

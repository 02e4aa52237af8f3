"""Operators, primitives of scalar expressions, and stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from parts.writing import part, sentence, table

from edgec.ir import REGISTRY, Op, scalar
from edgec.ir.ops import Elementwise
from edgec.ir.verify import STAGES


def core_operators() -> list[type[Op]]:
    return [cls for _, cls in sorted(REGISTRY.items()) if cls.__module__.startswith("edgec.")]


@part
def operators() -> str:
    rows = [(f"`{cls.name}`", _fields(cls), _onnx(cls), _meaning(cls)) for cls in core_operators()]
    return table(("operator", "operands; attributes", "ONNX", "what it computes"), rows)


def _fields(cls: type[Op]) -> str:
    operands = ", ".join(_operand(f) for f in cls.operand_fields())
    attributes = ", ".join(_attribute(f) for f in cls.attribute_fields())
    return f"{operands}; {attributes}" if attributes else operands


def _operand(field: dataclasses.Field[Any]) -> str:
    kind = str(field.type)
    return field.name + ("..." if "tuple" in kind else "?" if "None" in kind else "")


def _attribute(field: dataclasses.Field[Any]) -> str:
    return field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}"


def _onnx(cls: type[Op]) -> str:
    return f"{cls.domain}::{cls.onnx}" if cls.domain else cls.onnx


def _meaning(cls: type[Op]) -> str:
    """The docstring, or for an elementwise operator without one its expression."""
    if cls.__doc__ and cls.__doc__ != cls.__mro__[1].__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        return sentence(cls)
    if issubclass(cls, Elementwise):
        op = next(iter(cls.samples()))
        names = [f.name for f in cls.operand_fields()]
        return f"`{_formula(op.expression, names)}`"
    return ""


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "=="}


def _formula(expression: scalar.Scalar, names: Sequence[str]) -> str:
    if expression.primitive == "arg":
        return names[int(expression.literal)]
    if expression.primitive == "const":
        return f"{expression.literal:g}"
    args = [_formula(a, names) for a in expression.args]
    if expression.primitive in INFIX:
        return f"({args[0]} {INFIX[expression.primitive]} {args[1]})"
    return f"{expression.primitive}({', '.join(args)})"


@part
def primitives() -> str:
    by_arity: dict[int, list[str]] = {}
    for name, primitive in scalar.PRIMITIVES.items():
        by_arity.setdefault(primitive.arity, []).append(f"`{name}`")
    words = {1: "one operand", 2: "two operands", 3: "three operands"}
    return "\n".join(f"- {words[arity]}: {', '.join(names)}" for arity, names in sorted(by_arity.items()))


@part
def stages() -> str:
    rows = [(f"`{stage}`", ", ".join(f"`{n}`" for n in sorted(illegal)) or "-") for stage, illegal in STAGES.items()]
    return table(("stage", "operators that must not occur"), rows)

"""The rule of operators whose class says `onnx="X"`: operands by position, attributes by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..escaping import escape
from .onnx_rules import Node, NotCovered, Rule
from .op import RENDERED, Op
from .value import Value


def generic_rule(domain: str, op_type: str) -> Rule | None:
    """A rule for an ONNX operator that one class renders as it is, None where there is none."""
    cls = RENDERED.get((domain, op_type))
    return None if cls is None else lambda node: _instance(cls, node)


def _instance(cls: type[Op], node: Node) -> Value | tuple[Value | None, ...]:
    operands = _operands(cls, node)
    fields = {f.name: f for f in cls.attribute_fields()}
    unknown = [name for name, value in node.attributes.items() if name not in fields and value is not None]
    if unknown:
        raise NotCovered(f"attribute '{escape(unknown[0])}'")
    made: Any = cls
    attributes = {name: _fitting(fields[name], value) for name, value in node.attributes.items()}
    results: tuple[Value, ...] = made(*operands, **attributes).results
    return results[0] if len(results) == 1 else results


def _operands(cls: type[Op], node: Node) -> list[Any]:
    fields = cls.operand_fields()
    if len(fields) == 1 and "tuple" in str(fields[0].type):
        return [tuple(node.given)]
    required = [f for f in fields if f.default is dataclasses.MISSING]
    if len(node.inputs) > len(fields):
        raise NotCovered(f"it has {len(node.inputs)} operands", f"{len(fields)}")
    return [node.input(i) if f in required else node.optional(i) for i, f in enumerate(fields)]


def _fitting(field: dataclasses.Field[Any], value: Any) -> Any:
    """An attribute in the type of the class: yes or no as bool."""
    return bool(value) if field.type in (bool, "bool") else value

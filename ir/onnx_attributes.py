"""The attributes of a node as plain Python values, held to what ONNX says about them where ONNX knows the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx
import onnx.defs
from onnx import AttributeProto

from ..errors import ModelError
from ..escaping import escape
from .onnx_tensors import Tensors


@dataclass(frozen=True)
class Contract:
    """What ONNX says of an operator at a version: its attributes' types and defaults, how many operands and results."""

    kinds: Mapping[str, int]
    required: frozenset[str]
    defaults: Mapping[str, Any]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    schema: Any


@lru_cache(maxsize=4096)
def contract(domain: str, op_type: str, version: int) -> Contract | None:
    """The contract of an operator, None for one that ONNX does not know."""
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except (onnx.defs.SchemaError, TypeError, ValueError):
        return None
    attributes: dict[str, Any] = dict(schema.attributes)
    kinds = {name: int(a.type.value) for name, a in attributes.items()}
    required = frozenset(name for name, a in schema.attributes.items() if a.required)
    protos = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.type}
    defaults = {name: _plain(proto) for name, proto in protos.items()}
    inputs, outputs = (schema.min_input, schema.max_input), (schema.min_output, schema.max_output)
    return Contract(kinds, required, defaults, inputs, outputs, schema)


def _plain(attribute: onnx.AttributeProto) -> Any:
    """The value of an attribute that holds numbers, text or a graph."""
    kind = attribute.type
    if kind == AttributeProto.FLOAT:
        return float(attribute.f)
    if kind == AttributeProto.INT:
        return int(attribute.i)
    if kind == AttributeProto.STRING:
        return _text(attribute.s)
    if kind == AttributeProto.FLOATS:
        return tuple(float(v) for v in attribute.floats)
    if kind == AttributeProto.INTS:
        return tuple(int(v) for v in attribute.ints)
    if kind == AttributeProto.STRINGS:
        return tuple(_text(v) for v in attribute.strings)
    return attribute.g if kind == AttributeProto.GRAPH else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def read_attribute(attribute: onnx.AttributeProto, tensors: Tensors) -> Any:
    """The value of any attribute; tensors become arrays."""
    if attribute.type == AttributeProto.TENSOR:
        return tensors.array(attribute.t)
    if attribute.type == AttributeProto.SPARSE_TENSOR:
        return tensors.sparse(attribute.sparse_tensor)
    return _plain(attribute)


def resolved(node: onnx.NodeProto, outer: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """A node whose references to attributes of the function around it are replaced; without one, the attribute goes."""
    if not any(a.ref_attr_name for a in node.attribute):
        return node
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.ClearField("attribute")
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            made.attribute.append(attribute)
        elif attribute.ref_attr_name in outer:
            made.attribute.append(outer[attribute.ref_attr_name])
            made.attribute[-1].name = attribute.name
    return made


def by_name(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    """A node's attributes."""
    found = {attribute.name: attribute for attribute in node.attribute}
    if len(found) < len(node.attribute):
        names = [attribute.name for attribute in node.attribute]
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(f"attribute '{escape(twice)}' is given twice")
    return found


def read_attributes(
    protos: Mapping[str, onnx.AttributeProto], tensors: Tensors, known: Contract | None
) -> dict[str, Any]:
    """All attributes of a node, with defaults, checked against its contract."""
    values = {name: read_attribute(proto, tensors) for name, proto in protos.items()}
    if known is None:
        return values
    for name, proto in protos.items():
        if name not in known.kinds:
            hint = f"known: {', '.join(sorted(known.kinds)) or 'none'}"
            raise ModelError(f"unknown attribute '{escape(name)}'", hint=hint)
        if proto.type != known.kinds[name]:
            wanted = AttributeProto.AttributeType.Name(known.kinds[name]).lower()
            raise ModelError(f"attribute '{escape(name)}' must be of type {wanted}")
    missing = sorted(known.required - protos.keys())
    if missing:
        raise ModelError(f"attribute '{missing[0]}' is missing")
    return {**known.defaults, **values}


def check_counts(node: onnx.NodeProto, known: Contract | None) -> None:
    """Refuse a node with more or fewer operands or results than its operator has."""
    if known is None:
        return
    for what, names, (low, high) in (("operands", node.input, known.inputs), ("results", node.output, known.outputs)):
        if not low <= len(names) <= high:
            takes = f"{low} to {high}" if high > low else f"{low}"
            raise ModelError(f"it has {len(names)} {what}, its operator takes {takes}")

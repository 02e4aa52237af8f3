"""Functions: those that a model brings along, and the bodies that ONNX ships for operators made of simpler ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import onnx
import onnx.helper
import onnx.shape_inference

from ..errors import ModelError
from ..escaping import escape
from .onnx_attributes import Contract
from .onnx_read import subgraphs
from .onnx_tensors import ELEMENT_TYPES
from .types import TensorType

Key = tuple[str, str, str]
"""Domain, name, overload."""
_CODES = {dtype: code for code, dtype in ELEMENT_TYPES.items()}


def standard(domain: str) -> str:
    """A domain by its usual name: ai.onnx is the empty one."""
    return "" if domain == "ai.onnx" else domain


def key_of(node: onnx.NodeProto) -> Key:
    """What a node calls."""
    return standard(node.domain), node.op_type, node.overload


def opsets_of(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Version by domain."""
    return {standard(i.domain): i.version for i in imports}


def functions_of(model: onnx.ModelProto) -> dict[Key, onnx.FunctionProto]:
    """The model's own functions; `ModelError` for two of one name and for functions that call themselves."""
    found: dict[Key, onnx.FunctionProto] = {}
    for function in model.functions:
        key = (standard(function.domain), function.name, function.overload)
        if key in found:
            raise ModelError(f"function '{escape(function.name)}' is defined twice")
        found[key] = function
    _refuse_cycles({key: _calls(function, found) for key, function in found.items()})
    return found


def _calls(function: onnx.FunctionProto, known: dict[Key, onnx.FunctionProto]) -> list[Key]:
    called: dict[Key, None] = {}
    stack: list[Any] = [function]
    while stack:
        graph = stack.pop()
        for node in graph.node:
            called.update({key_of(node): None} if key_of(node) in known else {})
            stack += subgraphs(node)
    return list(called)


def _refuse_cycles(calls: dict[Key, list[Key]]) -> None:
    """Depth first without recursion: a call to a function still on the path closes a cycle."""
    done: set[Key] = set()
    for start in calls:
        path, pending = {start: None}, [(start, iter(calls[start]))]
        while pending and start not in done:
            current, rest = pending[-1]
            following = next((c for c in rest if c not in done), None)
            if following is None:
                done.add(current)
                path.pop(current)
                pending.pop()
            elif following in path:
                raise ModelError(f"function '{escape(following[1])}' calls itself")
            else:
                path[following] = None
                pending.append((following, iter(calls[following])))


def call_attributes(
    function: onnx.FunctionProto, given: dict[str, onnx.AttributeProto]
) -> dict[str, onnx.AttributeProto]:
    """What a function's body may refer to: the attributes of the call, and the function's defaults."""
    return {**{a.name: a for a in function.attribute_proto}, **given}


def default_protos(known: Contract | None) -> dict[str, onnx.AttributeProto]:
    """The defaults of an operator's attributes."""
    if known is None:
        return {}
    return {a.name: a.default_value for a in known.schema.attributes.values() if a.default_value.type}


def shipped_body(
    node: onnx.NodeProto, known: Contract | None, version: int, types: Sequence[TensorType | None]
) -> onnx.FunctionProto | None:
    """The body that ONNX gives for a node's operator, None where it gives none."""
    if known is None:
        return None
    schema = known.schema
    if schema.has_function:
        text = schema.get_function_with_opset_version(max(v for v in schema.function_opset_versions if v <= version))
    elif schema.has_context_dependent_function:
        text = _contextual(schema, node, version, types)
    else:
        return None
    return onnx.FunctionProto.FromString(text) if text else None


def _contextual(schema: Any, node: onnx.NodeProto, version: int, types: Sequence[TensorType | None]) -> bytes:
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= version]
    described = [type_proto(t).SerializeToString() for t in types]
    try:
        data = node.SerializeToString()
        found = schema.get_context_dependent_function_with_opset_version(max(versions), data, described)
    except (RuntimeError, ValueError, TypeError):
        return b""
    return bytes(found)


def type_proto(kind: TensorType | None) -> onnx.TypeProto:
    """ONNX's form of a tensor type; the empty one for an operand left out."""
    if kind is None:
        return onnx.TypeProto()
    return onnx.helper.make_tensor_type_proto(_CODES[kind.dtype], list(kind.shape))


def inferred_types(
    node: onnx.NodeProto, known: Contract | None, types: Sequence[TensorType | None], opsets: dict[str, int]
) -> dict[str, TensorType]:
    """What ONNX's own shape inference says of a node's outputs, as far as it is definite."""
    if known is None:
        return {}
    described = {name: type_proto(t) for name, t in zip(node.input, types, strict=True) if t is not None}
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        found = onnx.shape_inference.infer_node_outputs(known.schema, node, described, opset_imports=imports)
    except Exception:  # whatever inference stumbles over, it only means that nothing is known
        return {}
    return {name: t for name, proto in found.items() if (t := _definite(proto)) is not None}


def _definite(proto: onnx.TypeProto) -> TensorType | None:
    tensor = proto.tensor_type
    if tensor.elem_type not in ELEMENT_TYPES or not tensor.HasField("shape"):
        return None
    if not all(d.HasField("dim_value") and d.dim_value >= 0 for d in tensor.shape.dim):
        return None
    return TensorType(ELEMENT_TYPES[tensor.elem_type], tuple(d.dim_value for d in tensor.shape.dim))

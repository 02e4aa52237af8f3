"""Functions: those that a model brings along, and the bodies that ONNX ships for operators made of simpler ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.shape_inference
from onnx import numpy_helper

from ..errors import ModelError
from ..escaping import escape
from .dims import is_open
from .onnx_attributes import Contract
from .onnx_read import MAX_NODES, subgraphs
from .onnx_tensors import ELEMENT_TYPES
from .ops import array_of
from .types import TensorType
from .value import Value

Key = tuple[str, str, str]
"""Domain, name, overload."""
MAX_SHOWN = 256
"""Elements of a constant that shape inference is given to see."""
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
    """The model's own functions.

    `ModelError` for two of one name, for functions that call themselves, and where writing all calls out would give
    more nodes than are read.
    """
    found: dict[Key, onnx.FunctionProto] = {}
    for function in model.functions:
        key = (standard(function.domain), function.name, function.overload)
        if key in found:
            raise ModelError(f"function '{escape(function.name)}' is defined twice")
        found[key] = function
    contents = {key: _contents(function, found) for key, function in found.items()}
    sizes: dict[Key, int] = {}
    for key in _callees_first({key: list(calls) for key, (_, calls) in contents.items()}):
        sizes[key] = _written_out(contents[key], sizes)
    if _written_out(_contents(model.graph, found), sizes) > MAX_NODES:
        raise ModelError(f"with its functions written out the model has more than {MAX_NODES} nodes")
    return found


def _contents(body: Any, known: Mapping[Key, onnx.FunctionProto]) -> tuple[int, Counter[Key]]:
    """How many nodes a graph or function has, branches included, and how often it calls each function."""
    count, calls = 0, Counter[Key]()
    stack: list[Any] = [body]
    while stack:
        for node in stack.pop().node:
            count += 1
            if (key := key_of(node)) in known:
                calls[key] += 1
            stack += subgraphs(node)
    return count, calls


def _written_out(contents: tuple[int, Counter[Key]], sizes: dict[Key, int]) -> int:
    count, calls = contents
    return count + sum(times * sizes[key] for key, times in calls.items())


def _callees_first(calls: dict[Key, list[Key]]) -> list[Key]:
    """Depth first without recursion: a call to a function still on the path closes a cycle."""
    done: dict[Key, None] = {}
    for start in calls:
        path, pending = {start: None}, [(start, iter(calls[start]))]
        while pending and start not in done:
            current, rest = pending[-1]
            following = next((c for c in rest if c not in done), None)
            if following is None:
                done[current] = None
                path.pop(current)
                pending.pop()
            elif following in path:
                raise ModelError(f"function '{escape(following[1])}' calls itself")
            else:
                path[following] = None
                pending.append((following, iter(calls[following])))
    return list(done)


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
    code = onnx.TensorProto.STRING if kind.dtype.is_text else _CODES[kind.dtype]
    return onnx.helper.make_tensor_type_proto(code, [str(d) if is_open(d) else d for d in kind.shape])


def inferred_types(
    node: onnx.NodeProto, known: Contract | None, inputs: Sequence[Value | None], opsets: dict[str, int]
) -> dict[str, TensorType]:
    """What ONNX's own shape inference says of a node's outputs, as far as it is definite."""
    if known is None:
        return {}
    given = [(name, value) for name, value in zip(node.input, inputs, strict=True) if value is not None]
    described = {name: type_proto(value.type) for name, value in given}
    arrays = {
        name: array for name, value in given if (array := array_of(value)) is not None and array.size <= MAX_SHOWN
    }
    data = {n: numpy_helper.from_array(np.array(a), n) for n, a in arrays.items() if a.dtype.kind != "S"}
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        found = onnx.shape_inference.infer_node_outputs(known.schema, node, described, data, opset_imports=imports)
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

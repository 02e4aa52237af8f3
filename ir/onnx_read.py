"""Reading the bytes of a model, within limits.

What comes back has sane names, counts and nesting; protobuf's own errors stay here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ..errors import ModelError, UsageError
from ..escaping import escape

MAX_FILE_BYTES = (1 << 31) - 1
MAX_NODES = 500_000
MAX_NESTING = 24
MAX_NAME = 1 << 16


def read_model(source: str | Path | bytes) -> onnx.ModelProto:
    """Parse a model from a path or its bytes."""
    if isinstance(source, bytes):
        return parse_model(source, "the model")
    path = Path(source)
    what = f"'{escape(path.name)}'"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{what} is larger than 2 GiB", hint="store the weights as external data")
        return parse_model(path.read_bytes(), what)
    except FileNotFoundError:
        raise UsageError(f"there is no file '{escape(str(path))}'") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise UsageError(f"cannot read '{escape(str(path))}': {reason}") from None


def parse_model(data: bytes, what: str) -> onnx.ModelProto:
    """Parse the bytes of a model; `what` names it in errors."""
    if not data:
        raise ModelError(f"{what} is empty")
    if len(data) > MAX_FILE_BYTES:
        raise ModelError(f"{what} is larger than 2 GiB", hint="store the weights as external data")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError, RecursionError, MemoryError):
        raise ModelError(f"{what} is not an ONNX model: {_looks_like(data)}") from None
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{what} is not an ONNX model: {_looks_like(data)}", hint="it holds no graph")
    check_limits(model)
    return model


def _looks_like(data: bytes) -> str:
    head = data[:512]
    if all(32 <= b < 127 or b in b"\t\r\n" for b in head):
        return "it is a text file"
    return "it is damaged or cut off, or of another kind"


def check_limits(model: onnx.ModelProto) -> None:
    """Refuse more nodes, deeper nesting or longer names than any honest model has."""
    left = MAX_NODES
    stack: list[tuple[Any, int]] = [(model.graph, 1), *((f, 1) for f in model.functions)]
    check_names(o.domain for o in model.opset_import)
    check_names(name for f in model.functions for name in (f.name, f.domain, f.overload))
    while stack:
        graph, depth = stack.pop()
        left -= len(graph.node)
        if left < 0:
            raise ModelError(f"the model has more than {MAX_NODES} nodes")
        if depth > MAX_NESTING:
            raise ModelError(f"graphs are nested more than {MAX_NESTING} deep")
        check_names(_names(graph))
        for node in graph.node:
            check_names((node.name, node.op_type, node.domain, *node.input, *node.output))
            check_names(a.name for a in node.attribute)
            stack += ((inner, depth + 1) for inner in subgraphs(node))


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that stand in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names(graph: Any) -> Iterator[Any]:
    if isinstance(graph, onnx.FunctionProto):
        yield from (*graph.input, *graph.output, *graph.attribute, *(o.domain for o in graph.opset_import))
        return
    yield graph.name
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from (tensor.name for tensor in graph.initializer)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)


def check_names(names: Iterable[Any]) -> None:
    """Refuse names that are not text or longer than the limit."""
    for name in names:
        if not isinstance(name, str):
            raise ModelError(f"a name is not UTF-8 text: '{escape(bytes(name).decode('latin-1'))}'")
        if len(name) > MAX_NAME:
            raise ModelError(f"a name is too long: '{escape(name)}'", hint=f"at most {MAX_NAME} characters")

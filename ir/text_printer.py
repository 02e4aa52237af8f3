"""Printing graphs in the text form of `text`."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from .dims import Dim
from .graph import Graph
from .op import Op, Origin
from .types import DType, TensorType
from .value import Value

INLINE_ELEMENTS = 64


def print_graph(graph: Graph, elide: bool = False) -> str:
    """The text of a graph; `elide` leaves out the bytes of large constants (such a text does not parse back)."""
    printer = _Printer(elide)
    body = printer.graph(graph, "")
    blobs = [f'data "{key}" {text}\n' for key, text in printer.blobs.items()]
    return body + "\n" + "".join(blobs)


class _Printer:
    def __init__(self, elide: bool) -> None:
        self.elide = elide
        self.blobs: dict[str, str] = {}

    def graph(self, graph: Graph, indent: str) -> str:
        names: dict[Value, str] = {}
        for position, value in enumerate(graph.values):
            names[value] = f"%{position}"
        inputs = ", ".join(f"{names[v]}: {v.type}{_quoted(v.name)}" for v in graph.inputs)
        stage = "" if graph.stage == "imported" else f" stage {graph.stage}"
        sizes = "" if indent else _sizes(graph)
        lines = [f"graph {json.dumps(graph.name)}{sizes}({inputs}){stage} {{"]
        lines += [f"{indent}  {self.op(op, names, indent + '  ')}" for op in graph]
        outputs = zip(graph.outputs, graph.output_names, strict=True)
        lines.append(f"{indent}  return " + ", ".join(names[v] + _quoted(n) for v, n in outputs))
        return "\n".join([*lines, indent + "}"])

    def op(self, op: Op, names: dict[Value, str], indent: str) -> str:
        arguments = [_operand(getattr(op, f.name), names) for f in op.operand_fields()]
        while arguments and arguments[-1] == "_":
            arguments.pop()
        for f in op.attribute_fields():
            value = getattr(op, f.name)
            if f.default is dataclasses.MISSING or not _same(value, f.default):
                arguments.append(f"{f.name}={self.attribute(value, indent)}")
        results = ", ".join(names[r] for r in op.results)
        types = ", ".join(str(r.type) for r in op.results)
        return f"{results} = {op.name}({', '.join(arguments)}) : {types}{_origin(op.origin)}"

    def attribute(self, value: Any, indent: str) -> str:
        if isinstance(value, Graph):
            return self.graph(value, indent)
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, TensorType | DType):
            return str(value)
        if isinstance(value, tuple):
            return "[" + ", ".join(self.attribute(v, indent) for v in value) + "]"
        if isinstance(value, Dim):
            return f"size {value};"
        return json.dumps(value)

    def array(self, array: np.ndarray) -> str:
        flat = array.reshape(-1)
        plain = array.dtype.kind != "S" or all(map(_is_utf8, flat.tolist()))
        if plain and flat.size > 1 and bool((flat == flat[0]).all()):
            return f"fill({_number(flat[0])})"
        if plain and flat.size <= INLINE_ELEMENTS:
            return "values(" + ", ".join(_number(v) for v in flat) + ")"
        data = np.ascontiguousarray(array).tobytes()
        key = hashlib.sha256(data).hexdigest()[:16]
        if not self.elide:
            self.blobs[key] = base64.b64encode(data).decode()
        return f'data("{key}")'


def _sizes(graph: Graph) -> str:
    """The open sizes with their bounds, ` sizes batch=1..8, seq=1..512`."""
    bounds = [f"{s.name}={s.low}..{s.high}" for s in graph.symbols.values()]
    return f" sizes {', '.join(bounds)} " if bounds else ""


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and not isinstance(value, np.ndarray) and value == default)


def _operand(value: Any, names: dict[Value, str]) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(names[v] for v in value) + "]"
    return "_" if value is None else names[value]


def _quoted(name: str) -> str:
    return f" {json.dumps(name)}" if name else ""


def _origin(origin: Origin | None) -> str:
    return f" @ {origin.index} {json.dumps(origin.name)} {json.dumps(origin.onnx_type)}" if origin else ""


def _number(value: Any) -> str:
    return json.dumps(value.decode("utf-8") if isinstance(value, bytes) else value.item())


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

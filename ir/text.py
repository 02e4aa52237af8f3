"""The text form of graphs: printing and parsing, derived from the operators' declarations.

    graph main(%x: f32[1,3,8,8] "image") {
      %0 = constant(value=fill(0.5)) : f32[8]
      %1 = add(%x, %0) : f32[1,3,8,8] @ 4 "stem/add" Add
      return %1 "y"
    }

Operands come first, then the attributes that differ from their defaults. Small constants are printed in place, uniform
ones as `fill(v)`, large ones as `data("key")` whose bytes stand in base64 after the graph.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import re
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ModelError
from .dim_text import NAME, parse_dim
from .dims import Dim, Symbol
from .graph import Graph
from .op import REGISTRY, Op, Origin
from .strings import stored
from .types import DType, TensorType, dtype_named
from .value import Value

INLINE_ELEMENTS = 64
_TYPE = re.compile(r"\w+\[[^\[\]{}%\"=]*\](\{\d[\d,\s]*\})?")
_DIM = re.compile(r"[^;\[\]{}%\"=]*")
_WORD = re.compile(r"[^\s\"]+")


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


def parse_graph(text: str) -> Graph:
    """Read the text form; `ModelError` with line and column where it is not one."""
    parser = _Parser(text)
    graph = parser.graph()
    return graph


class _Parser:
    """Recursive descent over the characters; graphs nest only as deep as the file says, which is bounded."""

    MAX_NESTING = 64

    def __init__(self, text: str) -> None:
        self.text, self.position, self.nesting = text, 0, 0
        self.blobs = _blobs(text)
        self.symbols: dict[str, Symbol] = {}

    # --- tokens ---------------------------------------------------------------------------------------------------

    def fail(self, message: str) -> ModelError:
        return ModelError(f"text form: {message}", where=self.here())

    def here(self) -> str:
        line = self.text.count("\n", 0, self.position) + 1
        column = self.position - (self.text.rfind("\n", 0, self.position) + 1) + 1
        return f"line {line}, column {column}"

    def space(self) -> None:
        while self.position < len(self.text):
            if self.text[self.position] == "#":
                end = self.text.find("\n", self.position)
                self.position = len(self.text) if end < 0 else end
            elif not self.text[self.position].isspace():
                return
            else:
                self.position += 1

    def peek(self, token: str) -> bool:
        self.space()
        return self.text.startswith(token, self.position)

    def take(self, token: str) -> bool:
        if not self.peek(token):
            return False
        self.position += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"expected '{token}'")

    def word(self, extra: str = "") -> str:
        self.space()
        found = re.compile(rf"[\w{re.escape(extra)}]+").match(self.text, self.position)
        if not found:
            raise self.fail("expected a word")
        self.position = found.end()
        return found[0]

    def json(self) -> Any:
        self.space()
        try:
            value, self.position = json.JSONDecoder().raw_decode(self.text, self.position)
        except ValueError:
            raise self.fail("expected a number, a string, true or false") from None
        return value

    def string(self, default: str = "") -> str:
        return str(self.json()) if self.peek('"') else default

    def items(self, close: str, one: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        while not self.take(close):
            if found:
                self.expect(",")
            found.append(one())
        return found

    # --- structure ------------------------------------------------------------------------------------------------

    def graph(self) -> Graph:
        self.nesting += 1
        if self.nesting > self.MAX_NESTING:
            raise self.fail("graphs are nested too deeply")
        self.expect("graph")
        graph = Graph(self.string("graph"))
        names: dict[str, Value] = {}
        if self.nesting == 1 and self.take("sizes"):
            self.sizes()
        self.expect("(")
        self.items(")", lambda: self.input(graph, names))
        if self.take("stage"):
            graph.stage = self.word("-")
        self.expect("{")
        while not self.take("return"):
            self.op(graph, names)
        outputs = [(self.value(names), self.string())]
        while self.take(","):
            outputs.append((self.value(names), self.string()))
        self.expect("}")
        graph.set_outputs([v for v, _ in outputs], [n for _, n in outputs])
        self.nesting -= 1
        return graph

    def sizes(self) -> None:
        """The bounds of open sizes."""
        while True:
            name = self.word()
            self.expect("=")
            low = self.word()
            self.expect("..")
            high = self.word()
            if name in self.symbols or not NAME.fullmatch(name) or not (low + high).isdecimal() or int(low) > int(high):
                raise self.fail(f"'{name}={low}..{high}' are no bounds of a new size")
            self.symbols[name] = Symbol(name, int(low), int(high))
            if not self.take(","):
                return

    def input(self, graph: Graph, names: dict[str, Value]) -> None:
        self.expect("%")
        key = self.word()
        self.expect(":")
        kind = self.tensor_type()
        names[key] = graph.input(kind, self.string())

    def value(self, names: dict[str, Value]) -> Value:
        self.expect("%")
        key = self.word()
        if key not in names:
            raise self.fail(f"%{key} is not defined here")
        return names[key]

    def tensor_type(self) -> TensorType:
        self.space()
        found = _TYPE.match(self.text, self.position) or _WORD.match(self.text, self.position)
        text = found[0] if found else ""
        try:
            kind = TensorType.parse(text, self.symbols)
        except ModelError as error:
            raise self.fail(error.what) from None
        self.position += len(text)
        return kind

    def op(self, graph: Graph, names: dict[str, Value]) -> None:
        results = [self.result_name()]
        while self.take(","):
            results.append(self.result_name())
        self.expect("=")
        start, name = self.position, self.word("-.")
        if name not in REGISTRY:
            self.position = start
            raise self.fail(f"there is no operator '{name}'")
        op = self.build(REGISTRY[name], names)
        self.expect(":")
        types = [self.tensor_type()]
        while self.take(","):
            types.append(self.tensor_type())
        if not len(op.results) == len(types) == len(results):
            named = f"the text names {len(results)} of {len(types)} types"
            raise self.fail(f"{name} has {len(op.results)} results, {named}")
        for result, kind, key in zip(op.results, types, results, strict=True):
            if (result.type.dtype, result.shape) != (kind.dtype, kind.shape):
                raise self.fail(f"{name} gives {result.type}, the text says {kind}")
            result.type = kind
            names[key] = result
        if self.take("@"):
            op.origin = Origin(int(self.json()), self.string(), self.string())
        graph.add(op)

    def result_name(self) -> str:
        self.expect("%")
        return self.word()

    def build(self, cls: type[Op], names: dict[str, Value]) -> Op:
        self.expect("(")
        positional: list[Any] = []
        attributes: dict[str, Any] = {}
        hints = {f.name for f in cls.attribute_fields()}

        def one() -> None:
            if self.peek("%") or self.peek("[") or self.peek("_"):
                positional.append(self.operand(names))
                return
            key = self.word()
            if key not in hints:
                raise self.fail(f"{cls.name} has no attribute '{key}'")
            self.expect("=")
            attributes[key] = self.attribute()

        self.items(")", one)
        if cls.name == "constant":
            attributes["value"] = self.typed_array(attributes.get("value"))
        operands = self.operands(cls, positional)
        try:
            return cls(**operands, **attributes)
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise self.fail(f"{cls.name}: {error}") from None
        except ModelError as error:
            raise ModelError(error.what, where=self.here(), hint=error.hint) from None

    def operands(self, cls: type[Op], positional: list[Any]) -> dict[str, Any]:
        """Operands by field; each must be there, as a list where the operator takes any number."""
        fields, lists = cls.operand_fields(), _list_operands(typing.cast("Any", cls))
        if len(positional) > len(fields):
            raise self.fail(f"{cls.name} takes {len(fields)} operands, got {len(positional)}")
        given = dict(zip((f.name for f in fields), positional, strict=False))
        for f in fields:
            value = given.get(f.name)
            if value is None and f.default is dataclasses.MISSING:
                raise self.fail(f"{cls.name} needs an operand '{f.name}'")
            if value is not None and isinstance(value, tuple) != (f.name in lists):
                raise self.fail(f"operand '{f.name}' of {cls.name} is {'no' if isinstance(value, tuple) else 'a'} list")
        return given

    def operand(self, names: dict[str, Value]) -> Any:
        if self.take("_"):
            return None
        if self.take("["):
            return tuple(self.items("]", lambda: self.value(names)))
        return self.value(names)

    def attribute(self) -> Any:
        for kind in ("fill", "values", "data"):
            if self.take(kind + "("):
                return kind, self.items(")", self.json)
        if self.peek("graph"):
            return self.graph()
        if self.take("["):
            return tuple(self.items("]", self.attribute))
        if self.take("size "):
            return self.dim()
        if any(map(self.peek, ('"', "-", "N", "I"))) or self.text[self.position : self.position + 1].isdigit():
            return self.json()
        return self.keyword()

    def dim(self) -> int:
        """A dimension that is no plain number, up to its semicolon."""
        found = _DIM.match(self.text, self.position)
        assert found is not None
        try:
            size = parse_dim(found[0], self.symbols)
        except ModelError as error:
            raise self.fail(error.what) from None
        self.position = found.end()
        self.expect(";")
        return size

    def keyword(self) -> Any:
        start, word = self.position, self.word()
        if word in ("true", "false"):
            return word == "true"
        if word == "null":
            return None
        if self.text.startswith("[", self.position):
            self.position = start
            return self.tensor_type()
        dtype = dtype_named(word)
        if dtype is not None:
            return dtype
        raise self.fail(f"'{word}' is not an attribute value")

    def typed_array(self, described: Any) -> np.ndarray:
        """The array of a constant; its type stands after the operation and is read ahead."""
        if not isinstance(described, tuple) or not described or described[0] not in ("fill", "values", "data"):
            raise self.fail("constant needs value=fill(..), values(..) or data(..)")
        mark = self.position
        self.expect(":")
        kind = self.tensor_type()
        self.position = mark
        try:
            return self.filled(described[0], described[1], kind)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise self.fail(f"the constant is no {kind}: {error}") from None

    def filled(self, how: str, values: list[Any], kind: TensorType) -> np.ndarray:
        if kind.dtype.is_text and how != "data":
            strings = self.strings(values, kind.dtype)
            return np.broadcast_to(strings, kind.shape) if how == "fill" else strings.reshape(kind.shape)
        if how == "fill":
            return np.full(kind.shape, values[0], kind.dtype.numpy)
        if how == "values":
            return np.array(values, kind.dtype.numpy).reshape(kind.shape)
        if values[0] not in self.blobs:
            raise self.fail(f'the bytes of data("{values[0]}") are not in this file')
        return np.frombuffer(self.blobs[values[0]], kind.dtype.numpy).reshape(kind.shape)

    def strings(self, values: list[Any], kind: DType) -> np.ndarray:
        try:
            return stored(values, kind)
        except ModelError as error:
            raise self.fail(f"the constant is no {kind}: {error.what}") from None


@functools.cache
def _list_operands(cls: Any) -> frozenset[str]:
    """The operand fields that take any number of values."""
    return frozenset(name for name, hint in typing.get_type_hints(cls).items() if hint == tuple[Value, ...])


def _blobs(text: str) -> dict[str, bytes]:
    lines = (line.split(" ", 2) for line in text.splitlines() if line.startswith('data "'))
    return {json.loads(key): base64.b64decode(data) for _, key, data in lines}

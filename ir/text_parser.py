"""Parsing the text form of `text`."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import re
import typing
from typing import Any

import numpy as np

from ..errors import ModelError
from .dim_text import NAME, parse_dim
from .dims import Symbol
from .graph import Graph
from .op import REGISTRY, Op, Origin
from .strings import stored
from .text_tokens import Tokens
from .types import DType, TensorType, dtype_named
from .value import Value

MAX_NESTING = 64
_TYPE = re.compile(r"\w+\[[^\[\]{}%\"=]*\](\{\d[\d,\s]*\})?")
_DIM = re.compile(r"[^;\[\]{}%\"=]*")
_WORD = re.compile(r"[^\s\"]+")


def parse_graph(text: str) -> Graph:
    """Read the text form; `ModelError` with line and column where it is not one."""
    return _Parser(text).graph()


class _Parser(Tokens):
    """Recursive descent over the characters; graphs nest only as deep as the file says, which is bounded."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nesting = 0
        self.blobs = _blobs(text)
        self.symbols: dict[str, Symbol] = {}

    def graph(self) -> Graph:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
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

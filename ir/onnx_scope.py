"""Names and what they stand for while a model is read: values, sequences of known length, optionals, nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from ..errors import ModelError
from ..escaping import escape
from .graph import Graph
from .onnx_fold import Folder, drop_dead, insert_constants
from .onnx_tensors import Tensors
from .ops import array_of, constant
from .value import Value


class Misfit(ModelError):
    """A node whose operands do not fit it: wrong in a branch that is never taken with these shapes, else an error."""


class Blocked:
    """Stands for a value that cannot be computed because something before it is not supported."""


class Absent:
    """An optional without content."""


@dataclass(frozen=True)
class Listed:
    """A sequence: its length is known, its tensors are values of the graph."""

    items: tuple[Value, ...] = ()
    hidden: int = 0
    """How many tensors it has whose shapes are not known; it then has no items."""


BLOCKED = Blocked()
ABSENT = Absent()
Known = Value | Listed | Absent | Blocked | None


class Body:
    """A nested graph while it is built, and what it reads of the graph around it."""

    def __init__(self, name: str, around: Folder) -> None:
        self.graph = Graph(name)
        self.folder = around.inside(self.graph)
        self.captured: dict[Value, Value] = {}
        self.constants: dict[Value, Value] = {}

    def take_in(self, known: Known) -> Known:
        """What stands inside for something outside: constants are repeated, values become inputs."""
        if isinstance(known, Listed):
            return Listed(tuple(self._value(v) for v in known.items), known.hidden)
        return self._value(known) if isinstance(known, Value) else known

    def _value(self, outer: Value) -> Value:
        array = array_of(outer)
        if array is None:
            return self.captured.setdefault(outer, Value(outer.type, name=outer.name))
        if outer not in self.constants:
            self.constants[outer] = constant(array)
            self.constants[outer].name = outer.name
        return self.constants[outer]

    def finish(self, outputs: Sequence[Value]) -> None:
        """Make values the outputs."""
        insert_constants(outputs, self.graph)
        self.graph.set_outputs(outputs)
        drop_dead(self.graph)

    def read(self) -> list[Value]:
        """The values outside that ops inside read."""
        return [outer for outer, inner in self.captured.items() if inner.users]


class Scope:
    """Values by name; initializers are decoded when they are first read. A branch sees the names around it.

    What lies outside `body` is taken into it.
    """

    def __init__(self, tensors: Tensors, outer: Scope | None = None, body: Body | None = None) -> None:
        self.tensors, self.outer, self.body = tensors, outer, body
        self.values: dict[str, Known] = {}
        self.pending: dict[str, onnx.TensorProto | onnx.SparseTensorProto] = {}

    def declare(self, graph: onnx.GraphProto) -> None:
        """Take in the initializers of a graph, each checked."""
        for tensor in graph.initializer:
            self.tensors.check(tensor)
            self._declare_one(tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self.tensors.check(sparse.values)
            self._declare_one(sparse.values.name, sparse)

    def _declare_one(self, name: str, tensor: onnx.TensorProto | onnx.SparseTensorProto) -> None:
        if not name:
            raise ModelError("an initializer has no name")
        if name in self.pending:
            raise ModelError(f"initializer '{escape(name)}' is defined twice")
        self.pending[name] = tensor

    def find(self, name: str) -> Known:
        """What a name stands for; `ModelError` where there is nothing."""
        if name in self.values:
            return self.values[name]
        if name in self.pending:
            return self._decode(name)
        if self.outer is None:
            raise ModelError(f"value '{escape(name)}' is read but nothing produces it")
        found = self.outer.find(name)
        return found if self.body is None else self.body.take_in(found)

    def _decode(self, name: str) -> Value:
        tensor = self.pending[name]
        array = self.tensors.array(tensor) if isinstance(tensor, onnx.TensorProto) else self.tensors.sparse(tensor)
        value = constant(array)
        value.name = name
        self.values[name] = value
        return value

    @property
    def names(self) -> set[str]:
        return {*self.values, *self.pending}

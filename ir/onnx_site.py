"""A node with graphs in its attributes, as the code that translates it sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ..errors import ModelError
from .onnx_rules import NotCovered
from .onnx_scope import ABSENT, Absent, Blocked, Body, Known, Listed, Scope
from .op import Origin
from .ops import array_of
from .types import TensorType
from .value import Value

if TYPE_CHECKING:
    from .onnx_build import Builder
    from .onnx_frame import Frame


@dataclass
class Site:
    """A node with graphs: where it stands and what it is given."""

    builder: Builder
    frame: Frame
    proto: onnx.NodeProto
    inputs: list[Known]
    protos: Mapping[str, onnx.AttributeProto]
    origin: Origin

    def graph(self, name: str) -> onnx.GraphProto:
        """The graph in an attribute."""
        if name not in self.protos or not self.protos[name].HasField("g"):
            raise ModelError(f"attribute '{name}' is missing")
        return self.protos[name].g

    def value(self, position: int) -> Value | None:
        """An operand that must be a tensor, None where it is left out."""
        found = self.inputs[position] if position < len(self.inputs) else None
        return None if found is None else tensor(found, f"operand {position}")

    def declared(self) -> list[TensorType | None]:
        """The types that the model declares for the results."""
        return [self.frame.declared_type(name, self.builder.declared) for name in self.proto.output]

    def require(self, effect: Value) -> None:
        """Let something be computed although no result reads it: a check that the run may fail."""
        self.frame.folder.settle(effect, self.origin)

    def example(self, operand: Value | None, number: float) -> None:
        """Note a number that a run may have for an input of the model."""
        if operand is not None and operand.producer is None:
            array = np.full(operand.shape, number, operand.dtype.numpy)
            self.builder.graph.metadata.setdefault("examples", {})[operand.name] = array

    def integer(self, name: str) -> int:
        """An integer attribute that must be given."""
        if name not in self.protos:
            raise ModelError(f"attribute '{name}' is missing")
        return int(self.protos[name].i)

    def integers(self, name: str, count: int) -> list[int]:
        """A list attribute of a length, zeros where it is left out."""
        found = [int(v) for v in self.protos[name].ints] if name in self.protos else [0] * count
        if len(found) != count:
            raise ModelError(f"attribute '{name}' has {len(found)} entries, {count} are needed")
        return found

    def inline(self, graph: onnx.GraphProto, given: Mapping[str, Known]) -> list[Known]:
        """What a graph gives when it is written out here."""
        scope = Scope(self.frame.scope.tensors, self.frame.scope)
        scope.values.update(given)
        return self.builder.translated(self.frame, graph, scope, self.frame.folder, self.origin)

    def nested(self, graph: onnx.GraphProto, body: Body, given: Mapping[str, Known]) -> list[Known]:
        """What a graph gives inside a body."""
        scope = Scope(self.frame.scope.tensors, self.frame.scope, body)
        scope.values.update(given)
        return self.builder.translated(self.frame, graph, scope, body.folder, self.origin)


def tensor(known: Known, what: str) -> Value:
    """What must be a tensor."""
    if isinstance(known, Value):
        return known
    if isinstance(known, Listed):
        raise NotCovered(f"{what} is a sequence", "tensors")
    if known is ABSENT:
        raise NotCovered(f"{what} is an optional without content", "tensors")
    raise ModelError(f"{what} is missing")


def flag(value: Value | None) -> bool | None:
    """A known truth value, None for one that is not known; nothing at all is true."""
    if value is None:
        return True
    array = array_of(value)
    if array is None:
        return None
    if array.size != 1:
        raise ModelError(f"its condition has {array.size} elements")
    return bool(array.reshape(-1)[0])


def is_blocked(found: Sequence[Known]) -> bool:
    return any(isinstance(v, Blocked) for v in found)


def described(known: Listed | Absent) -> str:
    """What an operand is, for messages about sequences and optionals."""
    return "a sequence" if isinstance(known, Listed) else "an optional without content"

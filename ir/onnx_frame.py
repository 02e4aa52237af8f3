"""Graphs and function bodies on their way into the graph: where each stands and where its results go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from ..escaping import escape
from .onnx_fold import Folder
from .onnx_rules import NotCovered
from .onnx_scope import BLOCKED, Known, Listed, Scope
from .onnx_structure import Placed
from .onnx_tensors import check_dims
from .op import Origin
from .types import TensorType
from .value import Value


@dataclass
class Frame:
    """A graph or function body being translated; `targets` are what its caller calls its outputs."""

    nodes: Iterator[Placed]
    scope: Scope
    opsets: dict[str, int]
    outputs: Sequence[str]
    folder: Folder
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    origin: Origin | None = None
    caller: Frame | None = None
    targets: Sequence[str] = ()

    def origin_of(self, placed: Placed) -> Origin:
        """Where a node stands in the model; inside of a function, where its caller does."""
        proto = placed.proto
        if self.origin is None:
            return Origin(placed.index, proto.name, proto.op_type)
        inner = "/".join(part for part in (self.origin.name, proto.name) if part)
        return Origin(self.origin.index, inner, proto.op_type)

    def bind(self, names: Sequence[str], values: Sequence[Known], origin: Origin) -> None:
        """Give a rule's results the names of the node's outputs."""
        for position, name in enumerate(names):
            value = values[position] if position < len(values) else None
            if name and value is None:
                raise NotCovered(f"its output {position} is read", "the first output alone")
            if name:
                self.scope.values[name] = self._settled(name, value, origin)

    def block(self, names: Sequence[str]) -> None:
        """Let what reads these names be passed over: their node has no translation."""
        self.scope.values.update({name: BLOCKED for name in names if name})

    def finish(self) -> None:
        """Hand the results to the one that called."""
        if self.caller is None:
            return
        read = [(inner, outer) for inner, outer in zip(self.outputs, self.targets, strict=False) if outer]
        for inner, outer in read:
            found = self.scope.find(inner)
            if isinstance(found, Value):
                found.name = found.name or outer
            self.caller.scope.values[outer] = found

    def declared_type(self, name: str, declared: Mapping[str, TensorType]) -> TensorType | None:
        """The type that the model declares for a result, by the name that it has outside of functions."""
        frame = self
        while frame.caller is not None:
            if name not in frame.outputs:
                return None
            name, frame = frame.targets[list(frame.outputs).index(name)], frame.caller
        return declared.get(name)

    def _settled(self, name: str, known: Known, origin: Origin) -> Known:
        """A result with all that it needs in the graph."""
        if isinstance(known, Listed):
            items = (self._settled(name, item, origin) for item in known.items)
            return Listed(tuple(v for v in items if isinstance(v, Value)), known.hidden)
        if not isinstance(known, Value):
            return known
        settled = self.folder.settle(known, origin)
        check_dims(settled.shape, f"result '{escape(name)}'")
        settled.name = settled.name or name
        return settled

"""Ops that compute what another op has computed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Add, And, Constant, Equal, Mul, Or, Xor
from .registry import register
from .tally import claim

COMMUTATIVE = (Add, Mul, Equal, And, Or, Xor)
"""Ops of x and y in any order; min and max are not among them: they tell NaNs apart."""


@register
@dataclass(frozen=True)
class CommonSubexpressions:
    """Let readers share one of several equal ops; constants are equal by type and content."""

    name: ClassVar[str] = "common-subexpressions"

    def run(self, graph: Graph) -> Graph:
        seen: dict[Any, Op] = {}
        keys, merged = _Keys(), Counter[str]()
        for op in graph:
            first = seen.setdefault(keys.of(op), op)
            if first is not op:
                merged[op.name] += self._merge(graph, op, first)
        claim(graph, +merged)
        return graph

    def _merge(self, graph: Graph, op: Op, first: Op) -> int:
        if not op.pure:
            graph.note(self.name, "the same op stands before, but the op has effects", op, first)
            return 0
        graph.replace_op(op, first.results)
        return 1


@dataclass
class _Keys:
    """Keys that are equal for equal ops; counts values in the order they are met, so nothing depends on addresses."""

    numbers: dict[Value, int] = field(default_factory=dict)
    constants: _Contents = field(default_factory=lambda: _Contents())

    def of(self, op: Op) -> Any:
        if isinstance(op, Constant):
            return op.name, self.constants.key(op.value)
        operands = [self._operand(getattr(op, f.name)) for f in op.operand_fields()]
        if isinstance(op, COMMUTATIVE):
            operands.sort()
        attributes = tuple(self._attribute(getattr(op, f.name)) for f in op.attribute_fields())
        return op.name, tuple(operands), attributes, tuple(r.type for r in op.results)

    def _operand(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._operand(v) for v in value)
        return None if value is None else self.numbers.setdefault(value, len(self.numbers))

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.constants.key(value)
        if isinstance(value, Graph):
            return id(value)
        if isinstance(value, tuple):
            return tuple(self._attribute(v) for v in value)
        return type(value).__name__, repr(value)


class _Contents:
    """Keys of arrays by content; an array is hashed only when another one looks like it in type, shape and samples."""

    SAMPLES = 16

    def __init__(self) -> None:
        self.alone: dict[Any, np.ndarray | None] = {}
        self.digests: dict[Any, Any] = {}
        self.count = 0

    def key(self, array: np.ndarray) -> int:
        """A number, the same for arrays of the same type, shape and bytes."""
        look = self._look(array)
        if look not in self.alone:
            self.alone[look] = array
            self.digests[look] = {}
            return self._new(look, None)
        first = self.alone[look]
        if first is not None:
            self.alone[look] = None
            self.digests[look][_digest(first)] = self.digests[look].pop(None)
        digest = _digest(array)
        found = self.digests[look].get(digest)
        return self._new(look, digest) if found is None else int(found)

    def _new(self, look: Any, digest: bytes | None) -> int:
        self.count += 1
        self.digests[look][digest] = self.count
        return self.count

    def _look(self, array: np.ndarray) -> Any:
        places = np.unique(np.linspace(0, max(array.size - 1, 0), self.SAMPLES).astype(np.int64))
        samples = array[np.unravel_index(places, array.shape)] if array.ndim and array.size else array
        return array.dtype.str, array.shape, np.ascontiguousarray(samples).tobytes()


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()

"""Whether two states of a graph are the same, without hashing its constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir import Graph, Op, Value


@dataclass(frozen=True)
class Fingerprint:
    """The structure of a graph; arrays count as the same when they are the same object."""

    key: tuple[Any, ...]
    kept: list[np.ndarray] = field(compare=False, repr=False)


def fingerprint(graph: Graph) -> Fingerprint:
    """The structure of a graph at this moment: ops, order, operands, attributes, types, outputs, stage."""
    kept: list[np.ndarray] = []
    return Fingerprint(_key_of_graph(graph, kept), kept)


def _key_of_graph(graph: Graph, kept: list[np.ndarray]) -> tuple[Any, ...]:
    numbers = {value: position for position, value in enumerate(graph.values)}
    ops = tuple(_key_of_op(op, numbers, kept) for op in graph)
    outputs = tuple(numbers[v] for v in graph.outputs)
    return graph.stage, tuple(str(v.type) for v in graph.inputs), ops, outputs, tuple(graph.output_names)


def _key_of_op(op: Op, numbers: dict[Value, int], kept: list[np.ndarray]) -> tuple[Any, ...]:
    attributes = tuple(_key_of_attribute(getattr(op, f.name), kept) for f in op.attribute_fields())
    present = tuple(getattr(op, f.name) is not None for f in op.operand_fields())
    types = tuple(r.type for r in op.results)
    return op.name, tuple(numbers[v] for v in op.operands), present, attributes, types


def _key_of_attribute(value: Any, kept: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        kept.append(value)
        return id(value)
    if isinstance(value, Graph):
        return _key_of_graph(value, kept)
    if isinstance(value, tuple | list):
        return tuple(_key_of_attribute(v, kept) for v in value)
    return repr(value) if isinstance(value, float) else value

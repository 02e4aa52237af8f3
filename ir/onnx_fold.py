"""Evaluating while importing: what is known and small becomes a constant at once.

Exporters compute shapes with chains of operators; folding them on the way gives Reshape, Slice, Resize and their like
the parameters that they need to be translated at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError
from .graph import Graph
from .onnx_sizes import folded_sizes
from .op import Op, Origin
from .ops import Constant, Sizes, array_of, constant
from .sizes import has_open_sizes
from .value import Value

SMALL_BYTES = 1 << 16
MAX_MACS = 1 << 22
WORK_BYTES = 1 << 31


@dataclass
class Budget:
    """Bytes that evaluation may still read and write."""

    left: int = WORK_BYTES


class Folder:
    """Puts the ops of a rule into a graph, those that can be evaluated as constants; the work it does is bounded."""

    def __init__(self, graph: Graph, budget: Budget | None = None) -> None:
        self.graph = graph
        self.budget = budget or Budget()

    def inside(self, body: Graph) -> Folder:
        """A folder for a nested graph, of the same budget."""
        return Folder(body, self.budget)

    def settle(self, value: Value, origin: Origin) -> Value:
        """The value to use for a rule's result, everything it needs being in the graph (or constant)."""
        swaps: dict[Value, Value] = {}
        for op in _new_ops(value, self.graph):
            if swaps:
                op.swap_operands(lambda v: swaps.get(v, v))
            op.origin = origin
            folded = self._fold(op)
            if folded is None:
                self.graph.insert_before(None, op)
            else:
                swaps.update(zip(op.results, folded, strict=True))
        return swaps.get(value, value)

    def _fold(self, op: Op) -> list[Value] | None:
        sized = folded_sizes(op)
        if sized is not None:
            return sized
        arrays = {v: array_of(v) for v in op.operands}
        if any(a is None for a in arrays.values()) or has_open_sizes(op):
            return None
        if not (op.pure and op.folds) or op.macs() > MAX_MACS:
            return None
        read = sum(v.type.bytes for v in op.operands)
        made = sum(r.type.bytes for r in op.results)
        if made > max(SMALL_BYTES, read) or read + made > self.budget.left:
            return None
        self.budget.left -= read + made
        return [constant(a) for a in _evaluated(op, arrays)]


def _evaluated(op: Op, arrays: dict[Value, np.ndarray | None]) -> list[np.ndarray]:
    def known(value: Value) -> np.ndarray:
        array = arrays[value]
        assert array is not None
        return array

    try:
        with np.errstate(all="ignore"):
            found = op.compute(known)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise ModelError(f"{op.name} cannot be evaluated: {error}", where=op.where) from None
    return [np.asarray(a, r.dtype.numpy, order="C") for a, r in zip(found, op.results, strict=True)]


def _new_ops(value: Value, graph: Graph) -> list[Op]:
    """The ops behind a value that are not in the graph, operands first; constants wait until somebody reads them."""
    order: dict[Op, None] = {}
    stack: list[tuple[Op | None, bool]] = [(value.producer, False)]
    while stack:
        op, ready = stack.pop()
        if op is None or isinstance(op, Constant | Sizes) or op in order or op in graph:
            continue
        if ready:
            order[op] = None
        else:
            stack.append((op, True))
            stack.extend((v.producer, False) for v in reversed(op.operands))
    return list(order)


def insert_constants(values: Sequence[Value], graph: Graph) -> None:
    """Let values that are constants nobody reads yet stand in the graph."""
    for value in values:
        if value.producer is not None and value.producer not in graph:
            graph.insert_before(None, value.producer)


def drop_dead(graph: Graph) -> None:
    """Remove ops that nothing reads."""
    for op in reversed(graph.ops):
        if op.pure and not any(r.users for r in op.results):
            graph.remove(op)

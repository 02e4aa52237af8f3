"""A graph with other constants in some places."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Constant, constant

Changes = Mapping[tuple[Op, str], np.ndarray]
"""New arrays by op and operand field."""


def with_constants(graph: Graph, changes: Changes) -> Graph:
    """A copy in which operands of ops are other constants; constants that nobody reads any more are left out."""
    made = Graph(graph.name)
    made.stage, made.journal, made.metadata = graph.stage, list(graph.journal), dict(graph.metadata)
    table: dict[Value, Value] = {v: made.input(v.type, v.name) for v in graph.inputs}
    by_op: dict[Op, dict[str, Value]] = {}
    for (op, name), array in changes.items():
        by_op.setdefault(op, {})[name] = constant(array)
    for op in graph:
        new: Op = op.with_operands(table.__getitem__)
        new = new.replace(**by_op[op]) if op in by_op else new
        made.insert_before(None, new)
        for old, result in zip(op.results, new.results, strict=True):
            result.name = old.name
            table[old] = result
    made.set_outputs([table[v] for v in graph.outputs], graph.output_names)
    for op in reversed(made.ops):
        if isinstance(op, Constant) and not op.result.users:
            made.remove(op)
    return made

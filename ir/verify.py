"""The verifier: structure, types and which ops are legal at which stage."""

from __future__ import annotations

from ..errors import ModelError
from .graph import Graph
from .op import Op
from .value import Value

COMPOSITE = frozenset({
    "batch-norm", "conv-transpose", "instance-norm", "layer-norm", "lrn", "resize", "softmax",
})  # fmt: skip
"""Ops that stand for several others; no backend kernel serves them."""

STAGES: dict[str, frozenset[str]] = {
    "imported": frozenset({"cascade", "fused", "relayout"}),
    "canonical": frozenset({"cascade", "fused", "relayout"}),
    "lowered": COMPOSITE | {"cascade", "fused"},
    "fused": COMPOSITE,
    "planned": COMPOSITE,
}
"""The stages in order, and the ops that must not occur in each."""


def verify(graph: Graph) -> None:
    """Raise `ModelError` naming the first op that breaks a rule of the IR."""
    if graph.stage not in STAGES:
        raise ModelError(f"unknown stage '{graph.stage}'", hint=f"stages: {', '.join(STAGES)}")
    defined: set[Value] = set(graph.inputs)
    for op in graph:
        _check_op(graph, op, defined)
        defined.update(op.results)
    _check_sizes(graph)
    for value in graph.outputs:
        if value not in defined:
            raise ModelError("an output of the graph is not computed by it")
    _check_users(graph)


def _check_sizes(graph: Graph) -> None:
    """Whether each size that the run finds has one op that finds it, before all that have it in their types."""
    known, found = set(graph.chosen_sizes), set(graph.found_sizes)
    for op in graph:
        for result in op.results:
            late = [name for name in result.type.symbols if name in found and name not in known]
            if late:
                raise ModelError(f"{op.name} has size '{late[0]}' in its shape before it is found", where=op.where)
        for one in op.found_sizes():
            if one.name in known:
                raise ModelError(f"size '{one.name}' is found twice", where=op.where)
            known.add(one.name)


def _check_op(graph: Graph, op: Op, defined: set[Value]) -> None:
    if op.name in STAGES[graph.stage]:
        raise ModelError(f"{op.name} is not legal in stage '{graph.stage}'", where=op.where)
    for value in op.operands:
        if value not in defined:
            raise ModelError(f"{op.name} reads a value before it is computed", where=op.where)
    for result, wanted in zip(op.results, op.inferred(), strict=True):
        if (result.type.dtype, result.type.shape) != (wanted.dtype, wanted.shape):
            raise ModelError(f"{op.name} has type {result.type}, its operands give {wanted}", where=op.where)
        if sorted(result.type.physical) != list(range(result.type.rank)):
            raise ModelError(f"{op.name}: {result.type} has an impossible physical order", where=op.where)
    for f in op.attribute_fields():
        body = getattr(op, f.name)
        if isinstance(body, Graph):
            verify(body)


def _check_users(graph: Graph) -> None:
    counts: dict[Value, int] = {}
    for op in graph:
        for value in op.operands:
            counts[value] = counts.get(value, 0) + 1
    for value in graph.values:
        recorded = sum(n for user, n in value.users.items() if user in graph)
        if recorded != counts.get(value, 0):
            where = value.producer.where if value.producer else "an input"
            raise ModelError(f"a value has {counts.get(value, 0)} readers but {recorded} are recorded", where=where)

"""The smallest part of a graph that still fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...ir import Graph, Value
from ...ir.evaluate import bind_inputs
from ...ir.ops import Constant
from .check import DIFFERS, Finding, check
from .grow import Case

Fails = Callable[[Case], bool]
Array = np.ndarray
SAME = 40
"""Characters of a reason by which the same fault is known again."""


def shrink(case: Case, finding: Finding, target: str = "host") -> Case:
    """The smallest part of a case with the same finding."""

    def fails(smaller: Case) -> bool:
        (found,) = check([smaller], [finding.way], target)
        alike = finding.status == DIFFERS or found.reason[:SAME] == finding.reason[:SAME]
        return found.status == finding.status and alike

    return smallest(case, fails)


def smallest(case: Case, fails: Fails) -> Case:
    """Leave out outputs, then what stands before: values become inputs, as long as the case fails."""
    for output in range(len(case.graph.outputs)):
        one = part(case, [case.graph.outputs[output]])
        if fails(one):
            case = one
            break
    cut = True
    while cut:
        case, cut = _cut_once(case, fails)
    return case


def _cut_once(case: Case, fails: Fails) -> tuple[Case, bool]:
    """A smaller case that fails, with a value that is now an input or an output; the last values first."""
    outputs = set(case.graph.outputs)
    values = [v for op in case.graph if not isinstance(op, Constant) for v in op.results]
    inner = [v for v in values if v not in outputs]
    for value in reversed(inner):
        for smaller in (part(case, case.graph.outputs, [value]), part(case, [value])):
            if _size(smaller.graph) < _size(case.graph) and fails(smaller):
                return smaller, True
    return case, False


def _size(graph: Graph) -> int:
    return sum(not isinstance(op, Constant) for op in graph)


def part(case: Case, outputs: Sequence[Value], cuts: Sequence[Value] = ()) -> Case:
    """The ops that some outputs need, where values that are cut become inputs with the numbers that they hold."""
    held = _held(case, [*cuts])
    made = Graph(case.graph.name)
    table: dict[Value, Value] = {}
    arrays: list[Array] = []
    needed = _needed(case.graph, outputs, held)
    for value in (*case.graph.inputs, *cuts):
        if value in needed:
            table[value] = made.input(value.type, value.name or f"cut{len(arrays)}")
            arrays.append(held[value])
    for op in case.graph:
        if any(r in needed for r in op.results) and not all(r in table for r in op.results):
            new = op.with_operands(table.__getitem__)
            made.add(new)
            table |= {old: r for old, r in zip(op.results, new.results, strict=True) if old not in table}
    made.set_outputs([table[v] for v in outputs], [f"y{i}" for i in range(len(outputs))])
    return Case(case.name, made, arrays)


def _held(case: Case, values: Sequence[Value]) -> dict[Value, Array]:
    """The numbers of the inputs and of some values."""
    held = dict(zip(case.graph.inputs, bind_inputs(case.graph, case.inputs), strict=True))
    if values:
        known: dict[Value, Array] = dict(held)
        with np.errstate(all="ignore"):
            for op in case.graph:
                known.update(zip(op.results, map(np.asarray, op.compute(known.__getitem__)), strict=True))
        held |= {v: known[v] for v in values}
    return held


def _needed(graph: Graph, outputs: Sequence[Value], held: Mapping[Value, Array]) -> set[Value]:
    """All values that outputs depend on, as far as those that are held."""
    found: set[Value] = set()
    stack = list(outputs)
    while stack:
        value = stack.pop()
        if value in found:
            continue
        found.add(value)
        if value not in held and value.producer is not None:
            stack.extend(value.producer.operands)
    return found

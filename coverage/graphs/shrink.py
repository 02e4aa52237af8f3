"""The smallest part of a graph that still fails."""

from __future__ import annotations

from collections.abc import Callable

from ...ir import Graph
from ...ir.ops import Constant
from .check import DIFFERS, Finding, check
from .grow import Case
from .part import part

Fails = Callable[[Case], bool]
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

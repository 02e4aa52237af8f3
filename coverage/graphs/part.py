"""Parts of a graph, where values of the rest come in as inputs with the numbers that they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...ir import Graph, Op, Value
from ...ir.evaluate import bind_inputs
from ...ir.ops import Constant
from .grow import Case

Array = np.ndarray


def without(case: Case, left_out: Callable[[Op], bool]) -> Case | None:
    """A case without some ops: what others read of them comes in, what they read goes out. None if nothing is left."""
    ops = [op for op in case.graph if not isinstance(op, Constant) and not left_out(op)]
    made = dict.fromkeys(r for op in ops for r in op.results)
    read = dict.fromkeys(v for op in ops for v in op.operands)
    cuts = [v for v in read if v not in made and v.producer is not None and not isinstance(v.producer, Constant)]
    outputs = [v for v in case.graph.outputs if v in made]
    outputs += [v for v in made if v not in read and v not in outputs]
    return part(case, outputs, cuts) if ops else None


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
        if any(r in needed and r not in table for r in op.results):
            new = op.with_operands(table.__getitem__)
            made.add(new)
            table |= {old: r for old, r in zip(op.results, new.results, strict=True) if old not in table}
    made.set_outputs([table[v] for v in outputs], [f"y{i}" for i in range(len(outputs))])
    return Case(case.name, made, arrays)


def held_values(case: Case) -> dict[Value, Array]:
    """The numbers of all values."""
    held = _inputs(case)
    with np.errstate(all="ignore"):
        for op in case.graph:
            held.update(zip(op.results, map(np.asarray, op.compute(held.__getitem__)), strict=True))
    return held


def _held(case: Case, values: Sequence[Value]) -> dict[Value, Array]:
    """The numbers of the inputs and of some values."""
    known = held_values(case) if values else {}
    return _inputs(case) | {v: known[v] for v in values}


def _inputs(case: Case) -> dict[Value, Array]:
    return dict(zip(case.graph.inputs, bind_inputs(case.graph, case.inputs), strict=True))


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

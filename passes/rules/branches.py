"""Control flow that is decided already, and constants that belong into the graphs that read them."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Graph, Rule, Skip, Value
from ...ir.ops import Constant, If, Loop, Reshape, array_of, constant
from ...ir.types import i64


def choose_branch(op: If) -> tuple[Value, ...] | Skip:
    """if(constant, xs) -> the ops of the graph that it names"""
    known = array_of(op.condition)
    if known is None:
        return Skip()
    return inlined(op.then if known.reshape(-1)[0] else op.otherwise, op.xs)


def run_once(op: Loop) -> tuple[Value, ...] | Skip:
    """A loop of one run without a test -> the ops of its body; of none -> its carried operands"""
    if not op.is_counted or op.trips > 1:
        return Skip()
    if op.trips == 0:
        return op.carried if len(op.results) == len(op.carried) else Skip("it makes rows of no run")
    rows = [Reshape(v, v.shape[1:]).result for v in op.scanned]
    made = inlined(op.body, [constant(0, i64), *op.carried, *rows, *op.captured])
    last = len(op.carried)
    return (*made[:last], *(Reshape(v, (1, *v.shape)).result for v in made[last:]))


def close_branches(op: If) -> tuple[Value, ...] | Skip:
    """if(c, [x, constant]) -> if(c, [x]) with the constant inside; operands that nobody reads go too"""
    bodies = (op.then, op.otherwise)
    moved = _moved(op.xs, [[body.inputs[i] for body in bodies] for i in range(len(op.xs))])
    if not moved:
        return Skip()
    then, otherwise = (_closed(body, 0, op.xs, moved) for body in bodies)
    return _made(op.replace(xs=_kept(op.xs, moved), then=then, otherwise=otherwise))


def close_loop(op: Loop) -> tuple[Value, ...] | Skip:
    """loop(captured=[x, constant]) -> loop(captured=[x]) with the constant inside; what nobody reads goes too"""
    first = len(op.body.inputs) - len(op.captured)
    moved = _moved(op.captured, [[v] for v in op.body.inputs[first:]])
    if not moved:
        return Skip()
    body = _closed(op.body, first, op.captured, moved)
    return _made(op.replace(captured=_kept(op.captured, moved), body=body))


def _made(op: If | Loop) -> tuple[Value, ...]:
    return op.results


def _moved(operands: Sequence[Value], inner: Sequence[Sequence[Value]]) -> set[int]:
    """The operands that bodies need not be given: constants, those that nobody reads, repetitions."""
    unread = {i for i, values in enumerate(inner) if not any(v.users for v in values)}
    known = {i for i, v in enumerate(operands) if isinstance(v.producer, Constant)}
    again = {i for i, v in enumerate(operands) if v in operands[:i]}
    return unread | known | again


def _kept(operands: Sequence[Value], moved: set[int]) -> tuple[Value, ...]:
    return tuple(v for i, v in enumerate(operands) if i not in moved)


def _closed(body: Graph, first: int, operands: Sequence[Value], moved: set[int]) -> Graph:
    """A copy of a body whose inputs from `first` on are the operands; the moved ones become constants or go."""
    made = body.copy()
    inputs = made.inputs[first:]
    for place in sorted(moved):
        inner, array = inputs[place], array_of(operands[place])
        if array is not None and inner.users:
            known = Constant(array)
            made.insert_before(next(iter(made), None), known)
            made.replace_value(inner, known.result)
        elif inner.users:
            made.replace_value(inner, inputs[operands.index(operands[place])])
        made.inputs.remove(inner)
    return made


def inlined(body: Graph, given: Sequence[Value]) -> tuple[Value, ...]:
    """The outputs of a body in ops outside any graph, its inputs being the values given."""
    table = dict(zip(body.inputs, given, strict=True))
    for op in body:
        made = op.with_operands(table.__getitem__)
        table.update(zip(op.results, made.results, strict=True))
    return tuple(table[v] for v in body.outputs)


RULES: list[Rule] = [choose_branch, run_once, close_branches, close_loop]

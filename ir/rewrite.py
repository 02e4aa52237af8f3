"""Rewriting with reasons: rules are plain typed functions, the driver edits the graph.

    def fold_identity(add: Add) -> Value | Skip:
        if not is_zero(add.y):
            return Skip("adds something other than zero")
        return add.x

The annotation of the first parameter selects the ops that a rule is tried on. A rule keeps no state, changes nothing
and returns the value that replaces the op's result (a tuple for several results), or a `Skip`: silent when the op
simply is not its business, with a reason for every near miss.
"""

from __future__ import annotations

import typing
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import EdgecError
from .dims import Undecided
from .graph import Graph
from .op import Op
from .value import Value


@dataclass(frozen=True)
class Skip:
    """A rule did not fire: why, and because of which other op."""

    reason: str = ""
    other: Op | Value | None = None

    @property
    def other_op(self) -> Op | None:
        return self.other.producer if isinstance(self.other, Value) else self.other


Rule = Callable[[Any], Value | tuple[Value, ...] | Skip]


@dataclass
class Rewritten:
    """What a run of rules did: how often each fired."""

    fired: Counter[str] = field(default_factory=Counter)

    @property
    def changed(self) -> bool:
        return bool(self.fired)


def root_of(rule: Rule) -> type[Op]:
    """The op class that a rule is tried on, from its annotation."""
    hints = typing.get_type_hints(rule)
    parameters = [h for name, h in hints.items() if name != "return"]
    if not parameters or not issubclass(parameters[0], Op):
        raise TypeError(f"rule {rule.__name__} must annotate its parameter with the op it is for")
    return typing.cast("type[Op]", parameters[0])


FUEL_PER_OP = 40
RECENT = 12


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Rewritten:
    """Apply rules until none fires; near misses go to the graph's journal once each.

    Raises `EdgecError` naming the rules that chase each other when rewriting does not come to an end.
    """
    by_class = [(root_of(rule), rule) for rule in rules]
    done, fuel = Rewritten(), FUEL_PER_OP * (len(graph) + 100)
    work, queued = deque(graph), set(graph)
    recent: deque[str] = deque(maxlen=RECENT)
    skips: dict[tuple[str, Op, str], Skip] = {}
    while work:
        op = work.popleft()
        queued.discard(op)
        if op not in graph:
            continue
        fired = _apply_first(op, by_class, skips)
        if fired is None:
            continue
        rule, values = fired
        done.fired[rule] += 1
        recent.append(rule)
        fuel -= 1
        if fuel < 0:
            raise EdgecError(
                f"rewriting does not end: {', '.join(sorted(set(recent)))} undo each other", where=op.where
            )
        for touched in _replace(graph, op, values):
            if touched not in queued:
                work.append(touched)
                queued.add(touched)
    for (rule, op, _), skip in skips.items():
        if op in graph:
            graph.note(rule, skip.reason, op, skip.other_op)
    return done


def _apply_first(
    op: Op, rules: Sequence[tuple[type[Op], Rule]], skips: dict[tuple[str, Op, str], Skip]
) -> tuple[str, tuple[Value, ...]] | None:
    for cls, rule in rules:
        if not isinstance(op, cls):
            continue
        answer = _answer(rule, op)
        if not isinstance(answer, Skip):
            return rule.__name__, answer if isinstance(answer, tuple) else (answer,)
        if answer.reason:
            skips[(rule.__name__, op, answer.reason)] = answer
    return None


def _answer(rule: Rule, op: Op) -> Value | tuple[Value, ...] | Skip:
    """What a rule says of an op; it does not fire where that depends on sizes of the run."""
    try:
        return rule(op)
    except Undecided as error:
        return Skip(error.what)


def _replace(graph: Graph, op: Op, values: tuple[Value, ...]) -> list[Op]:
    """Replace an op; returns the ops whose surroundings changed, new ones first."""
    sources = [v.producer for v in op.operands if v.producer is not None]
    readers = [u for r in op.results for u in r.users]
    inserted = graph.replace_op(op, values)
    alive = _sweep(graph, sources)
    sole = [u for s in alive for r in s.results if len(r.users) == 1 for u in r.users]
    return [*inserted, *(u for u in readers if u in graph), *alive, *(u for u in sole if u in graph)]


def _sweep(graph: Graph, ops: Sequence[Op]) -> list[Op]:
    """Remove those ops that nobody reads, and what only they read: dead readers would hide that a value has one use.

    Returns the ops that stay, of those given and of those that lost a reader.
    """
    alive: dict[Op, None] = {}
    work = deque(ops)
    while work:
        op = work.popleft()
        if op not in graph:
            continue
        if any(r.users for r in op.results) or not op.pure:
            alive[op] = None
            continue
        alive.pop(op, None)
        graph.remove(op)
        work.extend(v.producer for v in op.operands if v.producer is not None)
    return list(alive)

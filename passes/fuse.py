"""Fusion: partition the graph into regions, each of which becomes one kernel.

A strategy has one method, `partition(graph) -> groups`, and is registered under a name; `fuse{strategy=NAME}` uses it.
What a region may hold is checked here for all strategies (`region_fault`), and every refusal is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from ..errors import UsageError
from ..ir import Graph, Op, Value
from ..ir.ops import Constant, Fused, uniform
from .region_rules import region_fault
from .registry import register

Group = list[Op]


class FusionStrategy(Protocol):
    """Chooses which ops become one kernel."""

    def partition(self, graph: Graph) -> list[Group]:
        """Disjoint groups of two or more ops, each in graph order and with one result read from outside."""
        ...


STRATEGIES: dict[str, Callable[[], FusionStrategy]] = {}

Strategy = TypeVar("Strategy", bound=Callable[[], FusionStrategy])


def fusion_strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Register a strategy under a name."""

    def declare(make: Strategy) -> Strategy:
        STRATEGIES[name] = make
        return make

    return declare


@fusion_strategy("none")
class NoFusion:
    """Every op its own kernel."""

    def partition(self, graph: Graph) -> list[Group]:
        return []


@register
@dataclass(frozen=True)
class Fuse:
    """Gather ops into regions by a strategy (`none`, `greedy` or one from a plugin)."""

    name: ClassVar[str] = "fuse"
    strategy: str = "greedy"

    def run(self, graph: Graph) -> Graph:
        from . import fuse_greedy  # noqa: F401  (registers itself)

        if self.strategy not in STRATEGIES:
            known = ", ".join(sorted(STRATEGIES))
            raise UsageError(f"there is no fusion strategy '{self.strategy}'", hint=f"strategies: {known}")
        for group in STRATEGIES[self.strategy]().partition(graph):
            fault = region_fault(group)
            if fault:
                raise UsageError(f"strategy '{self.strategy}' made a region that no kernel serves: {fault}")
            fuse_group(graph, group)
        graph.stage = "fused"
        return graph


def fuse_group(graph: Graph, group: Sequence[Op]) -> Fused:
    """Replace a group by one `fused` op; the group's last op gives the result."""
    members = set(group)
    body = Graph("region")
    body.stage = graph.stage
    table: dict[Value, Value] = {}
    operands = _outside_values(group, members)
    for value in operands:
        table[value] = body.input(value.type, value.name)
    for op in group:
        _copy_into(body, op, table)
    sink = group[-1]
    body.set_outputs([table[sink.result]], [sink.result.name])
    fused = Fused(tuple(operands), body)
    fused.origin = _anchor(group).origin
    graph.replace_op(sink, [fused.result])
    for op in reversed(group[:-1]):
        graph.remove(op)
    return fused


def _outside_values(group: Sequence[Op], members: set[Op]) -> list[Value]:
    """Operands that come from outside; uniform scalars are copied into the body instead, as literals."""
    found = dict.fromkeys(v for op in group for v in op.operands if v.producer not in members)
    return [v for v in found if not is_literal(v)]


def is_literal(value: Value) -> bool:
    """Whether a value is a constant that a kernel writes as one number."""
    return isinstance(value.producer, Constant) and value.type.size == 1 and uniform(value) is not None


def _copy_into(body: Graph, op: Op, table: dict[Value, Value]) -> None:
    for value in op.operands:
        if value not in table:
            literal = Constant(value.producer.value)  # type: ignore[union-attr]
            table[value] = body.add(literal)
    made = op.with_operands(table.__getitem__)
    made.result.type = op.result.type
    made.result.name = op.result.name
    table[op.result] = body.add(made)


def _anchor(group: Iterable[Op]) -> Op:
    """The op that a region is named after: the one that computes most, the first of equals."""
    return max(group, key=lambda op: op.macs())

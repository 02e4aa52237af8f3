"""Which ops TensorRT takes: what its parser refuses is spelled out in simpler ones, and the rest is named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...errors import Unsupported, UnsupportedNode
from ...escaping import escape
from ...ir import Graph, Op
from ...ir.ops import Constant, Elementwise, array_of, constant
from ...ir.unsupported import unsupported
from .onnx_model import beyond, model_of, node_names
from .parser import Refusal, examine, subgraphs

SHOWN = 6


@dataclass(frozen=True)
class Fitted:
    """A model that the parser takes, the ops of its nodes, those that were spelled out, or else what is refused."""

    model: bytes
    nodes: Mapping[str, Op]
    expanded: tuple[Op, ...] = ()
    refused: tuple[UnsupportedNode, ...] = ()


def fit(graph: Graph, precision: str, kept: Collection[Op] = ()) -> Fitted:
    """The ONNX model of a graph as the parser takes it, some ops `kept` in fp32.

    The parser stops at the first fault, so ops that it refuses are spelled out, or cut out and noted, until it is
    through.
    """
    every = list(graph)
    expanded: set[int] = set()
    refused: dict[int, str] = {}
    while True:
        trial, ops = _without(graph, refused)
        chosen = {ops[place] for place in expanded}
        model, nodes = model_of(trial, precision, lambda op, chosen=chosen: beyond(op) or op in chosen, kept)  # type: ignore[misc]
        faults = examine(model)
        located = _located(faults, nodes, ops, refused)
        if not located:
            break
        for place, reason in located:
            if place not in expanded and _simpler(every[place]):
                expanded.add(place)
            else:
                refused[place] = reason
    named = _refusals(graph, precision, expanded, refused)
    return Fitted(model, nodes, tuple(every[place] for place in sorted(expanded)), named)


def _refusals(
    graph: Graph, precision: str, expanded: Collection[int], refused: Mapping[int, str]
) -> tuple[UnsupportedNode, ...]:
    """What is refused, by name, with the parts of the graph that the parser takes."""
    if not refused:
        return ()
    ops = list(graph)
    chosen = {ops[place] for place in expanded}
    model, nodes = model_of(graph, precision, lambda op: beyond(op) or op in chosen)
    names = node_names(model)
    groups = [[names[place] for place in group] for group in subgraphs(model)]
    parts = _parts(groups, {name for name, op in nodes.items() if op not in {ops[place] for place in refused}})
    return tuple(_described(ops[place], reason, parts) for place, reason in sorted(refused.items()))


def _parts(groups: Collection[list[str]], known: Collection[str]) -> str:
    """Subgraphs in words, each by its first and last known node; copies and casts that belong to no op are not."""
    taken = [[name for name in group if name in known] for group in groups]
    spans = [f"{names[0]}..{names[-1]}" if len(names) > 1 else names[0] for names in taken if names]
    if not spans:
        return ""
    count = "1 subgraph" if len(spans) == 1 else f"{len(spans)} subgraphs"
    more = f", and {len(spans) - SHOWN} more" if len(spans) > SHOWN else ""
    return f"{count}: {', '.join(map(escape, spans[:SHOWN]))}{more}"


def _located(
    faults: Collection[Refusal], nodes: dict[str, Op], ops: list[Op], known: Collection[int]
) -> list[tuple[int, str]]:
    """The ops that the parser refuses, by their places; where it names no node, those that it refuses alone."""
    named = [(ops.index(nodes[fault.node]), fault.reason) for fault in faults if fault.node in nodes]
    if named or not faults:
        return named
    rest = [(place, op) for place, op in enumerate(ops) if place not in known]
    alone = [(place, found[0].reason) for place, op in rest if (found := _refused_alone(op))]
    if faults and not alone and not known:
        reasons = [UnsupportedNode(fault.node, fault.operator or "model", fault.reason) for fault in faults]
        raise Unsupported(reasons)
    return alone


def _refused_alone(op: Op) -> tuple[Refusal, ...]:
    if isinstance(op, Constant):
        return ()
    graph = Graph()
    known = {v: v if array_of(v) is not None else graph.input(v.type) for v in op.operands}
    made: Op = op.with_operands(lambda v: constant(array_of(v)) if known[v] is v else known[v])
    graph.add(made)
    graph.set_outputs(made.results)
    return examine(model_of(graph)[0])


def _simpler(op: Op) -> bool:
    """Whether an op can be written in another way."""
    return isinstance(op, Elementwise) or op.expand() is not None


def _without(graph: Graph, places: Collection[int]) -> tuple[Graph, list[Op]]:
    """The graph with inputs in the place of some ops, and the ops by their old places."""
    if not places:
        return graph, list(graph)
    made = graph.copy()
    ops = list(made)
    for place in places:
        for result in ops[place].results:
            made.replace_value(result, made.input(result.type))
        made.remove(ops[place])
    return made, ops


def _described(op: Op, reason: str, parts: str) -> UnsupportedNode:
    return unsupported(op, f"TensorRT's parser refuses it: {reason}", parts)

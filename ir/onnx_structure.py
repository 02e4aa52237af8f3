"""The order of nodes: which are needed, in which order they can be computed, and what makes that impossible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx

from ..errors import ModelError
from ..escaping import escape
from .onnx_attributes import by_name
from .onnx_gradient import names_of
from .onnx_read import subgraphs


@dataclass(frozen=True)
class Placed:
    """A node, its place in the file and every name it reads, those of nested graphs included."""

    index: int
    proto: onnx.NodeProto
    reads: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"ONNX node {self.index} {escape(self.proto.op_type)} '{escape(self.proto.name)}'"


def arrange(nodes: Iterable[onnx.NodeProto], defined: Iterable[str], outputs: Sequence[str]) -> list[Placed]:
    """The nodes that the outputs need, each after what it reads.

    `defined` are the names that exist before any node runs. `ModelError` for names defined twice and for cycles.
    """
    placed = [Placed(i, n, _reads(n)) for i, n in enumerate(nodes)]
    producers = _producers(placed, defined)
    return _sorted(_needed(placed, producers, outputs), producers)


def _reads(node: onnx.NodeProto) -> tuple[str, ...]:
    names = [n for n in node.input if n]
    if node.op_type == "Gradient":
        xs, zs, y = names_of(by_name(node))
        names += [n for n in (*xs, *zs, y) if n]
    stack = list(subgraphs(node))
    while stack:
        graph = stack.pop()
        names += (value.name for value in graph.output)
        for inner in graph.node:
            names += (n for n in inner.input if n)
            stack += subgraphs(inner)
    return tuple(names)


def _producers(placed: list[Placed], defined: Iterable[str]) -> dict[str, Placed]:
    known, producers = set(defined), {}
    for node in placed:
        for name in node.proto.output:
            if name in known or name in producers:
                raise ModelError(f"value '{escape(name)}' is defined twice", where=node.title)
            if name:
                producers[name] = node
    return producers


def _needed(placed: list[Placed], producers: dict[str, Placed], outputs: Sequence[str]) -> list[Placed]:
    found: set[int] = set()
    stack = [producers[name] for name in outputs if name in producers]
    while stack:
        node = stack.pop()
        if node.index not in found:
            found.add(node.index)
            stack += (producers[name] for name in node.reads if name in producers)
    return [node for node in placed if node.index in found]


def _sorted(nodes: list[Placed], producers: dict[str, Placed]) -> list[Placed]:
    sources = {n.index: {producers[r].index for r in n.reads if r in producers} for n in nodes}
    if all(source < index for index, found in sources.items() for source in found):
        return nodes
    by_index = {n.index: n for n in nodes}
    readers: dict[int, list[int]] = {index: [] for index in by_index}
    waiting = {index: len(found) for index, found in sources.items()}
    for index, found in sources.items():
        for source in found:
            readers[source].append(index)
    ready, order = deque(index for index, count in waiting.items() if not count), []
    while ready:
        index = ready.popleft()
        order.append(by_index[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        raise _cycle_error({i: s for i, s in sources.items() if waiting[i]}, by_index)
    return order


def _cycle_error(sources: dict[int, set[int]], by_index: dict[int, Placed]) -> ModelError:
    """Every node left waits for another one left, so walking backwards must come round."""
    trail: dict[int, None] = {}
    current = min(sources)
    while current not in trail:
        trail[current] = None
        current = min(s for s in sources[current] if s in sources)
    steps = list(trail)
    cycle = [by_index[i] for i in reversed(steps[steps.index(current) :])]
    shown = " -> ".join(f"'{escape(n.proto.name or n.proto.op_type, 60)}'" for n in cycle[:8])
    more = f" -> ... ({len(cycle)} nodes)" if len(cycle) > 8 else ""
    return ModelError(f"the nodes form a cycle: {shown}{more}", where=cycle[0].title)

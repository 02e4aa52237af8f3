"""Regular expressions as automata over the bytes of UTF-8: a state and a byte tell the next state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .regex import MOST_CODE, WORD, Characters, Node, NoPattern, Place, Ranges, Repeat, Series, parse

Array = np.ndarray
MOST_NODES = 1 << 14
MOST_STATES = 1 << 12
MOST_WORK = 1 << 22
"""Nodes that may be visited while states are found."""
SURROGATES = 0xD800, 0xDFFF
START, WORDS, OTHER, END = range(4)
"""What stands beside a place between bytes."""
Edge = tuple[int, int, int]
"""From byte, to byte, the node that they lead to."""


@dataclass(frozen=True)
class Automaton:
    """Tables: `classes` u8[256] of bytes, `steps` u16[states, kinds], `accepts` u8[states]; it begins in state 0."""

    classes: Array
    steps: Array
    accepts: Array


def automaton(pattern: str) -> Automaton:
    """The automaton of a whole match; `NoPattern` where it gets too large, errors as those of `parse`."""
    nodes = _Nodes()
    nodes.last = nodes.build(parse(pattern), nodes.new())
    return _smallest(_States(nodes).automaton())


# --- nodes: any number of ways for a byte -----------------------------------------------------------------------------


@dataclass
class _Nodes:
    """Nodes by number: on which bytes they lead where, and where they lead without, at certain places or at all."""

    edges: list[list[Edge]] = field(default_factory=list)
    free: list[list[tuple[str, int]]] = field(default_factory=list)
    last: int = 0

    def new(self) -> int:
        if len(self.edges) >= MOST_NODES:
            raise NoPattern(f"its pattern has more than {MOST_NODES} places")
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def join(self, start: int, end: int, place: str = "") -> None:
        self.free[start].append((place, end))

    def build(self, tree: Node, start: int) -> int:
        """Add what leads from a node through a tree; returns where it ends."""
        if isinstance(tree, Characters):
            return self.characters(tree.ranges, start)
        if isinstance(tree, Series):
            for part in tree.parts:
                start = self.build(part, start)
            return start
        if isinstance(tree, Repeat):
            return self.repeat(tree, start)
        end = self.new()
        if isinstance(tree, Place):
            self.join(start, end, tree.kind)
            return end
        for part in tree.parts:
            begin = self.new()
            self.join(start, begin)
            self.join(self.build(part, begin), end)
        return end

    def characters(self, ranges: Ranges, start: int) -> int:
        end = self.new()
        for low, high in ranges:
            for spans in utf8(low, high):
                at = start
                for place, (a, b) in enumerate(spans, 1):
                    to = end if place == len(spans) else self.new()
                    self.edges[at].append((a, b, to))
                    at = to
        return end

    def repeat(self, tree: Repeat, start: int) -> int:
        for _ in range(tree.least):
            start = self.build(tree.part, start)
        end = self.new()
        self.join(start, end)
        if tree.most is None:
            begin = self.new()
            self.join(end, begin)
            self.join(self.build(tree.part, begin), end)
            return end
        for _ in range(tree.least, tree.most):
            start = self.build(tree.part, start)
            self.join(start, end)
        return end


def utf8(low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """The bytes of a range of characters: sequences of ranges; surrogates have none."""
    for last in (0x7F, 0x7FF, SURROGATES[0] - 1, SURROGATES[1], 0xFFFF, MOST_CODE):
        if low <= last < high:
            yield from utf8(low, last)
            yield from utf8(last + 1, high)
            return
    if low > high or SURROGATES[0] <= low <= SURROGATES[1]:
        return
    for bits in (6, 12, 18) if high > 0x7F else ():
        below = (1 << bits) - 1
        if low & ~below != high & ~below and low & below:
            yield from utf8(low, low | below)
            yield from utf8((low | below) + 1, high)
            return
        if low & ~below != high & ~below and high & below != below:
            yield from utf8(low, (high & ~below) - 1)
            yield from utf8(high & ~below, high)
            return
    yield list(zip(chr(low).encode(), chr(high).encode(), strict=True))


# --- states: one way for a byte ---------------------------------------------------------------------------------------

State = tuple[frozenset[int], int]
"""The nodes where one may be before places between bytes are passed, and what stands before."""


class _States:
    def __init__(self, nodes: _Nodes) -> None:
        self.nodes, self.work = nodes, 0
        self.has_places = any(place for ways in nodes.free for place, _ in ways)
        cuts = {0, *(cut for edges in nodes.edges for a, b, _ in edges for cut in (a, b + 1))}
        cuts |= {cut for a, b in WORD for cut in (a, b + 1)} if self.has_places else set()
        self.firsts = sorted(cut for cut in cuts if cut < 256)

    def automaton(self) -> Automaton:
        classes = np.searchsorted(self.firsts, np.arange(256), side="right") - 1
        start: State = (frozenset([0]), START if self.has_places else OTHER)
        states, numbers, rows, accepts = [start], {start: 0}, list[list[int]](), list[bool]()
        for state in states:  # grows on the way
            after = [self.after(state, byte) for byte in self.firsts]
            states += (new for new in dict.fromkeys(after) if new not in numbers)
            numbers.update((new, place) for place, new in enumerate(states[len(numbers) :], len(numbers)))
            rows.append([numbers[new] for new in after])
            accepts.append(self.nodes.last in self.reached(state, END))
            if len(states) > MOST_STATES:
                raise NoPattern(f"its pattern takes more than {MOST_STATES} states")
        return Automaton(classes.astype(np.uint8), np.array(rows, np.uint16), np.array(accepts, np.uint8))

    def after(self, state: State, byte: int) -> State:
        kind = WORDS if self.has_places and any(a <= byte <= b for a, b in WORD) else OTHER
        edges = (edge for node in self.reached(state, kind) for edge in self.nodes.edges[node])
        return frozenset(to for a, b, to in edges if a <= byte <= b), kind

    def reached(self, state: State, after: int) -> set[int]:
        """The nodes where one may be at a place with something behind it."""
        core, before = state
        edge = (before == WORDS) != (after == WORDS)
        passed = {"": True, "begin": before == START, "end": after == END, "edge": edge, "inside": not edge}
        found, stack = set(core), list(core)
        while stack:
            more = {to for place, to in self.nodes.free[stack.pop()] if passed[place] and to not in found}
            found |= more
            stack += more
        self.work += len(found)
        if self.work > MOST_WORK:
            raise NoPattern("its pattern takes too many states")
        return found


def _smallest(given: Automaton) -> Automaton:
    """The same automaton with states joined that nothing tells apart."""
    kinds, count = given.accepts.astype(np.int64), 0
    while True:
        rows = np.column_stack([kinds, kinds[given.steps]])
        _, first, kinds = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        kinds = kinds.reshape(-1)
        if len(first) == count:
            break
        count = len(first)
    order = np.argsort(first)  # the first state stays the first
    number = np.argsort(order)[kinds]
    kept = first[order]
    return Automaton(given.classes, number[given.steps[kept]].astype(np.uint16), given.accepts[kept])

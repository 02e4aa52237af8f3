"""Memory planning: places for all values, offsets for all buffers, and what there is to say about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Value
from .arena import ALIGNMENT, Interval, place
from .places import Buffer, Place
from .registry import register
from .storage import Storage, assign_storage


@dataclass(frozen=True)
class MemoryPlan:
    """Where every value lives, how large the arena is and the bound below which no placement can go, in bytes."""

    storage: Storage
    arena_bytes: int
    lower_bound: int

    def place(self, value: Value) -> Place:
        return self.storage.places[value]

    def buffers(self) -> list[Buffer]:
        return self.storage.arena_buffers()

    def names(self, buffer: Buffer) -> Iterator[str]:
        """What the model calls the values of a buffer."""
        for value, at in self.storage.places.items():
            if at.buffer is buffer and value.name:
                yield value.name

    def peak_step(self) -> int:
        """The step in which most bytes are alive."""
        steps = sorted({b.first for b in self.buffers()})
        return max(steps, key=lambda s: sum(b.bytes for b in self.buffers() if b.first <= s <= b.last), default=0)


@register
@dataclass(frozen=True)
class Plan:
    """Place every value; the plan stands in `graph.metadata["plan"]`. `tries` bounds the search for better offsets."""

    name: ClassVar[str] = "plan"
    tries: int = 400

    def run(self, graph: Graph) -> Graph:
        storage = assign_storage(graph)
        buffers = storage.arena_buffers()
        found = place([Interval(b.bytes, b.first, b.last) for b in buffers], self.tries)
        for buffer, offset in zip(buffers, found.offsets, strict=True):
            buffer.offset = offset
        graph.metadata["plan"] = MemoryPlan(storage, max(found.bytes, ALIGNMENT), max(found.lower_bound, ALIGNMENT))
        graph.stage = "planned"
        return graph

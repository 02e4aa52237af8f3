"""What an op needs of the arena while it runs: transformed tiles, rolling buffers, bodies, what a loop keeps."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Graph, Op
from ..ir.ops import Cascade, If, Loop, WinogradConv
from .arena import ALIGNMENT
from .rolling import rolling_of


@dataclass(frozen=True)
class Scratch:
    """The bytes of the block of an op, and for control flow offsets in it: bodies start at 0."""

    bytes: int
    trip: int = 0
    going: int = 0
    carried: tuple[int, ...] = ()


def scratch_of(op: Op) -> Scratch | None:
    """The block of an op, whose bodies are planned; None for an op that needs none."""
    if isinstance(op, WinogradConv):
        return Scratch(op.scratch) if op.scratch else None
    if isinstance(op, Cascade):
        return Scratch(rolling_of(op).bytes)
    if isinstance(op, If):
        return Scratch(max(_arena(op.then), _arena(op.otherwise)))
    return _of_loop(op) if isinstance(op, Loop) else None


def _of_loop(op: Loop) -> Scratch:
    trip = _arena(op.body)
    going = trip + ALIGNMENT
    place, carried = going + ALIGNMENT, []
    for value in op.carried:
        carried.append(place)
        place += -(-value.type.most_bytes // ALIGNMENT) * ALIGNMENT
    return Scratch(place, trip, going, tuple(carried))


def _arena(body: Graph) -> int:
    plan = body.metadata["plan"]
    return int(plan.arena_bytes)

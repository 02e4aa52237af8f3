"""Offsets in one arena for buffers with known lifetimes.

Greedy placement (Pisarchyk and Lee, 2020: each buffer at the lowest gap among those alive with it) under several
orders, then a local search over orders until the lower bound, the largest sum of live bytes, is met or the budget is
spent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Interval:
    """A buffer: its size in bytes, and the first and last step that it is alive in, both inclusive."""

    bytes: int
    first: int
    last: int

    @property
    def aligned(self) -> int:
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Placement:
    """Byte offsets by buffer, the bytes of the arena and the bound below which no placement can go."""

    offsets: tuple[int, ...]
    bytes: int
    lower_bound: int


def lower_bound(buffers: Sequence[Interval]) -> int:
    """The largest sum of bytes alive in one step."""
    changes: dict[int, int] = {}
    for b in buffers:
        changes[b.first] = changes.get(b.first, 0) + b.aligned
        changes[b.last + 1] = changes.get(b.last + 1, 0) - b.aligned
    live = peak = 0
    for step in sorted(changes):
        live += changes[step]
        peak = max(peak, live)
    return peak


def place(buffers: Sequence[Interval], tries: int = 400) -> Placement:
    """Choose offsets; deterministic for the same buffers."""
    bound = lower_bound(buffers)
    rivals = _overlaps(buffers)
    orders = _starting_orders(buffers)
    best_order, best = min(((o, _place(buffers, rivals, o)) for o in orders), key=lambda pair: pair[1][1])
    chooser = random.Random(len(buffers))
    budget = min(tries, 2_000_000 // max(1, sum(map(len, rivals)) + len(buffers)))
    for _ in range(budget):
        if best[1] <= bound:
            break
        order = _perturbed(best_order, buffers, best, chooser)
        found = _place(buffers, rivals, order)
        if found[1] <= best[1]:
            best_order, best = order, found
    return Placement(tuple(best[0]), best[1], bound)


def _overlaps(buffers: Sequence[Interval]) -> list[list[int]]:
    """For each buffer the others that are alive at the same time, by a sweep over the steps."""
    rivals: list[list[int]] = [[] for _ in buffers]
    alive: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (buffers[i].first, i)):
        alive = [j for j in alive if buffers[j].last >= buffers[i].first]
        for j in alive:
            rivals[i].append(j)
            rivals[j].append(i)
        alive.append(i)
    return rivals


def _starting_orders(buffers: Sequence[Interval]) -> list[list[int]]:
    indices = range(len(buffers))

    def size(i: int) -> int:
        return buffers[i].aligned

    def span(i: int) -> int:
        return buffers[i].last - buffers[i].first

    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-size(i), buffers[i].first, i),
        lambda i: (-size(i) * (span(i) + 1), i),
        lambda i: (-span(i), -size(i), i),
        lambda i: (buffers[i].first, -size(i), i),
        lambda i: (-buffers[i].last, -size(i), i),
    ]
    return [sorted(indices, key=key) for key in keys]


def _place(buffers: Sequence[Interval], rivals: list[list[int]], order: Sequence[int]) -> tuple[list[int], int]:
    offsets = [-1] * len(buffers)
    total = 0
    for i in order:
        taken = sorted((offsets[j], offsets[j] + buffers[j].aligned) for j in rivals[i] if offsets[j] >= 0)
        offset = 0
        for start, end in taken:
            if start - offset >= buffers[i].aligned:
                break
            offset = max(offset, end)
        offsets[i] = offset
        total = max(total, offset + buffers[i].aligned)
    return offsets, total


def _perturbed(
    order: Sequence[int], buffers: Sequence[Interval], best: tuple[list[int], int], chooser: random.Random
) -> list[int]:
    """The order with a buffer from the top of the arena moved forward, or two buffers exchanged."""
    changed = list(order)
    top = [i for i in order if best[0][i] + buffers[i].aligned == best[1]]
    if top and chooser.random() < 0.6:
        moved = chooser.choice(top)
        position = changed.index(moved)
        changed.insert(chooser.randrange(position + 1), changed.pop(position))
    else:
        a, b = chooser.randrange(len(changed)), chooser.randrange(len(changed))
        changed[a], changed[b] = changed[b], changed[a]
    return changed

"""Offsets in the arena: nothing that lives at the same time overlaps, and the bound is met where that is easy."""

from __future__ import annotations

import itertools
import random

import pytest

from edgec.passes.arena import ALIGNMENT, Interval, Placement, lower_bound, place

SEEDS = range(60)


def random_buffers(seed: int, count: int = 0) -> list[Interval]:
    chance = random.Random(seed)
    count = count or chance.randint(1, 60)
    found = []
    for _ in range(count):
        first = chance.randint(0, 50)
        found.append(
            Interval(chance.choice([1, 63, 64, 65, 1000, 4096, 100_000]), first, first + chance.randint(0, 12))
        )
    return found


def check(buffers: list[Interval], found: Placement) -> None:
    for (a, at), (b, bt) in itertools.combinations(zip(buffers, found.offsets, strict=True), 2):
        together = a.first <= b.last and b.first <= a.last
        assert not together or at + a.bytes <= bt or bt + b.bytes <= at
    assert all(offset % ALIGNMENT == 0 and offset >= 0 for offset in found.offsets)
    assert all(offset + b.bytes <= found.bytes for b, offset in zip(buffers, found.offsets, strict=True))


def slow_bound(buffers: list[Interval]) -> int:
    steps = {b.first for b in buffers}
    return max((sum(b.aligned for b in buffers if b.first <= s <= b.last) for s in steps), default=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_buffers(seed: int) -> None:
    buffers = random_buffers(seed)
    found = place(buffers)
    check(buffers, found)
    assert found.lower_bound == lower_bound(buffers) == slow_bound(buffers)
    assert found.lower_bound <= found.bytes <= 1.25 * found.lower_bound
    assert place(buffers) == found


def test_random_buffers_are_close_to_the_bound() -> None:
    ratios = [p.bytes / p.lower_bound for p in (place(random_buffers(seed)) for seed in SEEDS)]
    assert sum(ratios) / len(ratios) < 1.02


def chain(count: int) -> list[Interval]:
    """Each buffer is read by the next step alone."""
    return [Interval(64 * (1 + 7 * i % 5), i, i + 1) for i in range(count)]


def skips(count: int) -> list[Interval]:
    """A U-shaped network: the first buffers live longest."""
    return [Interval(64 * (count - i), i, 2 * count - i) for i in range(count)]


def alone(count: int) -> list[Interval]:
    return [Interval(1000 + i, i, i) for i in range(count)]


def together(count: int) -> list[Interval]:
    return [Interval(100 + i, 0, count) for i in range(count)]


@pytest.mark.parametrize("family", [chain, skips, alone, together])
@pytest.mark.parametrize("count", [1, 2, 5, 40, 400])
def test_easy_families_meet_the_bound(family: object, count: int) -> None:
    buffers = family(count)  # type: ignore[operator]
    found = place(buffers)
    check(buffers, found)
    assert found.bytes == found.lower_bound


def test_no_buffers_need_no_arena() -> None:
    assert place([]) == Placement((), 0, 0)
    assert place([Interval(0, 0, 3)]).bytes == 0


def test_thousands_of_buffers_take_seconds() -> None:
    buffers = [Interval(64 * (1 + i % 7), i, i + 3) for i in range(10_000)]
    found = place(buffers)
    assert found.bytes <= 1.25 * found.lower_bound


def test_more_tries_are_never_worse() -> None:
    for seed in range(20):
        buffers = random_buffers(seed, 40)
        assert place(buffers, 400).bytes <= place(buffers, 0).bytes

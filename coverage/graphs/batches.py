"""Many random graphs, batch after batch, and what came of each batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from .check import Finding, check
from .grow import random_case

BATCH = 24
"""Graphs for one call of the C compiler."""


@dataclass(frozen=True)
class Batch:
    """Some graphs that come from seeds that follow each other."""

    seeds: range
    findings: list[Finding]
    ops: Counter[str]


def examined(seeds: range, ways: Sequence[str], target: str) -> Batch:
    """What comes of the graphs of some seeds."""
    cases = [random_case(seed) for seed in seeds]
    return Batch(seeds, check(cases, ways, target), Counter(op.name for case in cases for op in case.graph.every_op))


def batches(seeds: range, ways: Sequence[str], target: str, processes: int = 1) -> Iterator[Batch]:
    """What comes of the graphs of many seeds, in order; so many processes work side by side."""
    parts = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    if processes == 1:
        yield from (examined(part, ways, target) for part in parts)
        return
    with ProcessPoolExecutor(processes) as pool:
        running: list[Future[Batch]] = [pool.submit(examined, part, ways, target) for part in parts[:processes]]
        try:
            for part in [*parts[processes:], *[range(0)] * processes]:
                if not running:
                    return
                yield running.pop(0).result()
                if part:
                    running.append(pool.submit(examined, part, ways, target))
        finally:
            pool.shutdown(cancel_futures=True)

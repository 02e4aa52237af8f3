"""Many random graphs, batch after batch, and what came of each batch."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from .check import Finding, check
from .grow import random_case

BATCH = 96
"""Graphs for one call of the C compiler, which takes seconds for the kernels alone."""


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


def batches(
    seeds: range, ways: Sequence[str], target: str, processes: int = 1, seconds: float = float("inf")
) -> Iterator[Batch]:
    """What comes of the graphs of many seeds, in order; so many processes work side by side.

    After so many seconds no other batch is begun.
    """
    end = time.monotonic() + seconds
    parts = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    if processes == 1:
        for part in itertools.takewhile(lambda part: time.monotonic() < end, parts):
            yield examined(part, ways, target)
        return
    with ProcessPoolExecutor(processes) as pool:
        running = [pool.submit(examined, part, ways, target) for part in parts[:processes]]
        rest = parts[processes:]
        while running:
            yield running.pop(0).result()
            if rest and time.monotonic() < end:
                running.append(pool.submit(examined, rest.pop(0), ways, target))

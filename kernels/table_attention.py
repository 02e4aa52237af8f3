"""How the attention kernel cuts its work: queries of a task, keys of a block, tiles in registers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from .table import Tile, choose_tile, estimate, get_isa

FLOATS = 10240  # as EC_ATTENTION_FLOATS
VECTORS = 2
SHARE = 0.75
"""The part of L1 that queries and scores may take; keys and values stream past."""
MOST_ROWS = 48
LEAST_BLOCK = 16
LONGEST_FEW = 1024
SCALING = 4
"""Cycles for each vector of results that is scaled to a new maximum."""


@dataclass(frozen=True)
class AttentionPlan:
    """`rows` queries of a task, `block` keys whose scores are kept at once, tiles of scores and of results."""

    few: bool
    rows: int
    block: int
    scores: Tile
    results: Tile


@cache
def plan_attention(
    isa: str, registers: int | None, l1: int, few: bool, queries: int, keys: int, depth: int, width: int
) -> AttentionPlan | None:
    """The plan for so many queries and keys at most, with keys in the lanes if `few`.

    None where the working memory of the kernel is too small.
    """
    head = _Head(isa, registers, queries, keys, depth, width)
    if few:
        return head.few()
    budget = min(FLOATS, int(l1 * SHARE) // 4)
    found = next((plans for limit in (budget, FLOATS) if (plans := list(head.plans(limit)))), [])
    return min(found, key=head.cycles, default=None)


@dataclass(frozen=True)
class _Head:
    """One head of queries, keys and values on an instruction set."""

    isa: str
    registers: int | None
    queries: int
    keys: int
    depth: int
    width: int

    @property
    def panel(self) -> int:
        """Lanes of one panel of scores."""
        return VECTORS * get_isa(self.isa, self.registers).lanes

    def few(self) -> AttentionPlan | None:
        """All queries at once, with keys in the lanes."""
        most = (FLOATS - self.panel * self.depth - self.queries * self.depth) // self.queries // self.panel
        block = min(most, -(-min(self.keys, LONGEST_FEW) // self.panel)) * self.panel
        if block < self.panel:
            return None
        scores = choose_tile(self.isa, self.queries, self.panel, self.depth, self.registers, VECTORS)
        results = choose_tile(self.isa, self.queries, self.width, block, self.registers)
        return AttentionPlan(True, self.queries, block, scores, results)

    def plans(self, floats: int) -> Iterator[AttentionPlan]:
        """What fits into so many floats: for each number of queries few and many keys."""
        for rows in range(self.panel, max(MOST_ROWS, self.panel) + 1, self.panel):
            most = floats // rows - self.depth
            if most < min(LEAST_BLOCK, self.keys) or (rows > self.panel and rows - self.panel >= self.queries):
                continue
            for block in {self.keys} if self.keys <= most else range(most, max(most // 2, 1) - 1, -1):
                yield self.plan(rows, block)

    def plan(self, rows: int, block: int) -> AttentionPlan:
        scores = choose_tile(self.isa, block, rows, self.depth, self.registers, VECTORS)
        results = choose_tile(self.isa, rows, self.width, block, self.registers)
        return AttentionPlan(False, rows, block, scores, results)

    def cycles(self, plan: AttentionPlan) -> float:
        """An estimate for all queries; a last task has fewer, in whole vectors."""
        full, rest = divmod(self.queries, plan.rows)
        return full * self._task(plan, plan.rows) + (self._task(plan, rest) if rest else 0)

    def _task(self, plan: AttentionPlan, rows: int) -> float:
        isa = get_isa(self.isa, self.registers)
        full, rest = divmod(self.keys, plan.block)
        lanes = -(-rows // isa.lanes) * isa.lanes
        scaling = SCALING * rows * -(-self.width // isa.lanes)
        streamed = 4 * self.keys * (self.depth + self.width) / isa.stream
        return streamed + sum(
            count * (estimate(isa, plan.scores, keys, lanes, self.depth)
                     + estimate(isa, plan.results, rows, self.width, keys) + scaling)
            for count, keys in ((full, plan.block), (1, rest)) if keys
        )  # fmt: skip

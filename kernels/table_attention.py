"""How the attention kernel cuts its work: queries of a task, keys of a block, tiles in registers."""

from __future__ import annotations

from dataclasses import dataclass

from .table import Tile, choose_tile, estimate, get_isa

FLOATS = 10240  # as EC_ATTENTION_FLOATS
QUERIES = 128  # as EC_ATTENTION_QUERIES
VECTORS = 2
USUAL_QUERIES = 32
SHARE = 0.75
"""The part of L1 that queries and scores may take; keys and values stream past."""
LEAST_BLOCK = 16
LONGEST_FEW = 1024


@dataclass(frozen=True)
class AttentionPlan:
    """`rows` queries of a task, `block` keys whose scores are kept at once, tiles of scores and of results."""

    few: bool
    rows: int
    block: int
    scores: Tile
    results: Tile


def plan_attention(
    isa: str, registers: int | None, l1: int, few: bool, queries: int, keys: int, depth: int, width: int
) -> AttentionPlan | None:
    """The plan for so many queries and keys at most, with keys in the lanes if `few`.

    None where the working memory of the kernel is too small.
    """
    budget = min(FLOATS, int(l1 * SHARE) // 4)
    if few:
        return _few(isa, registers, queries, keys, depth, width)
    lanes = get_isa(isa, registers).lanes
    panel = VECTORS * lanes
    for panels in range(max(1, min(USUAL_QUERIES, queries) // panel), 0, -1):
        rows = panels * panel
        for limit in (budget, FLOATS):
            most = limit // rows - depth
            if most >= min(LEAST_BLOCK, keys) and rows <= QUERIES:
                block = _block(isa, registers, rows, keys, depth, width, most)
                scores = choose_tile(isa, block, rows, depth, registers, VECTORS)
                return AttentionPlan(False, rows, block, scores, _results(isa, registers, rows, width, block))
    return None


def _few(isa: str, registers: int | None, queries: int, keys: int, depth: int, width: int) -> AttentionPlan | None:
    panel = VECTORS * get_isa(isa, registers).lanes
    most = (FLOATS - panel * depth - queries * depth) // queries // panel * panel
    block = min(most, LONGEST_FEW, -(-keys // panel) * panel)
    if block < panel:
        return None
    scores = choose_tile(isa, queries, panel, depth, registers, VECTORS)
    return AttentionPlan(True, queries, block, scores, _results(isa, registers, queries, width, block))


def _results(isa: str, registers: int | None, rows: int, width: int, keys: int) -> Tile:
    return choose_tile(isa, rows, width, keys, registers)


def _block(isa: str, registers: int | None, rows: int, keys: int, depth: int, width: int, most: int) -> int:
    """The keys of a block, at most so many, that cost least; the results so far are scaled once for each block."""
    if keys <= most:
        return keys
    row = get_isa(isa, registers)
    scaling = 4 * rows * -(-width // row.lanes)

    def cycles(block: int) -> float:
        tile = choose_tile(isa, block, rows, depth, registers, VECTORS)
        full, rest = divmod(keys, block)
        whole = full * (estimate(row, tile, block, rows, depth) + scaling)
        return whole + (estimate(row, tile, rest, rows, depth) + scaling if rest else 0)

    return min(range(most, most // 2, -1), key=cycles)

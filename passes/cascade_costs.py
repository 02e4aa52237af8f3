"""What cascades cost, for speed and for memory, and where a run of ops is cut into pieces so that they cost least."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..ir import Graph, Op
from ..ir.ops import Constant
from .places import ARENA, Buffer
from .rolling import Rolling, Stage, slides_over, stages_of
from .storage import Storage, assign_storage

MOST_STAGES = 16
"""As EC_CASCADE_STAGES."""
ROWS = (8, 6, 4, 3, 2, 1)
"""Rows of a round that are tried."""
BANDS = 4
"""Parts for threads."""
BEHIND_L2 = 0.035
"""Cycles for each byte of a result that does not stay in L2: what mobilenet_v2 gains on a Zen 4, whose L3 is near."""
CALL = 200.0
"""Cycles until a kernel has begun."""
MOVED, READ_AGAIN = 1 / 32, 1 / 64
"""Cycles for each byte that moves inside of L2, and of weights that come from there."""


@dataclass(frozen=True)
class Piece:
    """Stages that become a cascade; a single one stays as it is."""

    stages: tuple[Stage, ...]
    rows: int = 1
    bands: int = 1

    @property
    def rolling(self) -> Rolling:
        return Rolling(self.stages, self.rows, self.bands)

    @property
    def cascaded(self) -> int:
        """How many stages are computed by rows."""
        return len(self.stages) if len(self.stages) > 1 else 0


Cost = tuple[float, float]
"""What counts, and how many stages are computed by rows, of which fewer are better."""


class Costs(Protocol):
    """What pieces cost."""

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The best cascade of some stages; None where there is none."""
        ...

    def of(self, piece: Piece) -> Cost:
        """What it costs."""
        ...

    def joined(self, before: Cost, after: Cost) -> Cost:
        """What pieces cost together."""
        ...


def cut(run: Sequence[Op], costs: Costs) -> tuple[Cost, list[Piece]]:
    """The pieces of a run that cost least together, and what they cost."""
    stages = stages_of(run)
    best: list[tuple[Cost, list[Piece]]] = [((0, 0), [])]
    for end in range(1, len(stages) + 1):
        found = []
        for start in range(max(0, end - MOST_STAGES), end):
            piece = costs.piece(stages[start:end])
            if piece is not None:
                before, pieces = best[start]
                found.append((costs.joined(before, costs.of(piece)), [*pieces, piece]))
        best.append(min(found, key=lambda one: one[0]))
    return best[-1]


@dataclass(frozen=True)
class Speed:
    """Cycles that memory costs beside products; `rows` of a round are those given, or the best of some."""

    l2_bytes: int
    rows: int = 0
    bands: int = BANDS

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The best cascade that stays in half of L2 with its weights."""
        whole = Piece(tuple(stages))
        if len(stages) == 1:
            return whole
        room = self.l2_bytes // 2 - sum(_constant_bytes(stage.op) for stage in stages)
        some = (replace(whole, rows=rows, bands=self.bands) for rows in _rows(stages, self.rows))
        return min((one for one in some if one.rolling.offsets()[-1] <= room), key=self.of, default=None)

    def of(self, piece: Piece) -> Cost:
        last = piece.stages[-1]
        written = (last.rows + last.above + last.below) * last.row
        behind = written * BEHIND_L2 if written > self.l2_bytes // 2 else 0.0
        return behind + (_rounds(piece) if piece.cascaded else 0.0), piece.cascaded

    def joined(self, before: Cost, after: Cost) -> Cost:
        return before[0] + after[0], before[1] + after[1]


def _rounds(piece: Piece) -> float:
    """Cycles of calls, of rows that move, and of weights that each round reads again."""
    windows = list(piece.rolling.windows(0))
    moved = 0
    for i, stage in enumerate(piece.stages[:-1]):
        lengths = [len(window[i]) for window in windows]
        moved += (sum(lengths) - max(window[i].stop for window in windows)) * stage.row
    weights = sum(_constant_bytes(stage.op) for stage in piece.stages) * (len(windows) - 1)
    return len(windows) * len(piece.stages) * CALL + max(moved, 0) * MOVED + weights * READ_AGAIN


@dataclass(frozen=True)
class Memory:
    """The most bytes that are alive at once; fewer than `enough` are no gain."""

    storage: Storage
    own: Collection[Buffer]
    """The buffers that the ops of a run write."""
    others: Mapping[Op, int]
    """The bytes of other buffers that are alive while an op runs."""
    rows: int = 0
    bands: int = 1
    enough: int = 0

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The cascade with most rows a round for which the bytes are enough, or else with one."""
        whole = Piece(tuple(stages))
        if len(stages) == 1:
            return whole
        some = [replace(whole, rows=rows, bands=self.bands) for rows in _rows(stages, self.rows)]
        return next((one for one in some if self.of(one)[0] <= self.enough), some[-1])

    def of(self, piece: Piece) -> Cost:
        x, result = slides_over(piece.stages[0].op), piece.stages[-1].op.results[0]
        ends = {v: self.storage.places[v].buffer for v in (x, result)}
        whole = sum(b.bytes for b in dict.fromkeys(ends.values()) if b in self.own)
        others = max(self.others[stage.op] for stage in piece.stages)
        return max(others + whole + (piece.rolling.bytes if piece.cascaded else 0), self.enough), piece.cascaded

    def joined(self, before: Cost, after: Cost) -> Cost:
        return max(before[0], after[0]), before[1] + after[1]


def for_memory(graph: Graph, found: Sequence[Sequence[Op]], rows: int = 0, bands: int = 1) -> list[Piece]:
    """The fewest cascades with which a graph needs least memory: no run is cut finer than the worst one needs."""
    storage = assign_storage(graph)
    costs = [replace(_memory(graph, storage, run), rows=rows, bands=bands) for run in found]
    inside = {op for run in found for op in run}
    outside = [bytes for op, bytes in _memory(graph, storage, []).others.items() if op not in inside]
    least = max([*outside, *(int(cut(*one)[0][0]) for one in zip(found, costs, strict=True))], default=0)
    return [p for run, cost in zip(found, costs, strict=True) for p in cut(run, replace(cost, enough=least))[1]]


def _memory(graph: Graph, storage: Storage, run: Sequence[Op]) -> Memory:
    """The costs of a run's pieces."""
    own = {storage.places[v].buffer for op in run for v in op.results}
    buffers = [b for b in storage.arena_buffers() if b not in own]
    others = {
        op: sum(b.bytes for b in buffers if b.first <= step <= b.last)
        for step, op in enumerate(graph)
        if not isinstance(op, Constant)
    }
    return Memory(storage, {b for b in own if b.kind == ARENA}, others)


def _rows(stages: Sequence[Stage], given: int) -> list[int]:
    """The rows of a round to try, most first."""
    return [rows for rows in ((given,) if given else ROWS) if rows <= stages[-1].rows] or [stages[-1].rows]


def _constant_bytes(op: Op) -> int:
    return sum(v.type.most_bytes for v in op.operands if isinstance(v.producer, Constant))

"""Cascades: runs of windowed ops that are computed some rows at a time, so that nothing between them is ever whole.

A run is cut where that costs least. For speed the bytes of what does not stay in half of L2 count, and a cascade must
stay there with its weights; for memory the bytes that are alive at once. Rows are kept, not computed anew as in fused
tiles (Alwani et al., "Fused-Layer CNN Accelerators", MICRO 2016) or patches (Lin et al., "MCUNetV2", NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Value
from ..ir.dims import is_open
from ..ir.ops import Cascade, Constant, Conv, ConvInteger, HalfConv, Pad, Pool, WinogradConv, array_of
from ..targets import Target, get_target
from .places import ARENA, Buffer
from .registry import register
from .rolling import Rolling, Stage, anchor_of, outer_of, slides_over, stages_of
from .storage import Storage, assign_storage

MODES = ("off", "speed", "memory")
MOST_STAGES = 16
"""As EC_CASCADE_STAGES."""
MOST_OPERANDS = 24
ROWS = (8, 6, 4, 3, 2, 1)
"""Rows of a round that are tried for speed."""
BANDS = 4
"""Parts for threads."""
DENSE = 0.9
"""Weights with more zeros may suit the sparse kernel, which computes all rows at once."""


@register
@dataclass(frozen=True)
class CascadeOps:
    """Compute runs of convolutions and pools by rows. `mode`: `speed`, `memory` or `off`."""

    name: ClassVar[str] = "cascade"
    target: Target | None = None
    mode: str = "speed"

    def run(self, graph: Graph) -> Graph:
        if self.mode not in MODES:
            raise UsageError(f"there is no mode '{escape(self.mode)}' of cascades", hint=f"modes: {', '.join(MODES)}")
        if self.mode == "off":
            return graph
        found = list(runs(graph))
        for piece in self.pieces(graph, found):
            if piece.cascaded:
                _enclose(graph, piece)
        return graph

    def pieces(self, graph: Graph, found: Sequence[Sequence[Op]]) -> list[Piece]:
        """The pieces of all runs."""
        if self.mode == "memory":
            return for_memory(graph, found)
        cost = Speed((self.target or get_target("host")).l2_bytes)
        return [piece for run in found for piece in cut(run, cost)[1]]


# --- runs -----------------------------------------------------------------------------------------------------------


def runs(graph: Graph) -> Iterator[list[Op]]:
    """The longest runs of ops and pads that could be one cascade."""
    windowed = {op: None for op in graph if is_windowed(op)}
    after = {op: _next(graph, op, windowed) for op in windowed}
    inside = {found[-1] for found in after.values() if found}
    for first in windowed:
        run = [first]
        while first not in inside and after[run[-1]]:
            run += after[run[-1]]
        if len(run) > 1:
            yield run


def is_windowed(op: Op) -> bool:
    """Whether the kernel of an op computes rows of one image, channels innermost, each by itself."""
    anchor = anchor_of(op)
    if anchor is None or isinstance(anchor, WinogradConv | HalfConv) or len(op.results) != 1:
        return False
    result, x = op.results[0].type, anchor.x.type
    if any(map(is_open, (*result.shape, *x.shape))) or result.rank != 4 or result.shape != anchor.type.shape:
        return False
    channels_last = all(kind.with_order((0, 2, 3, 1)).same_memory(kind.physical) for kind in (result, x))
    return channels_last and result.shape[0] == 1 and (isinstance(anchor, Pool) or _has_plain_weights(op, anchor))


def _has_plain_weights(op: Op, anchor: Conv | ConvInteger) -> bool:
    """Whether weights are constants that no sparse kernel takes, in one group or one for each channel."""
    weights = outer_of(op, anchor.w)
    if not isinstance(weights.producer, Constant) or not (anchor.groups == 1 or anchor.is_depthwise):
        return False
    array = array_of(weights)
    return array is not None and bool(np.count_nonzero(array) >= DENSE * array.size)


def _next(graph: Graph, op: Op, windowed: Collection[Op]) -> list[Op]:
    """The pad, if there is one, and the op that alone read the result of an op."""
    value, between = op.results[0], list[Op]()
    reader = _sole_reader(graph, value)
    if isinstance(reader, Pad):
        if any((*reader.pads[:2], *reader.pads[4:6])):
            return []
        value, between = reader.result, [reader]
        reader = _sole_reader(graph, value)
    return [*between, reader] if reader in windowed and slides_over(reader) is value else []


def _sole_reader(graph: Graph, value: Value) -> Op | None:
    if graph.is_output(value) or len(value.users) != 1:
        return None
    reader, times = next(iter(value.users.items()))
    return reader if times == 1 else None


# --- where runs are cut -----------------------------------------------------------------------------------------------


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
    """Bytes that go through the memory behind L2."""

    l2_bytes: int

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The cascade with most rows a round that stays in half of L2 with its weights."""
        whole = Piece(tuple(stages))
        if len(stages) == 1:
            return whole
        weights = sum(_constant_bytes(stage.op) for stage in stages)
        fitting = (replace(whole, rows=rows, bands=BANDS) for rows in ROWS if rows <= stages[-1].rows)
        return next((one for one in fitting if weights + one.rolling.offsets()[-1] <= self.l2_bytes // 2), None)

    def of(self, piece: Piece) -> Cost:
        last = piece.stages[-1]
        written = (last.rows + last.above + last.below) * last.row
        return (written if written > self.l2_bytes // 2 else 0), piece.cascaded

    def joined(self, before: Cost, after: Cost) -> Cost:
        return before[0] + after[0], before[1] + after[1]


@dataclass(frozen=True)
class Memory:
    """The most bytes that are alive at once; fewer than `enough` are no gain."""

    storage: Storage
    own: Collection[Buffer]
    """The buffers that the ops of a run write."""
    others: Mapping[Op, int]
    """The bytes of other buffers that are alive while an op runs."""
    enough: int = 0

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The cascade with most rows a round for which the bytes are enough, or else with one."""
        whole = Piece(tuple(stages))
        if len(stages) == 1:
            return whole
        some = [replace(whole, rows=rows) for rows in ROWS if rows <= stages[-1].rows]
        return next((one for one in some if self.of(one)[0] <= self.enough), some[-1])

    def of(self, piece: Piece) -> Cost:
        x, result = slides_over(piece.stages[0].op), piece.stages[-1].op.results[0]
        ends = {v: self.storage.places[v].buffer for v in (x, result)}
        whole = sum(b.bytes for b in dict.fromkeys(ends.values()) if b in self.own)
        others = max(self.others[stage.op] for stage in piece.stages)
        return max(others + whole + (piece.rolling.bytes if piece.cascaded else 0), self.enough), piece.cascaded

    def joined(self, before: Cost, after: Cost) -> Cost:
        return max(before[0], after[0]), before[1] + after[1]


def for_memory(graph: Graph, found: Sequence[Sequence[Op]]) -> list[Piece]:
    """The fewest cascades with which a graph needs least memory: no run is cut finer than the worst one needs."""
    storage = assign_storage(graph)
    costs = [_memory(graph, storage, run) for run in found]
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


def _constant_bytes(op: Op) -> int:
    return sum(v.type.most_bytes for v in op.operands if isinstance(v.producer, Constant))


# --- enclosing --------------------------------------------------------------------------------------------------------


def _enclose(graph: Graph, piece: Piece) -> None:
    """Replace the ops of a piece by one cascade, which stands where the last of them stood."""
    ops = [op for stage in piece.stages for op in (stage.op, stage.pad) if op is not None]
    ops = ops[:-1] if piece.stages[-1].pad is not None else ops
    body = Graph("cascade")
    body.stage = graph.stage
    members = set(ops)
    outside = dict.fromkeys(v for op in ops for v in op.operands if v.producer not in members)
    table = {v: body.input(v.type, v.name) for v in outside if not isinstance(v.producer, Constant)}
    xs = tuple(table)
    for op in ops:
        for value in op.operands:
            _copy_constant(body, value, table)
        _copy(body, op, table)
    sink = ops[-1]
    body.set_outputs([table[sink.results[0]]], [sink.results[0].name])
    cascade = Cascade(xs, body, piece.rows, piece.bands)
    cascade.origin = sink.origin
    cascade.result.type = sink.results[0].type
    graph.replace_op(sink, [cascade.result])
    for op in reversed(ops[:-1]):
        graph.remove(op)


def _copy_constant(body: Graph, value: Value, table: dict[Value, Value]) -> None:
    if value in table or value.producer is None:
        return
    for operand in value.producer.operands:
        _copy_constant(body, operand, table)
    _copy(body, value.producer, table)


def _copy(body: Graph, op: Op, table: dict[Value, Value]) -> None:
    made = op.with_operands(table.__getitem__)
    body.add(made)
    for old, new in zip(op.results, made.results, strict=True):
        new.type, new.name = old.type, old.name
        table[old] = new

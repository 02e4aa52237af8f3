"""Cascades: runs of windowed ops that are computed some rows at a time, so that nothing between them is ever whole.

A run is cut where that costs least. For speed the bytes of what does not stay in half of L2 count, and a cascade must
stay there with its weights; for memory the bytes that are alive at once. Rows are kept, not computed anew as in fused
tiles (Alwani et al., "Fused-Layer CNN Accelerators", MICRO 2016) or patches (Lin et al., "MCUNetV2", NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Value
from ..ir.dims import is_open
from ..ir.ops import Cascade, Constant, Conv, ConvInteger, HalfConv, Pad, Pool, WinogradConv, array_of
from ..targets import Target, get_target
from .registry import register
from .rolling import Rolling, Stage, anchor_of, outer_of, slides_over, stages_of

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
        cost = Speed((self.target or get_target("host")).l2_bytes) if self.mode == "speed" else Memory(graph)
        for run in list(runs(graph)):
            for piece in cut(run, cost):
                if len(piece.stages) > 1:
                    _enclose(graph, piece)
        return graph


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
    channels_last = {result.physical, x.physical} == {(0, 2, 3, 1)}
    return channels_last and result.shape[0] == 1 and (isinstance(anchor, Pool) or _has_plain_weights(op, anchor))


def _has_plain_weights(op: Op, anchor: Conv | ConvInteger) -> bool:
    """Whether weights are constants that no sparse kernel takes, in one group or one for each channel."""
    weights = outer_of(op, anchor.w)
    if not isinstance(weights.producer, Constant) or not (anchor.groups == 1 or anchor.is_depthwise):
        return False
    array = array_of(weights)
    return array is not None and np.count_nonzero(array) >= DENSE * array.size


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


def written(stage: Stage) -> int:
    """The bytes of a stage's result with its border, where it is whole."""
    return (stage.rows + stage.above + stage.below) * stage.row


@dataclass(frozen=True)
class Speed:
    """Bytes that go through the memory behind L2."""

    l2_bytes: int

    def piece(self, stages: Sequence[Stage]) -> Piece | None:
        """The cascade with most rows a round that stays in half of L2; None where there is none."""
        whole = Piece(tuple(stages))
        if len(stages) == 1:
            return whole
        weights = sum(_constant_bytes(stage.op) for stage in stages)
        fitting = (replace(whole, rows=rows, bands=BANDS) for rows in ROWS if rows <= stages[-1].rows)
        return next((one for one in fitting if weights + one.rolling.offsets()[-1] <= self.l2_bytes // 2), None)

    def of(self, piece: Piece) -> Cost:
        most = written(piece.stages[-1])
        return (most if most > self.l2_bytes // 2 else 0, piece.cascaded)

    @staticmethod
    def joined(before: Cost, after: Cost) -> Cost:
        return before[0] + after[0], before[1] + after[1]


def cut(run: Sequence[Op], cost: Speed) -> list[Piece]:
    """The pieces of a run that cost least together."""
    stages = stages_of(run)
    best: list[tuple[Cost, list[Piece]]] = [((0, 0), [])]
    for end in range(1, len(stages) + 1):
        found = []
        for start in range(max(0, end - MOST_STAGES), end):
            piece = cost.piece(stages[start:end])
            if piece is not None:
                before, pieces = best[start]
                found.append((cost.joined(before, cost.of(piece)), [*pieces, piece]))
        best.append(min(found, key=lambda one: one[0]))
    return best[-1][1]


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

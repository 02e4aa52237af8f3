"""Cascades: runs of windowed ops that are computed some rows at a time, so that nothing between them is ever whole.

A run is cut where that costs least. For speed the bytes of what does not stay in half of L2 count, and a cascade must
stay there with its weights; for memory the bytes that are alive at once. Rows are kept, not computed anew as in fused
tiles (Alwani et al., "Fused-Layer CNN Accelerators", MICRO 2016) or patches (Lin et al., "MCUNetV2", NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Value
from ..ir.ops import Cascade, Constant
from ..targets import Target
from .cascade_costs import BANDS, MOST_STAGES, Piece, Speed, cut, for_memory
from .cascade_runs import runs
from .registry import register
from .rolling import stages_of

MODES = ("off", "speed", "memory", "all")
L2_BYTES = 1 << 20
"""Where no target is given."""


@register
@dataclass(frozen=True)
class CascadeOps:
    """Compute runs of convolutions and pools by rows: for `speed`, for `memory`, `all` that there are, or `off`.

    `rows` fixes how many are computed at a time (0: as many as suit), `bands` into how many parts threads can divide
    them (0: 4 for speed, 1 for memory).
    """

    name: ClassVar[str] = "cascade"
    target: Target | None = None
    mode: str = "speed"
    rows: int = 0
    bands: int = 0

    def run(self, graph: Graph) -> Graph:
        self.check()
        for piece in list(self.pieces(graph)):
            if piece.cascaded:
                enclose(graph, piece)
        return graph

    def check(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"there is no mode '{escape(self.mode)}' of cascades", hint=f"modes: {', '.join(MODES)}")
        if self.rows < 0 or self.bands < 0:
            raise UsageError(f"cascades of {self.rows} rows and {self.bands} bands are impossible")

    def pieces(self, graph: Graph) -> Iterator[Piece]:
        """The pieces of all runs."""
        found = [] if self.mode == "off" or graph.symbols else list(runs(graph))
        if self.mode == "memory":
            yield from for_memory(graph, found, self.rows, self.bands or 1)
        elif self.mode == "all":
            for stages in map(stages_of, found):
                for start in range(0, len(stages), MOST_STAGES):
                    yield Piece(tuple(stages[start : start + MOST_STAGES]), self.rows or 1, self.bands or 1)
        else:
            speed = Speed(self.target.l2_bytes if self.target else L2_BYTES, self.rows, self.bands or BANDS)
            for run in found:
                yield from cut(run, speed)[1]


def enclose(graph: Graph, piece: Piece) -> None:
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
    graph.note("cascade", _why(piece), cascade)
    cascade.result.type = sink.results[0].type
    graph.replace_op(sink, [cascade.result])
    unread = [v.producer for v in outside if v.producer is not None and v not in xs and not graph.is_output(v)]
    for op in [*reversed(ops[:-1]), *unread]:
        if not any(result.users for result in op.results):
            graph.remove(op)


def _why(piece: Piece) -> str:
    rolling = piece.rolling
    whole = sum((stage.rows + stage.above + stage.below) * stage.row for stage in piece.stages[:-1])
    between = f"{rolling.bytes} bytes between them where whole results take {whole}"
    return f"{piece.cascaded} ops, {piece.rows} rows at a time: {between}"


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

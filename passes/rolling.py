"""The rows that go through a cascade: what each op computes in a round, and what its rolling buffer holds.

A rolling buffer (a line buffer) holds consecutive rows of a result with its border. In each round rows that nobody
reads any more leave it, those that stay move to its start, and new ones are computed behind them; so each row is
computed once, except where the bands of different threads meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir import Op, Value
from ..ir.ops import Cascade, Constant, Conv, ConvInteger, Fused, Pad, Pool
from .arena import ALIGNMENT

WINDOWED = (Conv, ConvInteger, Pool)


@dataclass(frozen=True)
class Stage:
    """An op of a cascade, and the border that is put around its result.

    One row of its result needs `span` rows of what it reads, and the next row those `stride` further on. Of the border
    `above` and `below` are rows, `left` and `right` bytes; `row` are the bytes of a row of the result with its border.
    """

    op: Op
    rows: int
    span: int
    stride: int
    row: int
    pad: Pad | None = None
    above: int = 0
    below: int = 0
    left: int = 0
    right: int = 0

    def reads(self, rows: range) -> range:
        """The rows that it needs, counted with their border."""
        return range(rows.start * self.stride, (rows.stop - 1) * self.stride + self.span) if rows else range(0)

    def without_border(self, rows: range) -> range:
        """Those of some rows that are no border, counted without it."""
        first, last = (min(max(row - self.above, 0), self.rows) for row in (rows.start, rows.stop))
        return range(first, last)


def anchor_of(op: Op) -> Conv | ConvInteger | Pool | None:
    """The op with a window that an op computes first, if there is one."""
    ops = op.body if isinstance(op, Fused) else (op,)
    return next((one for one in ops if isinstance(one, WINDOWED)), None)


def slides_over(op: Op) -> Value:
    """What the window of a stage's op slides over, as the op's operand."""
    anchor = anchor_of(op)
    assert anchor is not None
    return outer_of(op, anchor.x)


def outer_of(op: Op, value: Value) -> Value:
    """An operand of an op's anchor as an operand of the op."""
    return dict(zip(op.body.inputs, op.xs, strict=True)).get(value, value) if isinstance(op, Fused) else value


def stage_of(op: Op) -> Stage:
    """The stage of an op whose result gets no border."""
    anchor = anchor_of(op)
    assert anchor is not None
    kernel = anchor.kernel_shape if isinstance(anchor, Pool) else anchor.w.shape[2:]
    span = (kernel[0] - 1) * anchor.dilations[0] + 1
    (result,) = op.results
    _, channels, height, width = result.shape
    return Stage(op, height, span, anchor.strides[0], width * channels * result.dtype.bytes)


def with_border(stage: Stage, pad: Pad) -> Stage:
    """A stage around whose result a border is put."""
    _, channels, _, width = pad.type.shape
    pixel = channels * pad.type.dtype.bytes
    _, _, above, left, _, _, below, right = pad.pads
    return replace(
        stage, row=width * pixel, pad=pad, above=above, below=below, left=left * pixel, right=right * pixel
    )  # fmt: skip


def stages_of(ops: Sequence[Op]) -> list[Stage]:
    """The stages of a cascade's ops, in which a pad belongs to the op before it."""
    found: list[Stage] = []
    for op in ops:
        if isinstance(op, Pad):
            found[-1] = with_border(found[-1], op)
        elif not isinstance(op, Constant):
            found.append(stage_of(op))
    return found


@dataclass(frozen=True)
class Rolling:
    """The rolling buffers of a cascade that computes `rows` rows of its result in a round and has so many `bands`."""

    stages: Sequence[Stage]
    rows: int
    bands: int = 1

    @property
    def band_rows(self) -> int:
        """The rows of the result in one band."""
        return -(-self.stages[-1].rows // self.bands)

    @property
    def tasks(self) -> int:
        """How many bands have rows."""
        return -(-self.stages[-1].rows // self.band_rows)

    def held(self) -> list[int]:
        """The rows that the buffer of each stage but the last must hold, from whichever band a thread begins."""
        most = [0] * (len(self.stages) - 1)
        for band in range(self.tasks):
            for windows in self.windows(band * self.band_rows):
                most = [max(m, len(w)) for m, w in zip(most, windows, strict=True)]
        return most

    def offsets(self) -> list[int]:
        """Where the buffers of one band start, in bytes, and behind them where they end."""
        found = [0]
        for stage, held in zip(self.stages, self.held(), strict=False):
            found.append(found[-1] + -(-held * stage.row // ALIGNMENT) * ALIGNMENT)
        return found

    @property
    def bytes(self) -> int:
        """What all bands need."""
        return self.offsets()[-1] * self.tasks

    def windows(self, start: int) -> Iterator[list[range]]:
        """For each round from a row of the result on: the rows, with border, that each stage but the last reads."""
        done = [0] * len(self.stages)
        for first in range(start, self.stages[-1].rows, self.rows):
            rows = range(first, min(first + self.rows, self.stages[-1].rows))
            windows: list[range] = []
            for i in range(len(self.stages) - 1, 0, -1):
                wanted = self.stages[i].reads(rows)
                windows.append(wanted)
                rows = self.stages[i - 1].without_border(wanted)
                rows = range(max(rows.start, done[i - 1]), max(rows.stop, done[i - 1]))
                done[i - 1] = rows.stop
            yield windows[::-1]


def rolling_of(op: Cascade) -> Rolling:
    """The rolling buffers of a cascade."""
    return Rolling(stages_of(list(op.body)), op.rows, op.bands)

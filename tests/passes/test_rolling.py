"""Rolling buffers: rows are there when they are read, are computed once, and take no more memory than they must."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Op, TensorType, Value, f32
from edgec.ir.ops import Conv, Pad, Pool, constant
from edgec.passes.rolling import Rolling, Stage, stages_of


def random_ops(seed: int) -> list[Op]:
    """A run of convolutions and pools with windows, strides, dilations and borders of all sizes."""
    chance = np.random.default_rng(seed)
    value = Value(TensorType(f32, (1, 2, int(chance.integers(9, 40)), 5)))
    ops: list[Op] = []
    for _ in range(int(chance.integers(2, 6))):
        size, stride, spread = int(chance.integers(1, 4)), int(chance.integers(1, 4)), int(chance.integers(1, 3))
        if ops and chance.random() < 0.6:
            above, below = (int(n) for n in chance.integers(0, 4, 2))
            ops.append(Pad(value, (0, 0, above, 0, 0, 0, below, 1)))
            value = ops[-1].result
        if value.shape[2] < (size - 1) * spread + 1:
            continue
        if chance.random() < 0.3:
            ops.append(Pool(value, "max", (size, 1), (stride, 1), (0, 0, 0, 0), (spread, 1)))
        else:
            weights = constant(np.zeros((2, 2, size, 1), np.float32))
            ops.append(Conv(value, weights, None, (stride, 1), dilations=(spread, 1)))
        value = ops[-1].result
    return ops


@pytest.mark.parametrize("seed", range(60))
def test_every_row_is_there_when_it_is_read(seed: int) -> None:
    stages = stages_of([op for op in random_ops(seed) if not (isinstance(op, Pad) and not op.result.users)])
    chance = np.random.default_rng(seed)
    rolling = Rolling(stages, int(chance.integers(1, 6)), int(chance.integers(1, 5)))
    most = [0] * (len(stages) - 1)
    for band in range(rolling.tasks):
        computed: list[set[int]] = [set() for _ in stages]
        for round_, windows in enumerate(rolling.windows(band * rolling.band_rows)):
            first = band * rolling.band_rows + round_ * rolling.rows
            rows = range(first, min(first + rolling.rows, stages[-1].rows))
            for i in range(len(stages) - 1, 0, -1):
                rows = _check_round(stages[i], stages[i - 1], rows, windows[i - 1], computed[i - 1])
                most[i - 1] = max(most[i - 1], len(windows[i - 1]))
    assert rolling.held() == most


def _check_round(stage: Stage, before: Stage, rows: range, window: range, computed: set[int]) -> range:
    """The rows of the stage before that this round computes, none of them for the second time."""
    assert window == stage.reads(rows)
    needed = [row - before.above for row in window if 0 <= row - before.above < before.rows]
    fresh = [row for row in needed if row not in computed]
    assert fresh == list(range(fresh[0], fresh[0] + len(fresh))) if fresh else True
    assert not fresh or needed[-len(fresh) :] == fresh
    computed.update(fresh)
    return range(fresh[0], fresh[-1] + 1) if fresh else range(0)


def test_bands_divide_the_rows() -> None:
    stages = stages_of(random_ops(3))
    for bands in range(1, 9):
        rolling = Rolling(stages, 2, bands)
        assert (rolling.tasks - 1) * rolling.band_rows < stages[-1].rows <= rolling.tasks * rolling.band_rows
        assert rolling.bytes == rolling.tasks * rolling.offsets()[-1]


def test_a_buffer_holds_the_rows_of_a_round_and_what_overlaps() -> None:
    x = Value(TensorType(f32, (1, 4, 20, 6)))
    wide = Conv(x, constant(np.zeros((4, 4, 1, 1), np.float32)), None)
    pad = Pad(wide.result, (0, 0, 1, 1, 0, 0, 1, 1))
    deep = Conv(pad.result, constant(np.zeros((4, 1, 3, 3), np.float32)), None, groups=4)
    rolling = Rolling(stages_of([wide, pad, deep]), 4)
    assert rolling.held() == [6]
    assert rolling.offsets() == [0, 6 * 8 * 4 * 4]

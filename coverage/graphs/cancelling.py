"""What normalization loses where numbers lie close together beside their size: others take the mean off at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import Op
from ...ir.op import as_wide
from ...ir.ops import InstanceNorm, LayerNorm

Array = np.ndarray


def lost(op: Op, operands: Sequence[Array]) -> float:
    """How far off a result may be, in units of the relative distance of neighbouring numbers.

    With mean m and spread s of some numbers, x/s - m/s is off by m/s units, and a variance that is the mean of the
    squares less m^2 by (m/s)^2 of its own.
    """
    rows = _rows(op, operands[0])
    if rows is None or not rows.size:
        return 0.0
    wide = as_wide(rows).astype(np.float64)
    ratio = abs(wide).max(1) / np.sqrt(wide.var(1) + op.epsilon)  # type: ignore[attr-defined]
    scale = max((abs(as_wide(one).astype(np.float64)).max(initial=0) for one in operands[1:2]), default=1.0)
    apart = abs(wide - wide.mean(1, keepdims=True)).max(1) / np.sqrt(wide.var(1) + op.epsilon)  # type: ignore[attr-defined]
    return float(((ratio + ratio**2 * apart) * scale).max())


def _rows(op: Op, x: Array) -> Array | None:
    """The numbers that are normalized together, row by row."""
    if isinstance(op, InstanceNorm):
        return x.reshape(x.shape[0] * (op.groups or x.shape[1]), -1) if x.size else None
    if isinstance(op, LayerNorm) and op.centered:
        return x.reshape(int(np.prod(x.shape[: op.axis])), -1) if x.size else None
    return None

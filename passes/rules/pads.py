"""Borders that do nothing, meet, or belong to the windowed op behind them."""

from __future__ import annotations

import math

from ...ir import Skip, Value
from ...ir.ops import Conv, Pad, Pool, Slice, WinogradConv
from .match import made_by

Sides = tuple[tuple[int, ...], tuple[int, ...]]


def identity_pad(op: Pad) -> Value | Skip:
    """A border of no width."""
    return Skip() if any(op.pads) else op.x


def pad_of_pad(op: Pad) -> Value | Skip:
    """pad(pad(x)) = pad(x) when both hold the same number"""
    inner = made_by(op.x, Pad)
    if inner is None:
        return Skip()
    if inner.value != op.value and not (math.isnan(inner.value) and math.isnan(op.value)):
        return Skip(f"one border holds {inner.value:g}, the other {op.value:g}", inner)
    if not inner.result.has_one_use:
        return Skip("the inner border has another reader", inner)
    return Pad(inner.x, tuple(a + b for a, b in zip(inner.pads, op.pads, strict=True)), op.value).result


def slice_of_pad(op: Slice) -> Value | Skip:
    """A slice that leaves the border out needs no border."""
    inner = made_by(op.x, Pad)
    if inner is None or any(s != 1 for s in op.steps):
        return Skip()
    begins, extents = inner.pads[: op.x.rank], inner.x.shape
    starts = tuple(s - b for s, b in zip(op.starts, begins, strict=True))
    if any(s < 0 or s + n > d for s, n, d in zip(starts, op.sizes, extents, strict=True)):
        return Skip("the slice needs a part of the border", inner)
    return Slice(inner.x, starts, op.sizes).result


def _spatial(pad: Pad, wanted: float) -> Sides | Skip:
    """The pads of the spatial dimensions, begins and ends, when a windowed op can do with them."""
    rank = pad.x.rank
    begins, ends = pad.pads[:rank], pad.pads[rank:]
    if pad.value != wanted:
        return Skip(f"the border holds {pad.value:g}, the window wants {wanted:g}", pad)
    if any(begins[:2]) or any(ends[:2]):
        return Skip("the border goes around samples or channels", pad)
    return begins[2:], ends[2:]


def _added(pads: tuple[int, ...], sides: Sides) -> tuple[int, ...]:
    return tuple(p + q for p, q in zip(pads, (*sides[0], *sides[1]), strict=True))


def pad_into_conv(conv: Conv) -> Value | Skip:
    """A border of zeros is the padding of the convolution that reads it."""
    pad = made_by(conv.x, Pad)
    if pad is None:
        return Skip()
    sides = Skip("on tiles it has no padding") if isinstance(conv, WinogradConv) else _spatial(pad, 0.0)
    if isinstance(sides, Skip):
        return sides
    found: Value = conv.replace(x=pad.x, pads=_added(conv.pads, sides)).result
    return found


def pad_into_pool(pool: Pool) -> Value | Skip:
    """A border is the padding of the pool that reads it: minus infinity for a maximum, zeros that count for sums."""
    pad = made_by(pool.x, Pad)
    if pad is None:
        return Skip()
    sides = _spatial(pad, -math.inf if pool.kind == "max" else 0.0)
    if isinstance(sides, Skip):
        return sides
    pads, counted = _added(pool.pads, sides), pool.counted
    if pool.kind == "average":
        counted = _added(counted or (0,) * len(pads), sides)
    found: Value = pool.replace(x=pad.x, pads=pads, counted=counted).result
    return found


RULES = (identity_pad, pad_of_pad, slice_of_pad, pad_into_conv, pad_into_pool)

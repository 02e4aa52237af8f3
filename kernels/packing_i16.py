"""8-bit weights for kernels of 16-bit values, widened to int16 and in the order in which they are read."""

from __future__ import annotations

import numpy as np

from .packing import Array
from .packing_i8 import pack_runs

PAIR = 2  # products that one step of the kernels adds up
REACH = 2**15
NARROW = 2**31
WIDE = 2**40


def needs_wide_sums(weights: Array, bias: Array) -> bool:
    """Whether sums of 16-bit values times weights [channels, ...] plus a bias may leave 32 bits."""
    return bool(_largest_sums(weights, bias).max(initial=0) >= NARROW)


def fits_wide_sums(weights: Array) -> bool:
    """Whether the kernel's wide sums hold every sum of 16-bit values times weights [channels, ...]."""
    return bool(_largest_sums(weights, np.array([NARROW])).max(initial=0) < WIDE)


def _largest_sums(weights: Array, bias: Array) -> Array:
    rows = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).sum(1)
    return np.asarray(rows * REACH + np.abs(bias.astype(np.int64)))


def pack_conv_i16(weights: Array, groups: int, panel: int, merged: bool) -> Array:
    """Packs OIHW int8 weights into int16 [group][panel][kh][kw][ceil(in_c / 2)][panel channels][2]; flat, zeros behind.

    merged: [group][panel][kh][ceil(kw * in_c / 2)][panel channels][2], for kernels whose taps merge.
    """
    return pack_runs(weights.astype(np.int16), groups, panel, merged, PAIR)


def pack_depthwise_i16(weights: Array, lanes: int) -> Array:
    """Packs int8 weights [channels, 1, kh, kw] into int16 [block][ceil(kh * kw / 2)][lanes][2]; flat, zeros behind."""
    taps = weights.reshape(len(weights), -1)
    padded = np.zeros((-(-len(taps) // lanes) * lanes, -(-taps.shape[1] // PAIR) * PAIR), np.int16)
    padded[: len(taps), : taps.shape[1]] = taps
    blocks = padded.reshape(-1, lanes, padded.shape[1] // PAIR, PAIR)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)).ravel()

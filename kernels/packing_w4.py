"""4-bit weights in groups of 32 along k, in the order in which ec_matmul_w4_f32 reads them."""

from __future__ import annotations

import numpy as np

from .packing import Array, pack_matmul

GROUP = 32  # as EC_W4_GROUP


def pack_w4(matrix: Array, panel: int) -> Array:
    """Packs q[k, n] of -8 .. 7 into bytes [panel][ceil(k / 32)][16][panel columns], two k a byte; flat."""
    k, n = matrix.shape
    if matrix.min() < -8 or matrix.max() > 7:
        raise ValueError("4-bit weights lie in -8 .. 7")
    padded = np.zeros((-(-k // GROUP) * GROUP, n), np.uint8)
    padded[:k] = (matrix + 8).astype(np.uint8)
    return pack_matmul(padded[0::2] | padded[1::2] << 4, panel)


def pack_w4_scales(scales: Array, panel: int) -> Array:
    """Packs scales [ceil(k / 32), n] into float32 [panel][ceil(k / 32)][panel columns]; flat."""
    return pack_matmul(scales.astype(np.float32), panel)

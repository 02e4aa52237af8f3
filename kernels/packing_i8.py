"""8-bit weights in the order in which the C kernels read them, and the sums that move into the bias."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .packing import Array, _panels, pack_bias

GROUP = 4  # products that one step of the kernels adds up


def x_offset(isa: str, features: Collection[str], kind: str) -> int:
    """What the kernel adds to each x (`kind` u8 or s8), because the ISA multiplies the other signedness only.

    Equal to EC_I8_OFFSET_U8 and EC_I8_OFFSET_S8 of kernels/simd/i8_*.h under the same features.
    """
    if isa in ("avx2", "avx512") and kind == "s8":
        return 128 if {"avx512vnni", "avxvnni"} & set(features) else 0
    if isa == "neon" and kind == "u8":
        return 0 if {"dotprod", "i8mm"} <= set(features) else -128
    return 0


def depthwise_rows(isa: str, features: Collection[str]) -> int:
    """Filter rows that the depthwise kernel multiplies at once; as EC_I8_ROWS."""
    by_feature = {"avx2": {"avx512vnni", "avxvnni"}, "avx512": {"avx512vnni"}, "neon": {"dotprod"}}
    return 4 if by_feature.get(isa, set()) & set(features) else 2


def depthwise_offset(isa: str, features: Collection[str], kind: str) -> int:
    """As x_offset for the depthwise kernel: equal to EC_I8_ROWS_OFFSET_U8 and EC_I8_ROWS_OFFSET_S8."""
    return x_offset(isa, features, kind) if depthwise_rows(isa, features) == 4 else 0


def preferred_kind(isa: str, features: Collection[str]) -> str:
    """The signedness of x, u8 or s8, that costs no extra instruction."""
    return "u8" if x_offset(isa, features, "u8") == 0 else "s8"


def fold_into_bias(bias: Array, weights: Array, zero_point: int, offset: int = 0) -> Array:
    """The int32 bias of a kernel that multiplies x + offset where x - zero_point is meant; weights [channels, ...]."""
    sums: Array = weights.astype(np.int64).reshape(len(weights), -1).sum(1)
    folded: Array = bias.astype(np.int64) - (zero_point + offset) * sums
    if (np.abs(folded) > np.iinfo(np.int32).max).any():
        raise ValueError("the bias leaves the range of int32")
    return np.asarray(folded, np.int32)


def merges_taps(kernel_w: int, dilation_w: int, x_w: int, in_c: int) -> bool:
    """Whether the taps of a kernel row are one run in memory; as ec_conv_merges_taps."""
    return kernel_w == 1 or (dilation_w == 1 and x_w == in_c)


def pack_conv_i8(weights: Array, groups: int, panel: int, merged: bool) -> Array:
    """Packs OIHW int8 weights into [group][panel][kh][kw][ceil(in_c / 4)][panel channels][4]; flat, padded with zeros.

    merged: [group][panel][kh][ceil(kw * in_c / 4)][panel channels][4], for kernels whose taps merge (see merges_taps).
    """
    return pack_runs(weights.astype(np.int8), groups, panel, merged, GROUP)


def pack_runs(weights: Array, groups: int, panel: int, merged: bool, together: int) -> Array:
    """Packs OIHW weights panel by panel, `together` neighbours of a run for each channel; flat, padded with zeros."""
    channels, in_c, kernel_h, kernel_w = weights.shape
    if channels % groups:
        raise ValueError(f"{channels} channels do not divide into {groups} groups")
    out_c, runs = channels // groups, kernel_h if merged else kernel_h * kernel_w
    by_run = weights.reshape(groups, out_c, in_c, -1).transpose(0, 3, 2, 1).reshape(groups, runs, -1, out_c)
    run = by_run.shape[2]
    padded = np.zeros((groups, runs, -(-run // together) * together, out_c), weights.dtype)
    padded[:, :, :run] = by_run
    columns = _panels(padded.reshape(groups, -1, out_c), panel)
    return np.ascontiguousarray(columns.reshape(-1, together, panel).transpose(0, 2, 1)).ravel()


def pack_matmul_i8(matrix: Array, panel: int) -> Array:
    """Packs int8 b[k, n] into [panel][ceil(k / 4)][panel columns][4]; flat."""
    return pack_conv_i8(matrix.T[:, :, np.newaxis, np.newaxis], 1, panel, True)


def pack_bias_i8(bias: Array, groups: int, panel: int) -> Array:
    """Packs an int32 bias [groups * out_c] into [group][panel][panel channels]; flat."""
    return pack_bias(bias.astype(np.int32), groups, panel)


def pack_depthwise_i8(weights: Array, lanes: int, rows: int) -> Array:
    """Packs int8 weights [channels, 1, kh, kw] into [block][ceil(kh / rows)][kw][lanes][rows]; flat.

    int16 for 2 rows, int8 for 4; see depthwise_rows.
    """
    channels, kernel_h, kernel_w = weights.shape[0], weights.shape[-2], weights.shape[-1]
    height = -(-kernel_h // rows)
    padded = np.zeros((-(-channels // lanes) * lanes, height * rows, kernel_w), np.int16 if rows == 2 else np.int8)
    padded[:channels, :kernel_h] = weights.reshape(channels, kernel_h, kernel_w)
    blocks = padded.reshape(-1, lanes, height, rows, kernel_w)
    return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3)).ravel()

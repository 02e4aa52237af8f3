"""Weights in fewer bits than they mean, in the order in which ec_weights.h and ec_conv_i4.h read them."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np

from .packing import Array, _panels

LEAST, MOST = -8, 7  # what four bits hold


def fits_four_bits(numbers: Array) -> bool:
    """Whether all integers lie in -8 .. 7."""
    return bool(numbers.size) and int(numbers.min()) >= LEAST and int(numbers.max()) <= MOST


def padded_order(length: int, runs: int, group: int, unit: int) -> Array:
    """The k that stands at each place of a row of `length`, -1 for padding.

    A row is cut into equal runs, these where a group of k ends, and each part is filled up to a multiple of `unit`.
    """
    run, order = length // runs, []
    for start in range(0, length, run):
        cuts = [start, *range((start // group + 1) * group, start + run, group), start + run]
        for low, high in itertools.pairwise(cuts):
            order += [*range(low, high), *[-1] * (-(high - low) % unit)]
    return np.asarray(order)


def pack_rows(rows: Array, groups: int, panel: int, runs: int, group: int, unit: int = 1) -> Array:
    """Packs rows [groups * out_c, K] into [groups, panels, places of padded_order, panel], padded with zeros."""
    order = padded_order(rows.shape[1], runs, group, unit)
    filled = np.concatenate([rows, np.zeros((len(rows), 1), rows.dtype)], axis=1)[:, order]
    return _panels(filled.reshape(groups, -1, len(order)).transpose(0, 2, 1), panel)


def pack_widened(rows: Array, groups: int, panel: int, runs: int, group: int, four_bits: bool) -> Array:
    """Weights for ec_weights.h, [groups * panels, a panel]: numbers of 8 or 16 bits, or two of 4 bits a byte."""
    if not four_bits:
        packed = pack_rows(rows, groups, panel, runs, group)
        return packed.reshape(-1, packed.shape[2] * panel)
    packed = (pack_rows(rows, groups, panel, runs, group, 2) - LEAST).astype(np.uint8)
    pairs = packed[:, :, 0::2] | packed[:, :, 1::2] << 4
    return np.asarray(pairs.reshape(-1, pairs.shape[2] * panel))


def pack_scales(scales: Array, groups: int, panel: int) -> Array:
    """Packs a number for each group of each row, [groups * out_c, G], into [groups][panel][G][panel channels]; flat."""
    by_group = scales.reshape(groups, -1, scales.shape[1])
    return _panels(by_group.transpose(0, 2, 1), panel).ravel()


def pack_four_bits_i8(rows: Array, groups: int, panel: int, runs: int, group: int) -> Array:
    """Weights for ec_conv_i4.h, [groups * panels, a panel]: [8 k][channels][4 bytes], four k in each half of them."""
    packed = (pack_rows(rows, groups, panel, runs, group, 8) - LEAST).astype(np.uint8)
    by_eight = packed.reshape(-1, packed.shape[2] // 8, 2, 4, panel)
    joined = by_eight[:, :, 0] | by_eight[:, :, 1] << 4
    return np.ascontiguousarray(joined.transpose(0, 1, 3, 2)).reshape(len(by_eight), -1)


def pack_pairs(weights: Array, groups: int, panel: int, runs: int) -> Array:
    """Packs weights [rows, K] as pairs of bf16 [group][panel][run][pair][panel channels][2]; K is `runs` runs."""
    rows, length = weights.shape
    per_group, run = rows // groups, length // runs
    count, pairs = -(-per_group // panel), -(-run // 2)
    wide = np.zeros((groups, count * panel, runs, 2 * pairs), np.uint16)
    bits = weights.astype(ml_dtypes.bfloat16).view(np.uint16)
    wide[:, :per_group, :, :run] = bits.reshape(groups, per_group, runs, run)
    split = wide.reshape(groups, count, panel, runs, pairs, 2)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 2, 5))

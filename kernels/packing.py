"""Weights in the order in which the C kernels read them; done once, at compile time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def pack_matmul(matrix: Array, panel: int) -> Array:
    """Packs b[k, n] into [panel][k][panel columns], the last panel padded with zeros; flat."""
    return _panels(matrix[np.newaxis], panel).ravel()


def pack_conv(weights: Array, groups: int, panel: int) -> Array:
    """Packs OIHW weights [groups * out_c, in_c, kh, kw] into [group][panel][kh][kw][in_c][panel channels]; flat."""
    channels, in_c, kernel_h, kernel_w = weights.shape
    _check_groups(channels, groups)
    by_group = weights.reshape(groups, channels // groups, in_c, kernel_h, kernel_w)
    columns = by_group.transpose(0, 3, 4, 2, 1).reshape(groups, kernel_h * kernel_w * in_c, channels // groups)
    return _panels(columns, panel).ravel()


def pack_bias(bias: Array, groups: int, panel: int) -> Array:
    """Packs bias [groups * out_c] into [group][panel][panel channels], padded with zeros; flat."""
    _check_groups(len(bias), groups)
    return _panels(bias.reshape(groups, 1, -1), panel).ravel()


def pack_depthwise(weights: Array, lanes: int) -> Array:
    """Packs weights [channels, 1, kh, kw] (or [channels, kh, kw]) into [block][kh][kw][lanes]; flat."""
    channels, kernel_h, kernel_w = weights.shape[0], weights.shape[-2], weights.shape[-1]
    columns = weights.reshape(channels, kernel_h * kernel_w).T
    return _panels(columns[np.newaxis], lanes).ravel()


def pack_depthwise_bias(bias: Array, lanes: int) -> Array:
    """Pads a bias [channels] with zeros to whole vectors."""
    return pack_bias(bias, 1, lanes)


def pack_recurrent(weights: Array, gates: int, panel: int) -> Array:
    """Packs weights [gates * H, H] into [panels, H, gates, panel], the last panel padded with zeros."""
    size = weights.shape[1]
    panels = -(-size // panel)
    wide = np.zeros((gates, panels * panel, size), weights.dtype)
    wide[:, :size] = weights.reshape(gates, size, size)
    return np.ascontiguousarray(wide.reshape(gates, panels, panel, size).transpose(1, 3, 0, 2))


def pack_recurrent_pairs(weights: Array, gates: int, panel: int) -> Array:
    """Packs weights [gates * H, H] into [panels, ceil(H / 2), gates, panel, 2], filled up with zeros."""
    packed = pack_recurrent(weights, gates, panel)
    paired = np.concatenate([packed, np.zeros_like(packed[:, : packed.shape[1] % 2])], axis=1)
    pairs = paired.reshape(len(packed), -1, 2, gates, panel)
    return np.ascontiguousarray(pairs.transpose(0, 1, 3, 4, 2))


def pack_recurrent_scales(scales: Array, gates: int, panel: int) -> Array:
    """Packs scales [gates * H] of the columns into [panels, gates, panel], filled up with zeros."""
    return np.ascontiguousarray(_panels(scales.reshape(1, gates, -1), panel)[0])


def _panels(columns: Array, panel: int) -> Array:
    """[groups, k, n] -> [groups, panels, k, panel]."""
    groups, k, n = columns.shape
    panels = -(-n // panel)
    padded = np.zeros((groups, k, panels * panel), columns.dtype)
    padded[:, :, :n] = columns
    return np.ascontiguousarray(padded.reshape(groups, k, panels, panel).transpose(0, 2, 1, 3))


def _check_groups(channels: int, groups: int) -> None:
    if channels % groups:
        raise ValueError(f"{channels} channels do not divide into {groups} groups")

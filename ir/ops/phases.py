"""A transposed convolution as ordinary convolutions, one for each phase of the output grid.

Output places that are equal modulo the stride read the same taps of the kernel. So each phase is a plain convolution of
the whole input with a sub-kernel, and the phases are laid between one another: no zeros are multiplied.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ..value import Value
from .arithmetic import Add
from .assembly import Interleave
from .constant import array_of, constant
from .view import Slice, channelwise

if TYPE_CHECKING:
    from .contraction import ConvTranspose


def transposed_as_phases(op: ConvTranspose) -> Value | None:
    """The expansion; None where the weight is not constant or the shape has other than two spatial dimensions."""
    weights = array_of(op.w)
    if weights is None or op.x.rank != 4:
        return None
    full = [op.type.shape[2 + i] + op.pads[i] + op.pads[2 + i] for i in range(2)]
    parts, starts = [], []
    for phase in itertools.product(*(range(s) for s in op.strides)):
        if all(p < f for p, f in zip(phase, full, strict=True)):
            parts.append(_phase(op, weights, phase, full))
            starts.append((0, 0, *phase))
    shape = (*op.type.shape[:2], *full)
    whole = Interleave(tuple(parts), shape, tuple(starts), (1, 1, *op.strides)).result
    if any(op.pads):
        whole = Slice(whole, (0, 0, *op.pads[:2]), op.type.shape).result
    return whole if op.bias is None else Add(whole, channelwise(op.bias, 4)).result


def _phase(op: ConvTranspose, weights: np.ndarray, phase: tuple[int, ...], full: list[int]) -> Value:
    """The outputs at places p with p mod stride == phase, as one convolution (all zero when no tap reaches them)."""
    from .contraction import Conv

    size = [-(-(f - p) // s) for f, p, s in zip(full, phase, op.strides, strict=True)]
    taps = [_taps(op, axis, phase[axis], weights.shape[2 + axis]) for axis in range(2)]
    span = [max(reach, default=0) - min(reach, default=0) + 1 for reach in (list(t) for t in taps)]
    per_group = op.x.shape[1] // op.groups
    kernel = np.zeros((weights.shape[1] * op.groups, per_group, *span), weights.dtype)
    lowest = [min(t, default=0) for t in taps]
    grouped = weights.reshape(op.groups, per_group, *weights.shape[1:]).swapaxes(1, 2)
    grouped = grouped.reshape(-1, per_group, *weights.shape[2:])
    for (back_h, tap_h), (back_w, tap_w) in itertools.product(taps[0].items(), taps[1].items()):
        kernel[:, :, span[0] - 1 - (back_h - lowest[0]), span[1] - 1 - (back_w - lowest[1])] = grouped[
            :, :, tap_h, tap_w
        ]
    begins = [low + n - 1 for low, n in zip(lowest, span, strict=True)]
    ends = [max(0, s - d - low) for s, d, low in zip(size, op.x.shape[2:], lowest, strict=True)]
    conv = Conv(op.x, constant(kernel), None, (1, 1), (*begins, *ends), (1, 1), op.groups).result
    return Slice(conv, (0, 0, 0, 0), (*conv.shape[:2], *size)).result if conv.shape[2:] != tuple(size) else conv


def _taps(op: ConvTranspose, axis: int, phase: int, kernel: int) -> dict[int, int]:
    """How many inputs back each kernel tap of a phase reads: output p = s * i + d * tap, so i = (p - d * tap) / s."""
    stride, dilation = op.strides[axis], op.dilations[axis]
    reads = {(tap * dilation - phase) // stride: tap for tap in range(kernel) if (tap * dilation - phase) % stride == 0}
    return reads

"""Bias correction: what rounding the weights adds to the mean of each output is taken off again."""

from __future__ import annotations

import numpy as np

from ..ir.ops import array_of
from .layers import Layer
from .weights import Code

Array = np.ndarray


def has_bias_place(layer: Layer) -> bool:
    """Whether a correction can be added to the layer's outputs."""
    if layer.is_matmul:
        return layer.w.rank == 2
    return layer.kind != "conv-transpose" and (layer.bias is None or array_of(layer.bias) is not None)


def corrections(layer: Layer, code: Code, means: Array) -> Array:
    """What to add to each output channel so that its mean is that of the float layer [outputs].

    `means` is the mean of each channel of the layer's input.
    """
    error = layer.rows(layer.weights).astype(np.float64) - code.floats
    rows, taps = len(error), error.shape[1] // _channels(layer)
    per_group = means.reshape(layer.groups, -1)
    of_row = np.repeat(per_group, rows // layer.groups, axis=0)
    return np.asarray((error.reshape(rows, taps, -1).sum(axis=1) * of_row).sum(axis=1), np.float32)


def _channels(layer: Layer) -> int:
    return layer.w.shape[0] if layer.is_matmul else layer.w.shape[1]

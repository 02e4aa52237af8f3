"""Bias correction: what rounding the weights adds to the mean of each output is taken off again."""

from __future__ import annotations

import numpy as np

from .layers import Layer
from .weights import Code

Array = np.ndarray


def corrections(layer: Layer, code: Code, means: Array) -> Array | None:
    """What to add to each output channel so that its mean is that of the float layer [outputs].

    `means` is the mean of each channel of the layer's input. None where the layer has no place for it.
    """
    if layer.kind == "conv-transpose" or (layer.is_matmul and layer.w.rank != 2):
        return None
    if layer.bias is not None and layer.bias.producer is None:
        return None
    error = layer.rows(layer.weights).astype(np.float64) - code.floats
    rows, taps = len(error), error.shape[1] // _channels(layer)
    per_group = means.reshape(layer.groups, -1)
    of_row = np.repeat(per_group, rows // layer.groups, axis=0)
    return np.asarray((error.reshape(rows, taps, -1).sum(axis=1) * of_row).sum(axis=1), np.float32)


def _channels(layer: Layer) -> int:
    return layer.w.shape[0] if layer.is_matmul else layer.w.shape[1]

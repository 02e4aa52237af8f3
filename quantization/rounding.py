"""Rounding of weights against the output of their layer on calibration data, instead of to the nearest.

The squared error of a layer's output is a quadratic form of the errors of its weights, given by the second moments of
its inputs. Errors are passed on from weight to weight as they are rounded, then single weights move by one step as long
as that makes the output better. Nothing is random, and the work is bounded by the number of sweeps.
"""

from __future__ import annotations

import numpy as np

from ..ir.ops import Conv
from ..ir.ops.contraction import pad_spatial, windows
from .layers import Layer
from .weights import Code

Array = np.ndarray
PLACES = 96
"""How many places of a sample's output count."""

DAMPING = 0.01
SWEEPS = 20
LARGEST = 4608
"""Layers whose outputs sum more products than this keep rounding to nearest."""


class Moments:
    """Second moments of what a layer multiplies its weights with: [groups, K, K], summed over samples and places."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        length = layer.row_length
        self.sum = np.zeros((layer.groups, length, length))
        self.count = 0

    @staticmethod
    def serves(layer: Layer) -> bool:
        """Whether the layer's moments can be gathered."""
        plain = isinstance(layer.op, Conv) or (layer.is_matmul and layer.w.rank == 2)
        return plain and layer.row_length <= LARGEST

    def add(self, stacked: Array) -> None:
        """Take in the layer's input on several samples."""
        patches = self._patches(stacked)
        self.count += patches.shape[1]
        self.sum += np.matmul(patches.transpose(0, 2, 1), patches)

    def _patches(self, stacked: Array) -> Array:
        """[groups, places, K] in the order of `Layer.rows`."""
        op = self.layer.op
        if not isinstance(op, Conv):
            flat = stacked.reshape(len(stacked), -1, stacked.shape[-1])
            return _some(flat).reshape(1, -1, stacked.shape[-1])
        x = stacked.reshape(-1, *stacked.shape[2:])
        view = windows(pad_spatial(x, op.pads), op.w.shape[2:], op.strides, op.dilations)
        spatial = x.ndim - 2
        places = np.moveaxis(view, 1, -1)  # [N, positions, kernel, C]
        flat = places.reshape(len(x), -1, *places.shape[1 + spatial :]) if spatial == 1 else _flat_places(places, spatial)
        chosen = _some(flat)
        grouped = chosen.reshape(*chosen.shape[:-1], op.groups, -1)
        order = np.moveaxis(grouped, -2, 0)
        return np.ascontiguousarray(order).reshape(op.groups, chosen.shape[0] * chosen.shape[1], -1)

    @property
    def importance(self) -> Array:
        """How much the error of each weight counts for itself: [rows, K]."""
        diagonal = np.diagonal(self.sum, axis1=1, axis2=2) / max(self.count, 1)
        floor = DAMPING * diagonal.mean(axis=1, keepdims=True) + 1e-12
        return np.repeat(diagonal + floor, len(self.layer.rows(self.layer.weights)) // len(diagonal), axis=0)

    def of_group(self, group: int) -> Array:
        """The moments of one group with something on the diagonal, so that they can be inverted."""
        found = self.sum[group] / max(self.count, 1)
        return np.asarray(found + (DAMPING * np.mean(np.diag(found)) + 1e-12) * np.eye(len(found)))


def _flat_places(places: Array, spatial: int) -> Array:
    """[N, positions..., kernel..., C] with some of the positions, as one axis; never all of it is copied."""
    positions = places.shape[1 : 1 + spatial]
    every = max(1, int(np.ceil((np.prod(positions) / PLACES) ** (1 / spatial))))
    cut = places[(slice(None), *(slice(None, None, every if n > every else 1) for n in positions))]
    return cut.reshape(len(places), -1, *places.shape[1 + spatial :])


def _some(places: Array) -> Array:
    """At most PLACES of the places along axis 1."""
    step = -(-places.shape[1] // PLACES)
    return places[:, ::step]


def optimized(rows: Array, code: Code, limits: tuple[int, int], moments: Moments) -> Code:
    """The code with its integers chosen for the layer's output; scales stay."""
    groups = moments.layer.groups
    parts = np.split(np.arange(len(rows)), groups)
    integers = code.integers.astype(np.float64)
    scales = code.scales.astype(np.float64)
    for group, part in enumerate(parts):
        form = moments.of_group(group)
        found = _passed_on(rows[part].astype(np.float64), scales[part], limits, form)
        found = _best(rows[part], scales[part], form, found, integers[part])
        integers[part] = _descended(rows[part], scales[part], limits, form, found)
    return Code(integers.astype(np.int8), code.scale, code.group, code.shift)


def _best(rows: Array, scales: Array, form: Array, first: Array, second: Array) -> Array:
    """Of two codes the better one for each row."""
    errors = [_error(rows - found * scales, form) for found in (first, second)]
    return np.where((errors[0] <= errors[1])[:, None], first, second)


def _error(difference: Array, form: Array) -> Array:
    return np.einsum("ri,ij,rj->r", difference, form, difference, optimize=True)


def _passed_on(rows: Array, scales: Array, limits: tuple[int, int], form: Array) -> Array:
    """Round one weight after the other, each error made up for by those that follow."""
    factor = np.linalg.cholesky(np.linalg.inv(form)).T
    left, found = rows.copy(), np.empty_like(rows)
    for i in range(rows.shape[1]):
        found[:, i] = np.clip(np.round(left[:, i] / scales[:, i]), *limits)
        error = (left[:, i] - found[:, i] * scales[:, i]) / factor[i, i]
        left[:, i + 1 :] -= np.outer(error, factor[i, i + 1 :])
    return found


def _descended(rows: Array, scales: Array, limits: tuple[int, int], form: Array, integers: Array) -> Array:
    """Move single weights to the best of their integers while all others stand, until none moves."""
    found = integers.copy()
    slope = (rows - found * scales) @ form
    for _ in range(SWEEPS):
        moved = False
        for i in range(rows.shape[1]):
            step = np.round(slope[:, i] / (form[i, i] * scales[:, i]))
            step = np.clip(found[:, i] + step, *limits) - found[:, i]
            if step.any():
                moved = True
                found[:, i] += step
                slope -= np.outer(step * scales[:, i], form[i])
        if not moved:
            break
    return found

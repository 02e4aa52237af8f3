"""Second moments of what a layer multiplies its weights with, on calibration data: what rounding is judged by."""

from __future__ import annotations

import numpy as np

from ..ir.ops import Conv
from ..ir.ops.contraction import pad_spatial, windows
from .layers import Layer

Array = np.ndarray
PLACES = 96
"""How many places of a sample's output count."""

DAMPING = 0.01
LARGEST = 4608
"""Layers whose outputs sum more products than this keep rounding to nearest."""


class Moments:
    """Of the input as the quantized network gives it (x), and with that of the float network (y).

    `second` is the sum of x x', `cross` that of y x', both [groups, K, K]; `sum_x` and `sum_y` are [groups, K].
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        length = layer.row_length
        self.second, self.cross = (np.zeros((layer.groups, length, length)) for _ in range(2))
        self.sum_x, self.sum_y = (np.zeros((layer.groups, length)) for _ in range(2))
        self.count = 0

    @staticmethod
    def serves(layer: Layer) -> bool:
        """Whether the layer's moments can be gathered."""
        plain = isinstance(layer.op, Conv) or (layer.is_matmul and layer.w.rank == 2)
        return plain and layer.row_length <= LARGEST

    def add(self, quantized: Array, plain: Array) -> None:
        """Take in the layer's input in both networks on several samples, stacked along a new first axis."""
        x, y = self._patches(quantized), self._patches(plain)
        turned = x.transpose(0, 2, 1)
        self.count += x.shape[1]
        self.second += np.matmul(turned, x)
        self.cross += np.matmul(y.transpose(0, 2, 1), x)
        self.sum_x += x.sum(axis=1, dtype=np.float64)
        self.sum_y += y.sum(axis=1, dtype=np.float64)

    def _patches(self, stacked: Array) -> Array:
        """[groups, places, K] in the order of `Layer.rows`."""
        op = self.layer.op
        if not isinstance(op, Conv):
            return _some(stacked.reshape(len(stacked), -1, stacked.shape[-1])).reshape(1, -1, stacked.shape[-1])
        x = stacked.reshape(-1, *stacked.shape[2:])
        view = windows(pad_spatial(x, op.pads), op.w.shape[2:], op.strides, op.dilations)
        chosen = _flat_places(np.moveaxis(view, 1, -1), x.ndim - 2)
        grouped = chosen.reshape(*chosen.shape[:-1], op.groups, -1)
        order = np.moveaxis(grouped, -2, 0)
        return np.ascontiguousarray(order).reshape(op.groups, chosen.shape[0] * chosen.shape[1], -1)

    @property
    def importance(self) -> Array:
        """How much the error of each weight counts for itself: [rows, K]."""
        diagonal = np.diagonal(self.second, axis1=1, axis2=2) / max(self.count, 1)
        floor = DAMPING * diagonal.mean(axis=1, keepdims=True) + 1e-12
        return np.repeat(diagonal + floor, len(self.layer.rows(self.layer.weights)) // len(diagonal), axis=0)

    def form(self, group: int) -> Array:
        """The second moments of one group; few samples for many weights are trusted less beside the diagonal."""
        found = self.second[group] / max(self.count, 1)
        diagonal = np.diag(found)
        trust = self.trust
        return np.asarray(trust * found + np.diag((1 - trust) * diagonal + DAMPING * diagonal.mean() + 1e-12))

    @property
    def trust(self) -> float:
        """How much of the moments between different inputs is believed, 0 to 1."""
        return self.count / (self.count + self.second.shape[1])

    def target(self, group: int, rows: Array) -> Array:
        """The weights [R, K] that on the quantized input come nearest to what `rows` give on the float one."""
        change = self.trust * (self.cross[group] - self.second[group]) / max(self.count, 1)
        return np.asarray(rows + np.linalg.solve(self.form(group), (rows @ change).T).T)

    def shift(self, rows: Array, found: Array) -> Array:
        """What to add to outputs of weights `found` so that their means are those of `rows` in the float network."""
        groups = len(self.sum_x)
        wanted = np.einsum("grk,gk->gr", rows.reshape(groups, -1, rows.shape[1]), self.sum_y)
        got = np.einsum("grk,gk->gr", found.reshape(groups, -1, rows.shape[1]), self.sum_x)
        return np.asarray(((wanted - got) / max(self.count, 1)).reshape(-1), np.float32)


def _flat_places(places: Array, spatial: int) -> Array:
    """[N, positions..., kernel..., C] with some of the positions, as one axis [N, places, kernel..., C]."""
    positions = places.shape[1 : 1 + spatial]
    every = max(1, int(np.ceil((np.prod(positions) / PLACES) ** (1 / spatial))))
    steps = [slice(None, None, every if n > every else 1) for n in positions]
    cut = places[tuple([slice(None), *steps])]
    return cut.reshape(len(places), -1, *places.shape[1 + spatial :])


def _some(places: Array) -> Array:
    """At most PLACES of the places along axis 1."""
    return places[:, :: -(-places.shape[1] // PLACES)]

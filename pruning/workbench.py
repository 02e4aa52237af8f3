"""What is worked out once for a network and its data, so that many prunings of it are cheap to make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..ir import Graph, Op
from ..ir.ops import array_of
from ..quantization.bias import has_bias_place
from ..quantization.data import Data
from ..quantization.edit import with_constants
from ..quantization.executor import CHUNK, Executor
from ..quantization.layers import Layer, find_layers
from ..quantization.moments import Moments
from ..quantization.probe import with_outputs
from .channels import Channels
from .config import Config
from .masks import mask_of
from .refit import refitted
from .removal import without_channels
from .schemes import DENSE_SCHEME, Scheme

Array = np.ndarray
SHORT = 32
"""Layers whose outputs sum fewer products than this keep all of them, unless the configuration names them."""

STAGES = 64
"""How often the data runs to fit all layers, each time with the layers before already fitted."""

MEMORY = 1 << 26
"""How many numbers the second moments of layers that are observed together may have."""

Schemes = Mapping[str, Scheme]


@dataclass
class _Changes:
    """New weights and biases of layers."""

    arrays: dict[tuple[Op, str], Array] = field(default_factory=dict)

    def set_rows(self, layer: Layer, rows: Array) -> None:
        self.arrays[layer.op, "b" if layer.is_matmul else "w"] = layer.from_rows(rows).astype(np.float32)

    def add_to_bias(self, layer: Layer, shift: Array) -> None:
        """Where the layer has a bias, or is a convolution that can get one."""
        if not layer.is_matmul and has_bias_place(layer):
            bias = array_of(layer.bias)
            self.arrays[layer.op, "bias"] = (shift if bias is None else bias + shift).astype(np.float32)


@dataclass
class Workbench:
    """A canonical graph, its layers and what data shows of them; `pruned` makes a smaller graph of it."""

    graph: Graph
    config: Config
    data: Data | None
    executor: Executor
    layers: list[Layer] = field(init=False)
    channels: Channels = field(init=False)
    seen: dict[str, Array] = field(default_factory=dict)
    masks: dict[tuple[str, str], Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = find_layers(self.graph)
        self.channels = Channels(self.graph, self.layers)

    @property
    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [layer.name for layer in self.layers]

    @cached_property
    def schemes(self) -> dict[str, Scheme]:
        """The scheme of each layer as configured; layers too small to prune stay dense unless they are named."""
        chosen, named = self.config.schemes(self.names), self.config.named(self.names)
        for layer in self.layers:
            if layer.name not in named and chosen[layer.name].is_sparse and not _is_worth(layer, chosen[layer.name]):
                chosen[layer.name] = DENSE_SCHEME
        return self.channels.agreed(chosen, named)

    def pruned(self, schemes: Schemes, fit: bool = True) -> Graph:
        """The graph with these schemes; layers are fitted to the data, if there is any, in the order of the network."""
        return without_channels(self.masked(schemes, fit), self.removed(schemes))

    def masked(self, schemes: Schemes, fit: bool = True) -> Graph:
        """The same with zeros where something was removed."""
        kept = self.kept(schemes)
        changes = _Changes()
        for layer in self.layers:
            if layer.name in kept:
                changes.set_rows(layer, np.where(kept[layer.name], layer.rows(layer.weights), 0))
        if fit and self.fits:
            self._fit([layer for layer in self.layers if layer.name in kept], kept, changes)
        return with_constants(self.graph, changes.arrays)

    @property
    def fits(self) -> bool:
        """Whether weights that stay are fitted to data."""
        return self.config.refit and self.data is not None

    def removed(self, schemes: Schemes) -> set[int]:
        """The groups of channels that go."""
        return self.channels.chosen(schemes, self.importance, self.config.multiple)

    def kept(self, schemes: Schemes) -> dict[str, Array]:
        """For each layer that loses something the weights that stay, as a mask of its rows."""
        masks = self.channels.masks(self.removed(schemes))
        for layer in self.layers:
            if schemes[layer.name].is_sparse:
                masks[layer.name] = self._sparse_mask(layer, schemes[layer.name], masks.get(layer.name))
        return masks

    def _sparse_mask(self, layer: Layer, scheme: Scheme, left: Array | None) -> Array:
        """The weights that stay of those that removed channels left: patterns are those of the smaller layer."""
        if left is not None:
            smaller = np.ix_(left.any(axis=1), left.any(axis=0))
            mask = np.zeros(left.shape, bool)
            mask[smaller] = mask_of(self.importance(layer)[smaller], scheme)
            return mask
        key = layer.name, scheme.name
        if key not in self.masks:
            self.masks[key] = mask_of(self.importance(layer), scheme)
        return self.masks[key]

    # --- data -------------------------------------------------------------------------------------------------------

    def importance(self, layer: Layer) -> Array:
        """How much each weight counts for the layer's outputs: [outputs, K], sums of squares."""
        squares = layer.rows(layer.weights).astype(np.float64) ** 2
        if self.config.criterion == "magnitude" or self.data is None or not Moments.serves(layer):
            return squares
        return np.asarray(squares * self._counts(layer))

    def _counts(self, layer: Layer) -> Array:
        """What the square of each weight counts for the layer's output in the network as it is: [outputs, K]."""
        if not self.seen:
            by_curvature = self.config.criterion == "curvature" or self.config.refit
            count = curvature if by_curvature and self.config.criterion != "activation" else _own
            for batch in _batches([each for each in self.layers if Moments.serves(each)]):
                for each, moments in zip(batch, self._observed(self.graph, batch), strict=True):
                    self.seen[each.name] = count(moments)
        found = self.seen[layer.name]
        return np.repeat(found, len(layer.rows(layer.weights)) // len(found), axis=0)

    def _fit(self, layers: Sequence[Layer], kept: Mapping[str, Array], changes: _Changes) -> None:
        served = [layer for layer in layers if Moments.serves(layer)]
        for stage in np.array_split(np.arange(len(served)), max(1, min(len(served), STAGES))):
            chosen = [served[i] for i in stage]
            trial = with_constants(self.graph, changes.arrays)
            for layer, moments in zip(chosen, self._observed(trial, chosen), strict=True):
                rows, mask = layer.rows(layer.weights), kept[layer.name]
                found = refitted(rows, mask, moments)
                changes.set_rows(layer, found)
                changes.add_to_bias(layer, np.where(mask.any(axis=1), moments.shift(rows, found), 0))

    def _observed(self, changed: Graph, layers: Sequence[Layer]) -> list[Moments]:
        """The moments of layers in a changed copy of the graph, beside those in the graph."""
        assert self.data is not None
        found = [Moments(layer) for layer in layers]
        copies = {layer.name: layer for layer in find_layers(changed)}
        now = self.executor(with_outputs(changed, [copies[layer.name].x for layer in layers]))
        before = self.executor(with_outputs(self.graph, [layer.x for layer in layers]))
        for chunk in self.data.chunks(CHUNK, self.config.samples):
            for moments, x, y in zip(found, now(chunk), before(chunk), strict=True):
                moments.add(x, y)
        return found


def _is_worth(layer: Layer, scheme: Scheme) -> bool:
    return layer.kind != "depthwise" and layer.row_length >= max(SHORT, scheme.group)


def _batches(layers: list[Layer]) -> Iterator[list[Layer]]:
    """The layers in order, some at a time, so that their moments need a bounded amount of memory."""
    batch: list[Layer] = []
    size = 0
    for layer in layers:
        own = layer.groups * layer.row_length**2
        if batch and size + own > MEMORY:
            yield batch
            batch, size = [], 0
        batch.append(layer)
        size += own
    if batch:
        yield batch


def _own(moments: Moments) -> Array:
    """What the square of each weight counts when no other changes: [groups, K]."""
    return np.asarray([np.diagonal(moments.form(group)) for group in range(moments.layer.groups)])


def curvature(moments: Moments) -> Array:
    """What the square of each weight counts when all others of its output make up for its loss: [groups, K]."""
    return np.array([1 / np.diagonal(np.linalg.inv(moments.form(group))) for group in range(moments.layer.groups)])

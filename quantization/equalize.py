"""Cross-layer equalization: scales moved between a layer and the next, so that no channel is tiny beside another.

Between two convolutions with nothing but a ReLU between them, channel i may be divided by any positive s[i] in the
first and multiplied by it in the second: the network stays the same, but one scale fits all channels better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Conv, LeakyRelu, Pool, Relu, Slice, array_of
from .data import Data
from .edit import with_constants
from .executor import Executor
from .layers import Layer, find_layers
from .observe import channels

Array = np.ndarray
ROUNDS = 20
LIMIT = 1e4
SMALLEST = 1e-3
"""Channels that reach less than this share of the largest count as if they reached so far."""


@dataclass
class _Link:
    """Two convolutions whose channels meet in a value; `places` are the channels of the first that the second reads."""

    first: Layer
    second: Layer
    places: Array

    @property
    def value(self) -> Value:
        return self.second.x


def equalized(graph: Graph, reaches: Mapping[Value, Array] | None = None) -> Graph:
    """A copy of a graph, the same function, with linked channels evened out.

    Without `reaches` the weights on both sides get equal ranges, which is what one scale for all weights needs. With
    them, the largest magnitude of each channel of the values between layers, activations are weighed against the
    weights that read them.
    """
    links = list(_links(graph))
    weights = {layer.op: layer.weights.astype(np.float64) for link in links for layer in (link.first, link.second)}
    biases = {link.first.op: _bias_of(link.first) for link in links}
    reached = {link.value: np.array(reaches[link.value], np.float64) for link in links} if reaches else {}
    for _ in range(ROUNDS):
        for link in links:
            _equalize(link, weights, biases, reached.get(link.value))
    changes: dict[tuple[Op, str], Array] = {(op, "w"): array.astype(np.float32) for op, array in weights.items()}
    changes |= {(op, "bias"): array.astype(np.float32) for op, array in biases.items() if array is not None}
    return with_constants(graph, changes)


def reaches(graph: Graph, data: Data, executor: Executor, limit: int) -> dict[Value, Array]:
    """How far each channel of the values between linked layers reaches on data."""
    values = {link.value: 1 for link in _links(graph)}
    seen = channels(graph, data, values, executor, limit) if values else {}
    return {value: np.asarray(found.reach) for value, found in seen.items()}


def _bias_of(layer: Layer) -> Array | None:
    array = array_of(layer.bias)
    return None if array is None else array.astype(np.float64)


def _links(graph: Graph) -> Iterator[_Link]:
    layers = {layer.op: layer for layer in find_layers(graph)}
    for layer in layers.values():
        if not isinstance(layer.op, Conv):
            continue
        places, following = np.arange(layer.w.shape[0]), _reader(layer.op.result)
        while following is not None and _passes(following):
            places = _picked(places, following)
            following = _reader(following.results[0])
        second = layers.get(following) if following is not None else None
        if second is not None and _can_link(layer, second):
            yield _Link(layer, second, places)


def _reader(value: Value) -> Op | None:
    return next(iter(value.users)) if value.has_one_use else None


def _passes(op: Op) -> bool:
    """Whether scaling channels before an op is scaling them after it."""
    largest = isinstance(op, Pool) and op.kind == "max"
    return largest or isinstance(op, Relu | LeakyRelu | Slice)


def _picked(places: Array, op: Op) -> Array:
    if not isinstance(op, Slice):
        return places
    return places[op.starts[1] + op.steps[1] * np.arange(op.sizes[1])]


def _can_link(first: Layer, second: Layer) -> bool:
    plain = first.groups == 1 or first.kind == "depthwise"
    known = first.bias is None or array_of(first.bias) is not None
    return isinstance(second.op, Conv) and plain and known and (second.groups == 1 or second.kind == "depthwise")


def _reach_of_inputs(layer: Layer, weights: Array) -> Array:
    """The largest weight that each input channel meets."""
    axis = 0 if layer.kind == "depthwise" else 1
    return np.asarray(np.abs(weights).max(axis=tuple(a for a in range(weights.ndim) if a != axis)))


def _equalize(link: _Link, weights: dict[Op, Array], biases: dict[Op, Array | None], reached: Array | None) -> None:
    first, second = weights[link.first.op], weights[link.second.op]
    made = np.abs(first).reshape(len(first), -1).max(axis=1)[link.places] if reached is None else _lifted(reached)
    taken = _reach_of_inputs(link.second, second)
    usable = (made > 0) & (taken > 0)
    factor = np.ones_like(made)
    np.divide(made, taken, out=factor, where=usable)
    factor = np.clip(np.sqrt(factor), 1 / LIMIT, LIMIT)
    _divide(link, factor, weights, biases)
    shape = (-1, *[1] * (second.ndim - 1)) if link.second.kind == "depthwise" else (1, -1, *[1] * (second.ndim - 2))
    weights[link.second.op] = second * factor.reshape(shape)
    if reached is not None:
        reached /= factor  # in place: the next round goes on from here


def _lifted(reached: Array) -> Array:
    return np.asarray(np.maximum(reached, SMALLEST * reached.max()))


def _divide(link: _Link, factor: Array, weights: dict[Op, Array], biases: dict[Op, Array | None]) -> None:
    """Make the channels that the second layer reads smaller by a factor each."""
    first, bias = weights[link.first.op], biases[link.first.op]
    wide = np.ones(len(first))
    wide[link.places] = factor
    weights[link.first.op] = first / wide.reshape(-1, *[1] * (first.ndim - 1))
    biases[link.first.op] = None if bias is None else bias / wide

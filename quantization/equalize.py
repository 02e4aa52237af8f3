"""Cross-layer equalization: scales moved between a layer and the next, so that no channel is tiny beside another.

Between two convolutions with nothing but a ReLU between them, channel i may be divided by any positive s[i] in the
first and multiplied by it in the second: the network stays the same, but one scale fits all channels better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import Conv, LeakyRelu, Relu, array_of
from .edit import with_constants
from .layers import Layer, find_layers

Array = np.ndarray
ROUNDS = 20
LIMIT = 1e4


@dataclass
class _Link:
    """Two convolutions whose channels meet, with their constants as they are being changed."""

    first: Layer
    second: Layer


def equalized(graph: Graph) -> Graph:
    """A copy of a graph, the same function, with the ranges of linked channels made equal."""
    links = list(_links(graph))
    weights = {layer.op: layer.weights.astype(np.float64) for link in links for layer in (link.first, link.second)}
    biases = {link.first.op: _bias_of(link.first) for link in links}
    for _ in range(ROUNDS):
        for link in links:
            _equalize(link, weights, biases)
    changes: dict[tuple[Op, str], Array] = {(op, "w"): array.astype(np.float32) for op, array in weights.items()}
    changes |= {(op, "bias"): array.astype(np.float32) for op, array in biases.items() if array is not None}
    return with_constants(graph, changes)


def _bias_of(layer: Layer) -> Array | None:
    array = array_of(layer.bias)
    return None if array is None else array.astype(np.float64)


def _links(graph: Graph) -> Iterator[_Link]:
    layers = {layer.op: layer for layer in find_layers(graph)}
    for layer in layers.values():
        following = _reader(layer.op.result)
        if isinstance(following, Relu | LeakyRelu):
            following = _reader(following.result)
        second = layers.get(following) if following is not None else None
        if second is not None and _can_link(layer, second):
            yield _Link(layer, second)


def _reader(value: Value) -> Op | None:
    return next(iter(value.users)) if value.has_one_use else None


def _can_link(first: Layer, second: Layer) -> bool:
    plain = first.groups == 1 or first.kind == "depthwise"
    convolutions = isinstance(first.op, Conv) and isinstance(second.op, Conv)
    known = first.bias is None or array_of(first.bias) is not None
    return convolutions and plain and known and (second.groups == 1 or second.kind == "depthwise")


def _reach_of_inputs(layer: Layer, weights: Array) -> Array:
    """The largest weight that each input channel meets."""
    axis = 0 if layer.kind == "depthwise" else 1
    return np.asarray(np.abs(weights).max(axis=tuple(a for a in range(weights.ndim) if a != axis)))


def _equalize(link: _Link, weights: dict[Op, Array], biases: dict[Op, Array | None]) -> None:
    first, second = weights[link.first.op], weights[link.second.op]
    made = np.abs(first).reshape(len(first), -1).max(axis=1)
    taken = _reach_of_inputs(link.second, second)
    usable = (made > 0) & (taken > 0)
    factor = np.ones_like(made)
    np.divide(made, taken, out=factor, where=usable)
    factor = np.clip(np.sqrt(factor), 1 / LIMIT, LIMIT)
    weights[link.first.op] = first / factor.reshape(-1, *[1] * (first.ndim - 1))
    bias = biases[link.first.op]
    biases[link.first.op] = None if bias is None else bias / factor
    shape = (-1, *[1] * (second.ndim - 1)) if link.second.kind == "depthwise" else (1, -1, *[1] * (second.ndim - 2))
    weights[link.second.op] = second * factor.reshape(shape)

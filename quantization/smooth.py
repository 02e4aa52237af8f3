"""SmoothQuant: outlying channels after a layer normalization become milder, the weights that read them stronger.

Channel i of the normalization is divided by s[i], row i of every matrix that reads it multiplied by s[i]; the network
stays the same, but one scale fits all channels of the activation better.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ir import Graph, Op
from ..ir.ops import LayerNorm, array_of
from .data import Data
from .edit import with_constants
from .executor import Executor
from .layers import Layer, find_layers
from .observe import channels

Array = np.ndarray
SMALLEST = 1e-5


def smoothed(graph: Graph, data: Data, strength: float, executor: Executor, limit: int) -> Graph:
    """A copy of a graph, the same function; `strength` 0 leaves all range to activations, 1 moves it all to weights."""
    places = list(_places(graph))
    if not places:
        return graph.copy()
    seen = channels(graph, data, {norm.result: norm.type.rank - 1 for norm, _ in places}, executor, limit)
    changes: dict[tuple[Op, str], Array] = {}
    for norm, layers in places:
        reach = seen[norm.result].reach
        assert reach is not None
        factor = _factors(reach, layers, strength)
        changes |= _divided(norm, factor)
        changes |= {(layer.op, "b"): (layer.weights * factor[:, None]).astype(np.float32) for layer in layers}
    return with_constants(graph, changes)


def _places(graph: Graph) -> Iterator[tuple[LayerNorm, list[Layer]]]:
    """Normalizations over the last axis whose result only matrix products with constant weights read."""
    layers = {layer.op: layer for layer in find_layers(graph)}
    for op in graph:
        if not isinstance(op, LayerNorm) or op.axis != op.type.rank - 1 or array_of(op.scale) is None:
            continue
        readers = [layers.get(user) for user in op.result.users]
        found = [r for r in readers if r is not None and r.is_matmul and r.w.rank == 2 and r.x is op.result]
        if found and len(found) == len(readers) and (op.bias is None or array_of(op.bias) is not None):
            yield op, found


def _factors(reach: Array, layers: list[Layer], strength: float) -> Array:
    weights = np.max([np.abs(layer.weights).max(axis=1) for layer in layers], axis=0)
    found = np.maximum(reach, SMALLEST) ** strength / np.maximum(weights, SMALLEST) ** (1 - strength)
    return np.where((reach > SMALLEST) & (weights > SMALLEST), np.maximum(found, SMALLEST), 1.0)


def _divided(norm: LayerNorm, factor: Array) -> dict[tuple[Op, str], Array]:
    names = [name for name, value in (("scale", norm.scale), ("bias", norm.bias)) if value is not None]
    arrays = {name: array_of(getattr(norm, name)) for name in names}
    return {(norm, name): np.asarray(array / factor, np.float32) for name, array in arrays.items() if array is not None}

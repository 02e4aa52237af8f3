"""Small networks and data for the tests of quantization."""

from __future__ import annotations

import numpy as np

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Add, Concat, Conv, MatMul, Pool, Relu, Reshape, constant

Array = np.ndarray


def weights(rng: np.random.Generator, *shape: int) -> Array:
    """Random weights that keep activations about as large as they are."""
    fan = int(np.prod(shape[1:]))
    return (rng.standard_normal(shape) / np.sqrt(fan) * 1.4).astype(np.float32)


def residual_network(seed: int = 0, channels: int = 12) -> Graph:
    """Convolutions (one depthwise), a residual, pooling, a matrix product: [1, 3, 8, 8] to [1, 5]."""
    rng = np.random.default_rng(seed)
    graph = Graph("residual")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 3, 8, 8)), "image")

    def conv(x, out, kernel=3, groups=1):
        w = constant(weights(rng, out, x.shape[1] // groups, kernel, kernel))
        b = constant(rng.standard_normal(out).astype(np.float32) * 0.1)
        return Conv(x, w, b, pads=(kernel // 2,) * 4, groups=groups).result

    first = Relu(conv(x, channels)).result
    second = Relu(conv(first, channels, groups=channels)).result
    third = Relu(Add(conv(second, channels, 1), first).result).result
    pooled = Pool(third, "max", (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)).result
    mean = Pool(pooled, "average", (4, 4), (4, 4), (0, 0, 0, 0), (1, 1)).result
    flat = Reshape(mean, (1, channels)).result
    product = MatMul(flat, constant(weights(rng, 5, channels).T.copy())).result
    scores = Add(product, constant(np.float32([0.1] * 5))).result
    graph.add(scores.producer)
    graph.set_outputs([scores], ["scores"])
    return graph


def joining_network(factor: float) -> Graph:
    """Two convolutions whose outputs, one of them `factor` times larger, are concatenated for a third."""
    rng = np.random.default_rng(1)
    graph = Graph("joining")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 4, 6, 6)), "image")
    parts = [Relu(Conv(x, constant(weights(rng, 4, 4, 3, 3) * np.float32(f))).result).result for f in (1.0, factor)]
    joined = Concat(tuple(parts), 1).result
    out = Conv(joined, constant(weights(rng, 3, 8, 1, 1))).result
    graph.add(out.producer)
    graph.set_outputs([out], ["out"])
    return graph


def images(graph: Graph, count: int, seed: int = 7) -> dict[str, Array]:
    """Random samples for the only input of a graph, first axis = samples."""
    (x,) = graph.inputs
    rng = np.random.default_rng(seed)
    return {x.name: rng.standard_normal((count, *x.shape[1:])).astype(np.float32)}


def labelled(graph: Graph, count: int, seed: int = 8) -> dict[str, Array]:
    """The same with labels: what the network itself answers."""
    data = images(graph, count, seed)
    outputs = [graph.evaluate([sample[None]])[0] for sample in data[graph.inputs[0].name]]
    return {**data, "labels": np.concatenate(outputs).argmax(axis=1)}

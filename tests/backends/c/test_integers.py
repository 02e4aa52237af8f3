"""Integers at the ends of their range, and indices that count from the end, as `evaluate` has them."""

from __future__ import annotations

import numpy as np

from edgec.ir import Graph, TensorType, f32, i64
from edgec.ir.ops import Div, Gather, Reduce, constant
from edgec.ir.types import i32

from .harness import compiled, outputs


def same(graph: Graph, inputs: list[np.ndarray]) -> bool:
    wanted = graph.evaluate(inputs)
    with compiled(graph, "host") as artifact:
        return all(np.array_equal(a, b) for a, b in zip(outputs(artifact, inputs), wanted, strict=True))


def test_indices_from_the_end_that_several_share() -> None:
    graph = Graph()
    x, y = (graph.input(TensorType(f32, (n, 2)), name) for n, name in ((3, "x"), (5, "y")))
    indices = constant([-1, 0, -3], i64)
    graph.set_outputs([graph.add(Gather(x, indices)), indices, graph.add(Gather(y, indices))], ["a", "indices", "b"])
    assert same(graph, [np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(10, dtype=np.float32).reshape(5, 2)])


def test_quotients_and_means_of_large_integers() -> None:
    graph = Graph()
    x, y = (graph.input(TensorType(i64, (5,)), name) for name in "xy")
    z = graph.input(TensorType(i32, (2, 3)), "z")
    mean = graph.add(Reduce(z, "mean", (1,)))
    graph.set_outputs([graph.add(Div(x, y)), graph.add(Reduce(x, "mean", (0,))), mean], ["quotient", "wide", "mean"])
    largest = 2**63 - 1
    assert same(graph, [
        np.int64([largest, -largest - 1, -largest, -7, 7]), np.int64([2, -1, 3, 2, 0]),
        np.int32([[2**31 - 1, 2**31 - 1, 5], [-7, 0, 0]]),
    ])  # fmt: skip

"""Epilogues of many instructions: functions that kernels call, with the same results."""

from __future__ import annotations

import numpy as np
import pytest

from edgec import driver
from edgec.backends.c.emit import emit
from edgec.backends.c.spelling import VECTOR
from edgec.ir import Graph
from edgec.ir.scalar import PRIMITIVES
from edgec.ir.text import parse_graph
from edgec.kernels.schedules import MODEL
from edgec.passes.region_rules import SCALAR
from edgec.targets import get_target

from .harness import compiled, outputs

NETWORK = """
graph "long"(%image: f32[2,6,9,11] "image", %other: f32[2,44,9,11] "other") {{
  %w = constant(value=fill(0.125)) : f32[44,6,{edge},{edge}]
  %conv = conv(%image, %w, pads=[{pad}, {pad}, {pad}, {pad}]) : f32[2,44,9,11]
  %long = {function}(%conv) : f32[2,44,9,11]
  %sum = add(%long, %other) : f32[2,44,9,11]
  return %sum "sum"
}}
"""


def network(function: str, edge: int) -> Graph:
    return parse_graph(NETWORK.format(function=function, edge=edge, pad=edge // 2))


def code(graph: Graph) -> str:
    lowered = driver.lower(graph, "x86-64-v3", winograd="off")
    return emit(lowered.graph, get_target("x86-64-v3"), MODEL).files["model.c"].decode()


@pytest.mark.parametrize(("function", "long"), [("silu", True), ("tanh", True), ("relu", False), ("hard-swish", False)])
def test_long_ones_are_called(function: str, long: bool) -> None:
    assert (".apart = 1" in code(network(function, 1))) == long


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4", "arm-neon"])
@pytest.mark.parametrize("edge", [1, 5])
def test_called_ones_compute_the_same(target: str, edge: int) -> None:
    graph, random = network("silu", edge), np.random.default_rng(1)
    arrays = [random.standard_normal(v.shape).astype(np.float32) for v in graph.inputs]
    with compiled(graph, target) as artifact:
        (found,) = outputs(artifact, arrays)
    np.testing.assert_allclose(found, graph.evaluate(arrays)[0], rtol=2e-5, atol=2e-5)


def test_epilogues_refuse_what_vectors_do_not_have() -> None:
    assert set(PRIMITIVES) - set(VECTOR) == SCALAR

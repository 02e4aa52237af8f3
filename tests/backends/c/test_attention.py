"""Attention in C: every form on every instruction set, the arena without scores, the same bits for any thread count."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Attention, Reshape, Transpose, Where, constant, like
from edgec.ir.types import boolean

from ...samples import graph_of, reference, samples_of
from .harness import TARGETS, compiled, outputs, run_guarded

SLOW = [pytest.param(t, marks=pytest.mark.slow) if t not in ("x86-64-v3",) else t for t in TARGETS]


def heads_of_rows() -> Graph:
    """Queries, keys and values as slices of rows [tokens, heads * size], a computed mask, rows that come out."""
    graph = Graph("heads")
    rows = [graph.input(TensorType(f32, (1, 50, 3 * 16)), name) for name in "qkv"]
    q, k, v = (Transpose(Reshape(x, (1, 50, 3, 16)).result, (0, 2, 1, 3)).result for x in rows)
    mask = graph.input(TensorType(boolean, (1, 1, 50, 50)), "mask")
    bias = Where(mask, like(q, 0), like(q, -np.inf)).result
    y = Attention(q, k, v, bias, 0.25).result
    flat = Reshape(Transpose(y, (0, 2, 1, 3)).result, (1, 50, 48)).result
    graph.set_outputs([graph.add(flat.producer)], ["y"])  # type: ignore[arg-type]
    return graph


@pytest.mark.parametrize("target", SLOW)
def test_every_form(target: str) -> None:
    wanted = reference(graph_of([(f"attention{i}", op) for i, op in enumerate(samples_of("attention"))]))
    with compiled(wanted.graph, target) as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []


def test_heads_are_read_where_they_are_and_threads_change_no_bit() -> None:
    graph = heads_of_rows()
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((1, 50, 48)).astype(np.float32) for _ in range(3)]
    inputs.append(random.random((1, 1, 50, 50)) < 0.7)
    wanted = graph.evaluate(inputs)[0]
    with compiled(graph, "host") as artifact:
        kernels = [step["kernel"] for step in artifact.report["regions"]]
        assert kernels == ["loop", "attention"]
        one, three = (run_guarded(artifact, inputs, threads)[0] for threads in (1, 3))
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(one, three)


def test_constants_of_one_element_are_read_too() -> None:
    graph = Graph("one")
    q, k = (graph.input(TensorType(f32, (1, 2, 3, 4)), name) for name in "qk")
    bias, v = constant(np.full((1, 1, 1, 1), 0.5, np.float32)), constant(np.full((1, 1, 1, 1), -3, np.float32))
    graph.set_outputs([graph.add(Attention(q, k, k, bias, replaces=True))], ["y"])
    small = graph.input(TensorType(f32, (1, 1, 5, 1)), "small")
    graph.set_outputs([graph.outputs[0], graph.add(Attention(small, v, v))], ["y", "z"])
    wanted = reference(graph)
    with compiled(graph, "host") as artifact:
        assert wanted.faults(outputs(artifact, wanted.inputs)) == []

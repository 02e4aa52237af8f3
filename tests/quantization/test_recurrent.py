"""Recurrent layers on integers: how near they come to floats."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, arg, f32
from edgec.ir.ops import Add, MatMul, Recurrent, constant
from edgec.ir.ops.recurrent import FUNCTIONS, GATES
from edgec.ir.ops.recurrent_integer import exact_sigmoid, exact_tanh
from edgec.quantization import quantize

STEPS, SIZE, HIDDEN = 20, 12, 24


def network(cell: str, **options: bool) -> Graph:
    rng = np.random.default_rng(3)
    gates = GATES[cell] * HIDDEN
    graph = Graph(cell)
    x = graph.input(arg(f32, STEPS, 1, SIZE).type, "x")
    w, b, r = (constant(rng.normal(0, 0.4, s), f32) for s in ((SIZE, gates), (gates,), (gates, HIDDEN)))
    projected = Add(MatMul(x, w).result, b).result
    layer = Recurrent(projected, r, cell=cell, activations=FUNCTIONS[cell], **options)
    graph.insert_before(None, layer)
    graph.set_outputs([layer.result], ["y"])
    graph.stage = "canonical"
    return graph


@pytest.mark.parametrize(
    ("cell", "options"),
    [("lstm", {}), ("lstm", {"reverse": True}), ("gru", {}), ("gru", {"linear_before_reset": True}), ("rnn", {})],
)
@pytest.mark.parametrize(("scheme", "decibels"), [("int8", 25), ("w8a16", 28)])
def test_comes_near_to_floats(cell: str, options: dict[str, bool], scheme: str, decibels: float) -> None:
    graph = network(cell, **options)
    x = np.random.default_rng(1).normal(0, 1, (4, STEPS, 1, SIZE)).astype(np.float32)
    made = quantize(graph, scheme, lambda: ({"x": sample} for sample in x)).graph
    assert [op.name for op in made if op.name.startswith("recurrent")] == ["recurrent-integer"]
    wanted, got = graph.evaluate([x[0]])[0], made.evaluate([x[0]])[0]
    noise = np.square(got.astype(np.float64) - wanted).sum()
    assert 10 * np.log10(np.square(wanted.astype(np.float64)).sum() / noise) > decibels


def test_other_schemes_leave_it_in_floats() -> None:
    x = np.ones((STEPS, 1, SIZE), np.float32)
    made = quantize(network("lstm"), "w8", lambda: iter([{"x": x}])).graph
    assert [op.name for op in made if op.name.startswith("recurrent")] == ["recurrent"]


def test_exact_functions_are_near() -> None:
    x = np.linspace(-20, 20, 200001).astype(np.float32)
    assert np.abs(exact_tanh(x) - np.tanh(x.astype(np.float64))).max() < 2e-6
    assert np.abs(exact_sigmoid(x) - 1 / (1 + np.exp(-x.astype(np.float64)))).max() < 2e-6
    assert np.isnan(exact_tanh(np.float32([np.nan]))).all()

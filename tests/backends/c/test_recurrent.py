"""Recurrent layers in C: random options and odd sizes on every instruction set, ONNX's cases, integers bit by bit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from onnx import compose, load_from_string, numpy_helper

from edgec.ir import Graph, Tolerance
from edgec.ir.onnx_import import load

from ...recurrent_models import random_layer
from ...samples import graph_of, reference, samples_of
from .harness import TARGETS, compiled, outputs

TOLERANCE = Tolerance(1e-4, 1e-4)


def several(seeds: range, constant: bool) -> tuple[Graph, list[np.ndarray]]:
    """Layers side by side in one graph."""
    ops, arrays = [], []
    merged = Graph("layers")
    for seed in seeds:
        model, inputs = random_layer(seed, constant)
        named = compose.add_prefix(load_from_string(model), f"s{seed}.")
        one = load(named.SerializeToString())
        arrays += [inputs[v.name.partition(".")[2]] for v in one.inputs]
        merged.inputs += one.inputs
        for op in one:
            merged.add(op)
        ops += [(v, n) for v, n in zip(one.outputs, one.output_names, strict=True)]
    merged.set_outputs([v for v, _ in ops], [n for _, n in ops])
    return merged, arrays


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("constant", [True, False])
def test_random_layers(target: str, constant: bool) -> None:
    graph, arrays = several(range(24) if constant else range(24, 36), constant)
    wanted = reference(graph, arrays, TOLERANCE)
    with compiled(graph, target) as artifact:
        assert wanted.faults(outputs(artifact, arrays)) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_integers_have_the_same_bits_everywhere(target: str) -> None:
    wanted = reference(graph_of([("layer", op) for op in samples_of("recurrent-integer")]))
    with compiled(wanted.graph, target) as artifact:
        for got, expected in zip(outputs(artifact, wanted.inputs), wanted.outputs, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["c", "host", "arm-neon"])
def test_the_cases_of_onnx(target: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = [c for c in load_model_tests(kind="node") if c.name.split("_")[1] in ("lstm", "gru", "rnn", "simple")]
    assert len(cases) >= 15
    for case in cases:
        graph = load(case.model.SerializeToString())
        given, expected = ([_array(v) for v in values] for values in case.data_sets[0])
        with compiled(graph, target) as artifact:
            found = outputs(artifact, given)
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=case.rtol, atol=max(case.atol, 1e-6), err_msg=case.name)


def _array(value: object) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else numpy_helper.to_array(value)

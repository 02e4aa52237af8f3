"""Recurrent layers in C: random options and odd sizes on every instruction set, ONNX's cases, integers bit by bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import pytest
from onnx import compose, load_from_string, numpy_helper

from edgec.ir import Graph, Tolerance
from edgec.ir.onnx_import import load

from ...recurrent_models import random_layer
from ...samples import graph_of, reference, samples_of
from .harness import TARGETS, compiled, outputs

TOLERANCE = Tolerance(1e-4, 1e-4)


def side_by_side(models: Iterable[tuple[str, bytes, dict[str, np.ndarray]]]) -> tuple[Graph, list[np.ndarray]]:
    """Models with their inputs in one graph, so that the C compiler is called once; names get a prefix."""
    outputs, arrays, merged = [], [], Graph("layers")
    for prefix, model, inputs in models:
        one = load(compose.add_prefix(load_from_string(model), f"{prefix}.").SerializeToString())
        arrays += [inputs[v.name.partition(".")[2]] for v in one.inputs]
        merged.inputs += one.inputs
        for op in one:
            merged.add(op)
        outputs += zip(one.outputs, one.output_names, strict=True)
    merged.set_outputs([v for v, _ in outputs], [n for _, n in outputs])
    return merged, arrays


def several(seeds: range, constant: bool) -> tuple[Graph, list[np.ndarray]]:
    """Layers of several seeds side by side."""
    return side_by_side((f"s{seed}", *random_layer(seed, constant)) for seed in seeds)


CONSTANT, GIVEN = range(24), range(24, 36)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("constant", [True, False])
def test_random_layers(target: str, constant: bool) -> None:
    seeds = CONSTANT if constant else GIVEN
    if target != "c":  # the instruction sets share the source: a third, in turns
        seeds = seeds[TARGETS.index(target) % 3 :: 3]
    agrees(*several(seeds, constant), target)


@pytest.mark.long
@pytest.mark.parametrize("constant", [True, False])
def test_all_random_layers_under_an_emulator(constant: bool) -> None:
    agrees(*several(CONSTANT if constant else GIVEN, constant), "arm-neon")


def agrees(graph: Graph, arrays: list[np.ndarray], target: str) -> None:
    """Assert that an artifact computes what `evaluate` does."""
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
@pytest.mark.parametrize("target", ["host", *(pytest.param(t, marks=pytest.mark.long) for t in ("c", "arm-neon"))])
def test_the_cases_of_onnx(target: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = [c for c in load_model_tests(kind="node") if c.name.split("_")[1] in ("lstm", "gru", "rnn", "simple")]
    assert len(cases) >= 15
    rows = [(case, *([_array(v) for v in values] for values in case.data_sets[0])) for case in cases]
    names = [[v.name for v in load(case.model.SerializeToString()).inputs] for case in cases]
    graph, arrays = side_by_side(
        (f"c{i}", case.model.SerializeToString(), dict(zip(names[i], given, strict=True)))
        for i, (case, given, _) in enumerate(rows)
    )
    with compiled(graph, target) as artifact:
        found = iter(outputs(artifact, arrays))
    for case, _, expected in rows:
        for wanted in expected:
            np.testing.assert_allclose(
                next(found), wanted, rtol=case.rtol, atol=max(case.atol, 1e-6), err_msg=case.name
            )


def _array(value: object) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else numpy_helper.to_array(value)

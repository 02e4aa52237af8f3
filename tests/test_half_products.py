"""Products of bf16 from the option to the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgec
from edgec.driver import lower
from edgec.errors import UsageError
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Conv, Fused, MatMul, Relu, Reshape, constant
from edgec.targets import host

TARGET = {"target": "x86-64-v4", "cpu": "znver4"}


def network() -> Graph:
    """A convolution with an odd number of channels, one that is depthwise, and a matrix product."""
    random = np.random.default_rng(0)
    graph = Graph("three")
    value = graph.input(TensorType(f32, (1, 3, 9, 10)), "image")
    weights = random.standard_normal((20, 3, 3, 3)).astype(np.float32)
    bias = constant(np.ones(20, np.float32))
    value = graph.add(Relu(Conv(value, constant(weights), bias, strides=(2, 1), pads=(1, 1, 1, 1)).result))
    filters = random.standard_normal((20, 1, 3, 3)).astype(np.float32)
    value = graph.add(Conv(value, constant(filters), groups=20))
    value = graph.add(Reshape(value, (1, 480)))
    value = graph.add(MatMul(value, constant(random.standard_normal((480, 17)).astype(np.float32))))
    graph.set_outputs([value], ["scores"])
    return graph


def names(graph: Graph) -> set[str]:
    return {inner.name for op in graph for inner in (op.body if isinstance(op, Fused) else (op,))}


def test_dense_products_are_rounded_and_others_are_not() -> None:
    lowered = lower(network(), **TARGET, precision="bf16").graph
    assert {"half-conv", "half-matmul", "conv"} <= names(lowered)
    assert not {"half-conv", "half-matmul"} & names(lower(network(), **TARGET).graph)


@pytest.mark.parametrize(
    ("target", "precision", "words"),
    [
        ("x86-64-v4", "f8", "there is no precision 'f8'"),
        ("x86-64-v3", "bf16", "target 'x86-64-v3' has no products of bf16"),
    ],
)
def test_nonsense_is_refused(target: str, precision: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lower(network(), target, precision=precision)


def test_the_artifact_computes_what_evaluate_says(tmp_path: Path) -> None:
    if not host().has_all(("avx512bf16",)):
        pytest.skip("this CPU has no products of bf16")
    x = np.random.default_rng(1).standard_normal((1, 3, 9, 10)).astype(np.float32)
    (exact,) = network().evaluate([x])
    (rounded,) = lower(network(), **TARGET, precision="bf16").graph.evaluate([x])
    artifact = edgec.compile(network(), **TARGET, precision="bf16", output=tmp_path / "half")
    found = artifact(x)
    largest = np.abs(exact).max()
    assert 1e-4 < np.abs(rounded - exact).max() / largest < 2e-2
    assert np.abs(found - rounded).max() < 1e-5 * largest
    assert any("rounded to bf16: off by" in note["reason"] for note in artifact.report["notes"])

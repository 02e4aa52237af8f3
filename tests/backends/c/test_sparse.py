"""Which kernel sparse weights get, and that the compiled network computes what its graph says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec import Artifact, compile
from edgec.ir import Graph, TensorType, Value, f32
from edgec.ir.ops import Add, Conv, MatMul, Relu, Reshape, Transpose, constant

Array = np.ndarray


def sparse(random: np.random.Generator, density: float, *shape: int) -> Value:
    """Random weights of which that share is not zero."""
    kept = random.random(shape) < density
    return constant(np.where(kept, random.standard_normal(shape), 0).astype(np.float32))


def network(density: float) -> Graph:
    """1x1 convolutions (into the border of a 3x3, with a residual, with stride 2) and a product of rows."""
    random, graph = np.random.default_rng(0), Graph("network")
    x = graph.input(TensorType(f32, (1, 24, 15, 14)), "x")
    bias = constant(random.standard_normal(67).astype(np.float32))
    wide = Relu(Conv(x, sparse(random, density, 67, 24, 1, 1), bias).result).result
    deep = Conv(wide, sparse(random, 1.0, 67, 1, 3, 3), pads=(1, 1, 1, 1), groups=67).result
    total = Add(Conv(deep, sparse(random, density, 24, 67, 1, 1)).result, x).result
    small = Conv(total, sparse(random, density, 40, 24, 1, 1), strides=(2, 2)).result
    rows = Reshape(Transpose(small, (0, 2, 3, 1)).result, (1, 56, 40)).result
    graph.add(MatMul(rows, sparse(random, density, 40, 33)).result.producer)
    graph.set_outputs([graph.ops[-1].result], ["y"])
    return graph


def single_row(density: float) -> Graph:
    """A large matrix for one row, and a bias behind it."""
    random, graph = np.random.default_rng(0), Graph("row")
    x = graph.input(TensorType(f32, (1, 1300)), "x")
    product = MatMul(x, sparse(random, density, 1300, 450)).result
    graph.add(Relu(Add(product, constant(random.standard_normal(450).astype(np.float32))).result).result.producer)
    graph.set_outputs([graph.ops[-1].result], ["y"])
    return graph


def kernels(artifact: Artifact) -> list[str]:
    wanted = ("sparse", "conv", "matmul")
    return [region["kernel"] for region in artifact.report["regions"] if region["kernel"] in wanted]


def notes(artifact: Artifact) -> list[str]:
    return [note["reason"] for note in artifact.report["notes"] if note["source"] == "kernel"]


@pytest.mark.parametrize("target", ["host", "x86-64-v3", "x86-64", "c", "arm-neon", "armv7-neon"])
@pytest.mark.parametrize("density", [0.15, 0.0])
def test_sparse_weights_get_the_sparse_kernel(target: str, density: float, tmp_path: Path) -> None:
    artifact = compile(network(density), target, output=tmp_path / "out")
    assert kernels(artifact) == ["sparse"] * 4
    assert artifact.report["selftest"]["status"] in ("passed", "not run")
    assert all(note.startswith("sparse: ") for note in notes(artifact))
    assert len(notes(artifact)) == 4


def test_the_host_computes_what_the_graph_says() -> None:
    graph = network(0.15)
    artifact = compile(graph, selftest=False)
    x = np.random.default_rng(1).standard_normal(graph.inputs[0].shape).astype(np.float32)
    np.testing.assert_allclose(artifact(x), graph.evaluate([x])[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ["host", "x86-64-v3", "c", "arm-neon", "armv7-neon"])
def test_a_single_row_reads_what_is_not_zero(target: str, tmp_path: Path) -> None:
    artifact = compile(single_row(0.1), target, output=tmp_path / "out")
    assert kernels(artifact) == ["sparse"]
    assert artifact.report["selftest"]["status"] in ("passed", "not run")
    assert artifact.report["weights_bytes"] < 0.2 * 4 * 1300 * 450
    assert kernels(compile(single_row(0.8), target, build=False)) == ["matmul"]


def test_dense_weights_keep_the_dense_kernel() -> None:
    artifact = compile(network(1.0), build=False)
    assert kernels(artifact) == ["conv", "conv", "conv", "matmul"]
    assert notes(artifact) == []


def test_where_sparse_does_not_pay_the_report_says_so() -> None:
    artifact = compile(network(0.85), build=False)
    assert kernels(artifact) == ["conv", "conv", "conv", "matmul"]
    assert all(n.startswith("dense kept: 8") and "% of the weights are not zero" in n for n in notes(artifact))
    assert len(notes(artifact)) == 4


def test_fewer_bytes() -> None:
    dense, thin = (compile(network(density), build=False).report["weights_bytes"] for density in (1.0, 0.1))
    assert thin < 0.5 * dense

"""Products of half precision from the option to the artifact."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import edgec
from edgec.driver import lower
from edgec.errors import ModelError, UsageError
from edgec.ir import Graph, TensorType, f32
from edgec.ir.op import arg
from edgec.ir.ops import Conv, Fused, HalfMatMul, MatMul, Relu, Reshape, constant
from edgec.ir.ops.half import BLOCK, half_sums, rounded, to_f16
from edgec.ir.types import f16, i8
from edgec.passes.half_products import having
from edgec.targets import host

PAIRS = {"target": "x86-64-v4", "cpu": "znver4", "precision": "bf16"}
HALVES = {"target": "arm-neon-dot", "precision": "f16"}
emulated = pytest.mark.skipif(
    not all(map(shutil.which, ("aarch64-linux-gnu-gcc", "qemu-aarch64"))), reason="needs a cross compiler and qemu-user"
)


def network() -> Graph:
    """A convolution with an odd number of channels, one that is depthwise, two that follow it, and a matrix product."""
    random = np.random.default_rng(0)
    graph = Graph("three")
    value = graph.input(TensorType(f32, (1, 3, 9, 10)), "image")
    weights = random.standard_normal((20, 3, 3, 3)).astype(np.float32)
    bias = constant(np.ones(20, np.float32))
    value = graph.add(Relu(Conv(value, constant(weights), bias, strides=(2, 1), pads=(1, 1, 1, 1)).result))
    filters = random.standard_normal((20, 1, 3, 3)).astype(np.float32)
    value = graph.add(Conv(value, constant(filters), groups=20))
    mixing = random.standard_normal((15, 20, 1, 1)).astype(np.float32)
    value = graph.add(Relu(Conv(Relu(value).result, constant(mixing)).result))
    weights = random.standard_normal((10, 15, 3, 3)).astype(np.float32)
    value = graph.add(Conv(value, constant(weights), pads=(1, 1, 1, 1)))
    value = graph.add(Reshape(value, (1, 240)))
    value = graph.add(MatMul(value, constant(random.standard_normal((240, 17)).astype(np.float32))))
    graph.set_outputs([value], ["scores"])
    return graph


def grouped() -> Graph:
    """Rows of 13 pixels through groups of odd sizes, and rows of a matrix that lie apart."""
    random = np.random.default_rng(2)
    graph = Graph("grouped")
    value = graph.input(TensorType(f32, (2, 18, 5, 15)), "image")
    weights = constant(random.standard_normal((14, 9, 2, 3)).astype(np.float32))
    value = graph.add(Conv(value, weights, dilations=(2, 1), groups=2))
    head = MatMul(Reshape(value, (2, 14, 39)).result, constant(random.standard_normal((39, 31)).astype(np.float32)))
    graph.set_outputs([graph.add(head)], ["y"])
    return graph


def names(graph: Graph) -> set[str]:
    return {name for region in regions(graph) for name in region}


def regions(graph: Graph) -> list[list[str]]:
    return [[inner.name for inner in (op.body if isinstance(op, Fused) else (op,))] for op in graph]


@pytest.mark.parametrize("options", [PAIRS, HALVES], ids=["bf16", "f16"])
def test_dense_products_are_rounded_and_others_are_not(options: dict[str, str]) -> None:
    lowered = lower(network(), **options).graph
    assert {"half-conv", "half-matmul", "conv"} <= names(lowered)
    assert not {"half-conv", "half-matmul"} & names(lower(network(), **{**options, "precision": "f32"}).graph)


def test_kernels_store_what_the_next_product_multiplies() -> None:
    found = regions(lower(network(), **HALVES, winograd="off").graph)
    assert ["conv", "relu", "cast"] in found
    assert ["half-conv", "relu", "cast"] in found


@pytest.mark.parametrize(
    ("target", "precision", "words"),
    [
        ("x86-64-v4", "f8", "there is no precision 'f8'"),
        ("x86-64-v3", "bf16", "target 'x86-64-v3' has no products of bf16"),
        ("arm-neon", "f16", "target 'arm-neon' has no products of f16"),
        ("arm-neon-dot", "bf16", "target 'arm-neon-dot' has no products of bf16"),
    ],
)
def test_nonsense_is_refused(target: str, precision: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lower(network(), target, precision=precision)


def test_the_hint_tells_which_targets_have_which_precision() -> None:
    with pytest.raises(UsageError, match=r"hint: bf16: x86-64-v4 with --cpu bf16\|.*; f16: .*arm-neon-dot"):
        lower(network(), "c", precision="f16")
    assert having("f16") == [
        "arm-neon with --cpu cortex-a55|cortex-a75|cortex-a76|cortex-a78|neoverse-n1",
        "arm-neon-dot",
    ]


def test_a_cpu_that_has_them_is_enough() -> None:
    assert "half-conv" in names(lower(network(), "arm-neon", cpu="cortex-a76", precision="f16").graph)


def test_weights_beyond_the_range_are_refused_by_layer() -> None:
    graph = Graph("large")
    x = graph.input(TensorType(f32, (1, 4)), "x")
    graph.set_outputs([graph.add(MatMul(x, constant(np.full((4, 3), 7e4, np.float32))))], ["y"])
    with pytest.raises(UsageError, match="matmul: a weight of size 70000 is beyond 65504"):
        lower(graph, **HALVES)


def test_numbers_that_become_infinite_are_told(tmp_path: Path) -> None:
    graph = Graph("hot")
    x = graph.input(TensorType(f32, (1, 64)), "x")
    hot = graph.add(MatMul(x, constant(np.eye(64, dtype=np.float32) * 6e4)))
    graph.set_outputs([graph.add(MatMul(hot, constant(np.full((64, 3), 4e4, np.float32))))], ["y"])
    with pytest.raises(UsageError, match="an output is not finite in products of f16"):
        edgec.compile(graph, **HALVES, output=tmp_path / "hot")


# --- numbers ------------------------------------------------------------------------------------------------------


def test_the_artifact_computes_what_evaluate_says_of_pairs(tmp_path: Path) -> None:
    if not host().has_all(("avx512bf16",)):
        pytest.skip("this CPU has no products of bf16")
    check(network(), PAIRS, tmp_path, (1e-4, 2e-2), 1e-5)


@emulated
@pytest.mark.parametrize("make", [network, grouped])
def test_the_artifact_computes_what_evaluate_says_of_halves(make: object, tmp_path: Path) -> None:
    check(make(), HALVES, tmp_path, (1e-4, 5e-3), 1e-3)  # type: ignore[operator]


def check(graph: Graph, options: dict[str, str], folder: Path, error: tuple[float, float], close: float) -> None:
    """An artifact is `close` to the lowered graph, which differs from the network by an `error` between bounds."""
    x = np.random.default_rng(1).standard_normal(graph.inputs[0].shape).astype(np.float32)
    (exact,) = graph.copy().evaluate([x])
    (rounded,) = lower(graph.copy(), **options).graph.evaluate([x])
    artifact = edgec.compile(graph, **options, output=folder / "half")
    found = artifact(x)
    largest = np.abs(exact).max()
    assert error[0] < np.abs(rounded - exact).max() / largest < error[1]
    assert np.abs(found - rounded).max() < close * largest
    words = f"rounded to {options['precision']}: off by"
    assert any(words in note["reason"] for note in artifact.report["notes"])


def test_sums_of_f16_are_rounded_one_by_one_and_added_up_in_f32() -> None:
    a = np.ones((1, 2 * BLOCK + 2), np.float32)
    a[0, 0] = 2048  # to which f16 can add 2, but not 1
    assert half_sums(a, np.ones_like(a.T)).item() == 2048 + BLOCK + 2


def test_rounding_to_f16_is_that_of_numpy() -> None:
    drawn = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    edges = np.array([0, -0.0, 2**-24, 2**-25, 3 * 2**-26, 2**-14, 65504, 65519, 65520, np.inf, -np.inf, np.nan], "f4")
    given = np.concatenate([drawn, drawn * 1e-5, drawn * 3e4, edges])
    np.testing.assert_array_equal(to_f16(given), rounded(given, f16))


@pytest.mark.parametrize(("a", "to", "words"), [(f32, i8, "cannot be rounded to i8"), (i8, f16, "operands in i8")])
def test_other_types_are_refused(a: object, to: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        HalfMatMul(arg(a, 2, 3), arg(f32, 3, 4), to)  # type: ignore[arg-type]

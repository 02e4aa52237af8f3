"""Weights of few bits, from the quantizer to the artifact: stored in these bits, and the numbers that they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Add, Conv, MatMul, Reduce, Relu, constant
from edgec.quantization.config import Config
from edgec.quantizing import request

from .test_exact_targets import EMULATED, NATIVE, differences, require

FLOATS = ("w8", "w4", "fp16", "bf16")
INTEGERS = ("w4a8", "w4a8-channel")
NAMES = {"w8": "w8", "w4": "w4", "fp16": "f16", "bf16": "bf16"}
QUICK = {"host": ("w4", "w4a8", "w4a8-channel"), "arm-neon-dot": ("w4a8",), "armv7-neon": ("fp16",)}
"""What runs by default; compiling all of them takes minutes."""
SHARES = {"w8": 0.32, "w4": 0.22, "fp16": 0.52, "bf16": 0.52, "w4a8": 0.3, "w4a8-channel": 0.25}
"""Bytes of all weights against float32 at most, small as the network is: scales, biases, padding."""


def pairs(schemes: Iterable[str]) -> Iterator[Any]:
    """Every scheme on every target, most of them marked slow; of weights alone each target tries two, in turns.

    The kernels of all four have tests of their own on each instruction set, in tests/kernels/test_weights.py.
    """
    for place, target in enumerate((*NATIVE, *EMULATED)):
        for turn, scheme in enumerate(schemes):
            quick, late = scheme in QUICK.get(target, ()), scheme in FLOATS and (place + turn) % 2
            marks = () if quick else pytest.mark.long if late else pytest.mark.slow
            yield pytest.param(scheme, target, id=f"{scheme}-{target}", marks=marks)


@pytest.fixture(scope="module")
def network() -> Graph:
    """Convolutions of odd sizes, with strides, groups and filters of one channel, and a product."""
    chance = np.random.default_rng(7)

    def numbers(*shape: int) -> np.ndarray:
        return chance.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:], dtype=np.float32))

    graph = Graph("few-bits")
    x = graph.input(TensorType(f32, (1, 5, 9, 11)), "image")
    x = Relu(Conv(x, constant(numbers(37, 5, 3, 3)), constant(numbers(37)), pads=(1, 1, 1, 1)).result).result
    x = Relu(Conv(x, constant(numbers(37, 1, 3, 3)), None, strides=(2, 2), groups=37).result).result
    x = Relu(Conv(x, constant(numbers(66, 37, 1, 1)), constant(numbers(66))).result).result
    x = Relu(Conv(x, constant(numbers(34, 33, 2, 3)), None, dilations=(2, 1), groups=2).result).result
    x = Reduce(x, "mean", (2, 3), False).result
    x = Add(MatMul(x, constant(numbers(34, 71))).result, constant(numbers(71))).result
    last = MatMul(x, constant(numbers(71, 19)))
    graph.insert_before(None, last)
    graph.set_outputs([last.result], ["y"])
    return graph


def quantized(graph: Graph, scheme: str) -> Graph:
    """The network with every layer in a scheme, even where another is advised."""
    images = np.random.default_rng(3).standard_normal((4, 1, 5, 9, 11)).astype(np.float32)
    config = Config(scheme=scheme, layers={"*": {"scheme": scheme}}, rounding="nearest")
    found = driver.lower(graph, quantization=request(config, {"image": images})).quantized
    assert found is not None
    return found.graph


def kernels(graph: Graph, target: str, folder: Path) -> tuple[set[str], int]:
    """The kernels of an artifact, and the bytes of its weights."""
    report = driver.assemble(driver.lower(graph, target), output=folder, selftest=False).report
    return {region["kernel"] for region in report["regions"]}, report["weights_bytes"]


@pytest.mark.parametrize(("scheme", "target"), list(pairs(FLOATS)))
def test_weights_alone(network: Graph, scheme: str, target: str, tmp_path: Path) -> None:
    require(target)
    made = quantized(network, scheme)
    images = np.random.default_rng(4).standard_normal((3, 1, 5, 9, 11)).astype(np.float32)
    artifact = driver.assemble(driver.lower(made, target), output=tmp_path / target, selftest=False)
    (got,) = artifact.run_stacked([images])
    wanted = np.stack([made.evaluate([image])[0] for image in images])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("scheme", "target"), list(pairs(INTEGERS)))
def test_integers_are_exact(network: Graph, scheme: str, target: str, tmp_path: Path) -> None:
    require(target)
    images = np.random.default_rng(4).standard_normal((3, 1, 5, 9, 11)).astype(np.float32)
    assert differences(quantized(network, scheme), {"image": images}, target, tmp_path) == []


@pytest.mark.parametrize("scheme", [*FLOATS, *INTEGERS])
def test_artifact_is_small(network: Graph, scheme: str, tmp_path: Path) -> None:
    _, floats = kernels(network, "c", tmp_path / "floats")
    found, stored = kernels(quantized(network, scheme), "c", tmp_path / "few")
    assert stored < SHARES[scheme] * floats
    if scheme in FLOATS:
        assert {f"conv {NAMES[scheme]}", f"matmul {NAMES[scheme]}"} <= found
    else:
        assert ("conv_i4 grouped" if scheme == "w4a8" else "conv_i4") in found
    assert not found & {"conv", "matmul", "depthwise"}

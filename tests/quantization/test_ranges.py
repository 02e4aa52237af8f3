"""Dead channels, uneven channels and small layers: the cases that cost accuracy in real networks."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Add, Conv, MatMul, Pool, Relu, Slice, array_of, constant
from edgec.passes import PassManager
from edgec.passes.integerize import Integerize
from edgec.quantization import Config, open_data, prepare, quantize, run_numpy
from edgec.quantization.equalize import equalized, reaches

from .networks import images, residual_network, weights


def dead_channel() -> Graph:
    """A convolution with a channel of weights near 0 and a bias beside them, and another."""
    rng = np.random.default_rng(3)
    graph = Graph("dead")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 4, 5, 5)), "x")
    w = weights(rng, 6, 4, 1, 1)
    w[2] = 1e-14
    first = Relu(Conv(x, constant(w), constant(np.float32([0.1, 0, 3, -1, 2, 0.5]))).result).result
    last = Conv(first, constant(weights(rng, 3, 6, 1, 1)))
    graph.add(last)
    graph.set_outputs([last.result], ["y"])
    return graph


@pytest.mark.parametrize("scheme", ["int8", "w4a8-channel"])
def test_a_dead_channel_keeps_its_bias(scheme: str) -> None:
    graph = dead_channel()
    made = quantize(graph, scheme, images(graph, 20)).graph
    integers = PassManager([Integerize()]).run(made.copy())
    assert [op.name for op in integers].count("conv-integer") == 2
    sample = [images(graph, 1)["x"]]
    np.testing.assert_allclose(integers.evaluate(sample)[0], graph.evaluate(sample)[0], atol=0.5)
    first = next(op for op in integers if op.name == "conv-integer")
    bias = array_of(first.bias)
    assert bias is not None
    assert 0 < abs(int(bias[2])) < 2**30


def selecting_network() -> Graph:
    """Uneven channels through a ReLU, a max pool and a selection of every other one into a convolution."""
    rng = np.random.default_rng(4)
    graph = Graph("selecting")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 4, 6, 6)), "x")
    spread = np.logspace(-1.5, 1.5, 16).astype(np.float32).reshape(-1, 1, 1, 1)
    first = Conv(x, constant(weights(rng, 16, 4, 1, 1) * spread), constant(np.ones(16, np.float32)))
    pooled = Pool(Relu(first.result).result, "max", (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)).result
    picked = Slice(pooled, (0, 1, 0, 0), (1, 8, 3, 3), (1, 2, 1, 1)).result
    last = Conv(picked, constant(weights(rng, 5, 8, 1, 1) / spread[1::2].reshape(1, 8, 1, 1)))
    graph.add(last)
    graph.set_outputs([last.result], ["y"])
    return graph


def test_equalization_goes_through_pools_and_selections() -> None:
    graph = selecting_network()
    data = open_data(images(graph, 30), {v.name: v.type for v in graph.inputs})
    even = equalized(graph, reaches(graph, data, run_numpy, 30))
    samples = images(graph, 8, 9)["x"]
    for sample in samples:
        np.testing.assert_allclose(even.evaluate([sample[None]])[0], graph.evaluate([sample[None]])[0], 1e-3, 1e-4)
    plain, better = (
        quantize(graph, Config("int8", equalize=e), images(graph, 30)).graph.evaluate([samples[:1]])[0]
        for e in (False, True)
    )
    wanted = graph.evaluate([samples[:1]])[0]
    assert np.abs(better - wanted).mean() < 0.5 * np.abs(plain - wanted).mean()


def test_the_smallest_layers_get_finer_weights_up_to_a_share_of_all() -> None:
    graph = residual_network(channels=64)
    bench = prepare(graph, Config("w4"), images(graph, 4))
    sizes = {layer.name: layer.weights.size for layer in bench.layers}
    finer = [name for name, scheme in bench.schemes.items() if scheme.name == "w8"]
    assert finer
    assert 8 * sum(sizes[name] for name in finer) <= sum(sizes.values())
    named = prepare(graph, Config("w4", layers={"*": {"scheme": "w4"}}), images(graph, 4))
    assert {scheme.name for scheme in named.schemes.values()} == {"w4"}


def test_a_dead_column_of_a_product_keeps_what_is_added() -> None:
    graph = Graph("product")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 8)), "x")
    w = np.random.default_rng(5).standard_normal((8, 3)).astype(np.float32)
    w[:, 1] = 1e-15
    added = Add(MatMul(x, constant(w)).result, constant(np.float32([1, 2, 3])))
    graph.add(added)
    graph.set_outputs([added.result], ["y"])
    made = quantize(graph, "int8", images(graph, 9)).graph
    integers = PassManager([Integerize()]).run(made.copy())
    assert [op.name for op in integers].count("matmul-integer") == 1
    assert "add" not in [op.name for op in integers]
    assert integers.evaluate([np.zeros((1, 8), np.float32)])[0][0, 1] == pytest.approx(2, rel=1e-3)

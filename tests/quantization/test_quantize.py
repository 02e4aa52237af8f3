"""Quantized graphs: where they are integers, how near they stay, and that odd tensors do no harm."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, f32, verify
from edgec.ir.ops import Conv, Dequantize, MatMul, Quantize, Relu, array_of, constant
from edgec.quantization import SCHEMES, Config, compiled, open_data, quantize, run_numpy, simulated
from edgec.quantization.metrics import outputs_of, sqnr

from .networks import images, joining_network, residual_network


def noise(graph: Graph, made: Graph, count: int = 20) -> float:
    data = open_data(images(graph, count, 99), {v.name: v.type for v in graph.inputs})
    return sqnr(outputs_of(graph, data, run_numpy), outputs_of(made, data, run_numpy))


LEAST = {"int8": 27, "w8a8-tensor": 25, "w8a16": 30, "w4a8": 14, "w4a8-channel": 14, "w8": 30, "w4": 14}
LEAST |= {"int8-symmetric": 25, "fp16": 60, "bf16": 40, "dynamic": 30, "ternary": 0, "binary": -3, "float": 200}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_stays_near(scheme: str) -> None:
    graph = residual_network()
    before = str(graph)
    found = quantize(graph, scheme, images(graph, 40))
    verify(found.graph)
    assert str(graph) == before
    assert noise(graph, found.graph) > LEAST[scheme]


def test_the_same_data_gives_the_same_graph_and_text_reads_back() -> None:
    graph = residual_network()
    first, second = (quantize(graph, "w4a8", images(graph, 20)).graph for _ in range(2))
    assert str(first) == str(second)
    assert str(Graph.parse(str(first))) == str(first)


def test_integers_throughout_and_one_rounding_for_each_kernel() -> None:
    made = quantize(residual_network(), "int8", images(residual_network(), 20)).graph
    rounded = [op.x.producer.name if op.x.producer else "input" for op in made if isinstance(op, Quantize)]
    assert rounded == ["input", "relu", "relu", "relu", "pool", "pool", "reshape"]
    for op in made:
        if isinstance(op, Conv | MatMul):
            assert all(isinstance(v.producer, Dequantize) for v in op.operands[:2])
    assert not isinstance(made.outputs[0].producer, Dequantize)


def test_relu_starts_at_zero_and_max_pools_share_scales() -> None:
    made = quantize(residual_network(), "int8", images(residual_network(), 20)).graph
    points = [op for op in made if isinstance(op, Quantize)]
    zeros = [int(array_of(op.zero)) for op in points if op.x.producer is not None]
    assert zeros == [0] * len(zeros)
    before, after = points[3], points[4]
    assert after.scale is before.scale


@pytest.mark.parametrize(("factor", "shared"), [(3.0, True), (100.0, False)])
def test_concatenation_shares_a_scale_where_ranges_are_near(factor: float, shared: bool) -> None:
    graph = joining_network(factor)
    made = quantize(graph, "int8", images(graph, 20)).graph
    scales = {float(array_of(op.scale)) for op in made if isinstance(op, Quantize) and op.x.producer is not None}
    assert len(scales) == (1 if shared else 3 - (len(scales) == 2))
    assert any("does not share a scale" in note.reason for note in made.journal) is not shared


def test_layer_left_in_float() -> None:
    graph = residual_network()
    made = quantize(graph, Config(layers={"matmul": {"scheme": "float"}}), images(graph, 20)).graph
    (product,) = (op for op in made if isinstance(op, MatMul))
    assert not any(isinstance(v.producer, Dequantize) for v in product.operands)


@pytest.mark.parametrize("scheme", ["int8", "w4a8", "w4", "ternary", "binary", "w8a16"])
def test_weights_all_zero_and_constant_activations(scheme: str) -> None:
    graph = Graph("odd")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 2, 4, 4)), "x")
    dead = Relu(Conv(x, constant(np.zeros((3, 2, 1, 1), np.float32)), constant(np.float32([1, 0, 2]))).result).result
    out = Conv(dead, constant(np.float32(np.arange(6)).reshape(2, 3, 1, 1))).result
    graph.add(out.producer)
    graph.set_outputs([out], ["out"])
    made = quantize(graph, scheme, {"x": np.zeros((3, 2, 4, 4), np.float32)}).graph
    found = made.evaluate([np.zeros((1, 2, 4, 4), np.float32)])[0]
    assert np.isfinite(found).all()
    if scheme not in ("ternary", "binary"):
        assert np.allclose(found, graph.evaluate([np.zeros((1, 2, 4, 4), np.float32)])[0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("scheme", ["int8", "w4", "w8a16", "dynamic"])
def test_simulation_with_float_ops_gives_the_same_numbers(scheme: str) -> None:
    graph = residual_network()
    made = quantize(graph, scheme, images(graph, 20)).graph
    sample = [images(graph, 1)["image"]]
    assert np.array_equal(simulated(made).evaluate(sample)[0], made.evaluate(sample)[0])


def test_any_compiler_serves_as_executor() -> None:
    graph = residual_network()
    executor = compiled(lambda made: lambda *arrays: tuple(made.evaluate(list(arrays))))
    one, other = (quantize(graph, "int8", images(graph, 10), executor=e).graph for e in (executor, run_numpy))
    assert noise(one, other) > 40

"""Quantized networks as they are written: each layer against the integers of the graph."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.backends.tensorrt import goals
from edgec.driver import lower
from edgec.ir import Graph, Value, arg, f32
from edgec.ir.ops import Add, Conv, MatMul, Reduce, Relu, Reshape, constant
from edgec.quantizing import request
from tests.quantized_graphs import quantized_graph

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
RTX = goals.missing(goals.RTX) is not None
pytestmark = pytest.mark.skipif(RTX, reason="needs the packages of the extra 'tensorrt'")
SHAPE = (1, 3, 16, 16)


def residual() -> Graph:
    """What resnets are made of: blocks with a sum, one of smaller size with its own branch, the mean, a classifier."""
    random = np.random.default_rng(0)
    graph = Graph("residual")
    x = graph.input(arg(f32, *SHAPE).type, "x")

    def conv(value: Value, filters: int, size: int = 3, stride: int = 1) -> Value:
        weight = random.standard_normal((filters, value.shape[1], size, size)) / np.sqrt(value.shape[1] * size**2)
        bias, pads = random.standard_normal(filters).astype(np.float32), (size // 2,) * 4
        return Conv(value, constant(weight.astype(np.float32)), constant(bias), (stride, stride), pads).result

    def block(value: Value, filters: int, stride: int) -> Value:
        inner = conv(Relu(conv(value, filters, 3, stride)).result, filters)
        beside = conv(value, filters, 1, stride) if stride > 1 else value
        return Relu(Add(inner, beside).result).result

    value = block(block(Relu(conv(x, 8)).result, 8, 1), 12, 2)
    mean = Reshape(Reduce(value, "mean", (2, 3)).result, (1, 12)).result
    classes = constant(random.standard_normal((12, 5)).astype(np.float32))
    graph.set_outputs([graph.add(MatMul(mean, classes))], ["y"])
    return graph


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_residual_networks_round_within_a_step(precision: str) -> None:
    from edgec.backends.tensorrt.onnx_steps import steps_apart

    data = np.random.default_rng(1).standard_normal((8, *SHAPE[1:])).astype(np.float32)
    lowered = lower(residual(), "tensorrt-sm89", quantization=request("int8", {"x": data}))
    (row,) = steps_apart(lowered.graph, precision, lowered.sample)
    assert int(row.name.split()[0]) >= 8
    assert row.worst <= 1


@pytest.mark.parametrize("seed", range(6))
def test_quantized_graphs_of_all_kinds_round_within_a_step(seed: int) -> None:
    from edgec.backends.tensorrt.onnx_steps import steps_apart

    graph, random = quantized_graph(seed), np.random.default_rng(seed)
    lowered = lower(graph, "tensorrt-sm89")
    inputs = {v.name: random.standard_normal(v.shape).astype(v.dtype.numpy) for v in lowered.graph.inputs}
    rows = steps_apart(lowered.graph, "fp32", inputs)
    assert rows
    assert rows[0].worst <= 1

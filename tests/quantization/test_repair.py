"""Equalization, smoothing, bias correction and rounding: functions stay, errors shrink."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Conv, LayerNorm, MatMul, Relu, constant
from edgec.quantization import Config, open_data, quantize, run_numpy
from edgec.quantization.equalize import equalized
from edgec.quantization.metrics import outputs_of, sqnr
from edgec.quantization.smooth import smoothed

from .networks import images, residual_network, weights


def compare(graph: Graph, made: Graph) -> float:
    data = open_data(images(graph, 30, 5), {v.name: v.type for v in graph.inputs})
    return sqnr(outputs_of(graph, data, run_numpy), outputs_of(made, data, run_numpy))


def uneven_chain() -> Graph:
    """Convolution, depthwise, convolution, whose channels differ a thousandfold."""
    rng = np.random.default_rng(0)
    graph = Graph("uneven")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 4, 6, 6)), "x")
    spread = np.logspace(-1.5, 1.5, 16).astype(np.float32).reshape(-1, 1, 1, 1)
    first = Relu(Conv(x, constant(weights(rng, 16, 4, 1, 1) * spread), constant(np.ones(16, np.float32))).result)
    second = Relu(Conv(first.result, constant(weights(rng, 16, 1, 3, 3)), pads=(1,) * 4, groups=16).result)
    last = Conv(second.result, constant(weights(rng, 5, 16, 1, 1) / spread.reshape(1, 16, 1, 1)))
    graph.add(last)
    graph.set_outputs([last.result], ["y"])
    return graph


def test_equalization_keeps_the_function_and_helps() -> None:
    graph = uneven_chain()
    assert compare(graph, equalized(graph)) > 100
    plain, better = (quantize(graph, Config("w8a8-tensor", equalize=e), images(graph, 30)).graph for e in (False, True))
    assert compare(graph, better) > compare(graph, plain) + 6


def test_smoothing_keeps_the_function_and_helps() -> None:
    rng = np.random.default_rng(1)
    graph = Graph("norm")
    graph.stage = "canonical"
    x = graph.input(TensorType(f32, (1, 6, 32)), "x")
    scale = np.ones(32, np.float32)
    scale[[3, 20]] = 60
    norm = LayerNorm(x, constant(scale), constant(np.zeros(32, np.float32))).result
    first, second = (MatMul(norm, constant(weights(rng, 8, 32).T.copy())).result for _ in range(2))
    graph.add(first.producer)
    graph.add(second.producer)
    graph.set_outputs([first, second], ["a", "b"])
    data = open_data(images(graph, 30), {v.name: v.type for v in graph.inputs})
    assert compare(graph, smoothed(graph, data, 0.5, run_numpy, 100)) > 100
    plain, better = (quantize(graph, Config("int8", smooth=s), images(graph, 30)).graph for s in (0.0, 0.5))
    assert compare(graph, better) > compare(graph, plain) + 2


@pytest.mark.parametrize("scheme", ["w4", "w4a8-channel"])
def test_optimized_rounding_beats_the_nearest(scheme: str) -> None:
    graph = residual_network(channels=32)
    configs = [Config(scheme, rounding=rounding) for rounding in ("nearest", "auto")]
    nearest, better = (quantize(graph, config, images(graph, 60)).graph for config in configs)
    assert compare(graph, better) > compare(graph, nearest) + 0.5


def test_bias_correction_removes_the_shift_of_means() -> None:
    graph = residual_network(channels=32)
    data = images(graph, 60)
    shifts = []
    for correction in (False, True):
        config = Config("w4", rounding="nearest", bias_correction=correction)
        made = quantize(graph, config, data).graph
        pairs = [(graph.evaluate([s[None]])[0], made.evaluate([s[None]])[0]) for s in data["image"]]
        shifts.append(np.abs(np.mean([a - b for a, b in pairs], axis=0)).mean())
    assert shifts[1] < shifts[0] / 2

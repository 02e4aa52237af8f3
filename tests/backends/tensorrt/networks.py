"""What tests of the TensorRT backend share: a small network, data for it, and what the machine must have."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.backends.tensorrt import goals
from edgec.ir import Graph, arg, f32
from edgec.ir.ops import Conv, Pool, Relu, constant
from edgec.quantizing import request

RTX = pytest.mark.skipif(goals.missing(goals.RTX) is not None, reason="needs the packages of the extra 'tensorrt'")
WRITER = pytest.mark.skipif(goals.missing(goals.CLASSIC) is not None, reason="needs onnx-graphsurgeon")
NO_GPU = pytest.mark.skipif(goals.present_capability() is not None, reason="there is a GPU")
SHAPE = (1, 3, 12, 12)


def network() -> Graph:
    """Two convolutions, a pool, two outputs."""
    random = np.random.default_rng(0)
    graph = Graph("small")
    x = graph.input(arg(f32, *SHAPE).type, "x")
    first = constant(random.standard_normal((8, 3, 3, 3)).astype(np.float32) / 5)
    bias = constant(random.standard_normal(8).astype(np.float32))
    second = constant(random.standard_normal((4, 8, 1, 1)).astype(np.float32) / 3)
    inner = Relu(Conv(x, first, bias, pads=(1, 1, 1, 1)).result).result
    pooled = graph.add(Pool(inner, "average", (2, 2), (2, 2), (0,) * 4, (1, 1)))
    graph.set_outputs([graph.add(Conv(pooled, second)), pooled], ["y", "features"])
    return graph


def calibrated(scheme: str = "int8") -> object:
    return request(scheme, calibration())


def calibration() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((8, *SHAPE[1:])).astype(np.float32)}

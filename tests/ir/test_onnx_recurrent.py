"""RNN, GRU and LSTM: every option, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from edgec.errors import ModelError
from edgec.ir import Graph, verify
from edgec.ir.onnx_import import load

from ..recurrent_models import numpy_info, random_layer

engine = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random_layers_match_onnx_runtime(start: int) -> None:
    for seed in range(start, start + 20):
        model, inputs = random_layer(seed)
        session = engine.InferenceSession(model, providers=["CPUExecutionProvider"])
        graph = load(model)
        verify(graph)
        assert str(Graph.parse(str(graph))) == str(graph)
        wanted = session.run(None, inputs)
        for got, expected in zip(graph.evaluate([inputs[v.name] for v in graph.inputs]), wanted, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4, err_msg=f"seed {seed}")


@pytest.mark.parametrize("function", ["Softplus", "ThresholdedRelu"])
def test_each_function_left_out_of_random_layers(function: str) -> None:
    """On one step, where nothing grows and no input is near the jump."""
    x = np.array([[[-8, -2, -0.5, 0.25, 0.75, 3, 20]]], np.float32)
    arrays = {"X": x, "W": np.eye(7, dtype=np.float32)[None], "R": np.zeros((1, 7, 7), np.float32)}
    options = {"activation_alpha": [0.5]} if function == "ThresholdedRelu" else {}
    node = helper.make_node("RNN", list(arrays), ["Y"], hidden_size=7, activations=[function], **options)
    sink = helper.make_tensor_value_info("Y", 1, None)
    made = helper.make_graph([node], "layer", [numpy_info(n, a) for n, a in arrays.items()], [sink])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()
    wanted = engine.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, arrays)[0]
    graph = load(model)
    np.testing.assert_allclose(graph.evaluate([arrays[v.name] for v in graph.inputs])[0], wanted, rtol=1e-5, atol=1e-6)


def test_batch_first_is_a_transpose() -> None:
    """ONNX Runtime has no layout 1: both layouts must say the same."""
    for seed in range(12):
        (first, given), (plain, other) = random_layer(seed, False, 1), random_layer(seed, False)
        turned = {n: a.swapaxes(0, 1) if n in "XHC" else a for n, a in given.items()}
        assert all(turned[n].shape == a.shape for n, a in other.items())
        y, *states = load(first).evaluate([given[v.name] for v in load(first).inputs])
        wanted, *expected = load(plain).evaluate([turned[v.name] for v in load(plain).inputs])
        np.testing.assert_array_equal(y, wanted.transpose(2, 0, 1, 3))
        for a, b in zip(states, expected, strict=True):
            np.testing.assert_array_equal(a, b.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"activations": ["Tanh", "Sine", "Tanh"]}, "there is no activation 'sine'"),
        ({"activations": ["Tanh"]}, "1 directions have 3 activations, 1 are given"),
        ({"direction": "sideways"}, "there is no direction 'sideways'"),
        ({"hidden_size": 5}, r"W \[1, 12, 2\] and R \[1, 12, 3\] do not fit together"),
    ],
)
def test_errors_say_what_is_wrong(attributes: dict[str, object], text: str) -> None:
    arrays = {n: np.zeros(s, np.float32) for n, s in (("X", (2, 1, 2)), ("W", (1, 12, 2)), ("R", (1, 12, 3)))}
    node = helper.make_node("LSTM", list(arrays), ["Y"], **attributes)
    sink = helper.make_tensor_value_info("Y", 1, None)
    graph = helper.make_graph([node], "layer", [numpy_info(n, a) for n, a in arrays.items()], [sink])
    with pytest.raises(ModelError, match=text):
        load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)]).SerializeToString())

"""Quantized networks for TensorRT: symmetric, in its integers where it has them, as exact as the graph says."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.backends import find_backend
from edgec.backends.tensorrt import onnx_steps, support
from edgec.backends.tensorrt.onnx_steps import steps_apart
from edgec.driver import assemble, lower

from .networks import NO_GPU, RTX, calibrated, network

onnx = pytest.importorskip("onnx")


@RTX
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_int8_is_symmetric_and_within_a_step(precision: str) -> None:
    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated())
    artifact = assemble(lowered, options={"precision": precision})
    model = onnx.load(artifact.folder / "model.onnx")
    zeros = _zero_points(model)
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    readers = [node for node in model.graph.node if node.op_type == "Conv"]
    produced = {name: node.op_type for node in model.graph.node for name in node.output}
    assert [[produced.get(name) for name in node.input[:2]] for node in readers] == [["DequantizeLinear"] * 2] * 2
    runs, _ = find_backend("tensorrt").verify(artifact)
    got = runs.run(lowered.sample)
    wanted = dict(zip(lowered.reference.output_names, lowered.reference.evaluate(lowered.sample), strict=True))
    for name in wanted:
        assert np.abs(got[name] - wanted[name]).max() <= np.abs(wanted[name]).max() / 127 * (
            1 if precision == "fp32" else 3
        )
    assert (artifact.folder / "ranges.csv").read_text().startswith('tensor,scale,low,high\n"x",')


@RTX
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_each_layer_rounds_to_within_a_step_of_the_graph(precision: str) -> None:
    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated())
    (row,) = steps_apart(lowered.graph, precision, lowered.sample)
    assert (row.name, row.ok) == ("3 quantized tensors, in steps", True)
    assert row.worst <= (0 if precision == "fp32" else 1)


@RTX
def test_steps_tell_another_scale() -> None:
    """A written model that rounds in another way is found out, though each layer's input is right."""
    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated())
    x = {"x": lowered.sample["x"]}
    assert steps_apart(lowered.graph, "fp32", x)[0].worst == 0
    other = {"x": 1.5 * lowered.sample["x"]}
    fitted = support.fit(lowered.graph, "fp32")
    names, model = onnx_steps._cut(fitted.model, fitted.nodes, [op for op in lowered.graph if op.name == "quantize"])
    wanted = onnx_steps._integers(lowered.graph, list(names.values()), x)
    given = {name + onnx_steps.GIVEN: array for name, array in zip(names, wanted, strict=True)}
    got = onnx_steps._run(model, {**other, **given}, list(names))
    assert onnx_steps._worst(got, dict(zip(names, wanted, strict=True))).worst > 1


@RTX
@NO_GPU
def test_no_other_runtime_rounds_biases_again() -> None:
    """ONNX Runtime stores float biases of integer layers as integers: they are whole steps already."""
    import onnxruntime

    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    got = onnxruntime.InferenceSession(support.fit(lowered.graph, "fp32").model, options).run(None, lowered.sample)
    for one, other in zip(got, lowered.graph.evaluate(lowered.sample), strict=True):
        assert np.allclose(one, other, atol=1e-5)


def _zero_points(model: object) -> list[np.ndarray]:
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    return [weights[node.input[2]] for node in model.graph.node if node.op_type.endswith("Linear")]


@RTX
def test_asymmetric_models_become_symmetric() -> None:
    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated("w8a8-tensor"))
    assert {op.to.name for op in lowered.graph if op.name == "quantize"} == {"i8"}
    assert {op.to.name for op in lowered.quantized.graph if op.name == "quantize"} == {"u8"}
    assert assemble(lowered).report["toolchain"]["built"]


@RTX
@pytest.mark.parametrize("scheme", ["w8a16", "w4", "dynamic"])
def test_what_it_has_no_integers_for_is_computed_in_float(scheme: str) -> None:
    lowered = lower(network(), "tensorrt-sm89", quantization=calibrated(scheme))
    artifact = assemble(lowered)
    model = onnx.load(artifact.folder / "model.onnx")
    assert not [node for node in model.graph.node if node.op_type.endswith("Linear")]
    runs, _ = find_backend("tensorrt").verify(artifact)
    got = runs.run(lowered.sample)["y"]
    assert np.allclose(got, lowered.reference.evaluate(lowered.sample)[0], atol=1e-3)

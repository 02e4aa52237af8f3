"""Quantized networks keep to integers, with no tensor of floats in memory but for a softmax, and their accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph
from edgec.passes.places import ARENA
from edgec.passes.plan import MemoryPlan
from edgec.quantization.config import read_config
from edgec.quantizing import request

IMPORTED = ("mlperftiny_kws_int8", "mlperftiny_resnet8_int8", "micro_kws_qdq", "micro_kws_qoperator")
SOFTMAX = ("Softmax", "QLinearSoftmax")
TARGETS = ("c", "host", "arm-neon-dot", "armv7-neon")


def float_tensors(graph: Graph) -> list[str]:
    """The values of floats that a planned graph keeps in its arena, without those of a softmax."""
    plan: MemoryPlan = graph.metadata["plan"]
    ops = [op for op in graph if op.origin is None or op.origin.onnx_type not in SOFTMAX]
    floats = [(op, value) for op in ops for value in op.results if value.dtype.is_float]
    return [f"{value.type} of {op.where}" for op, value in floats if plan.place(value).buffer.kind == ARENA]


@pytest.mark.parametrize("target", TARGETS)
def test_the_example_has_bytes_in_its_arena(examples: Path, target: str) -> None:
    wanted = request(replace(read_config("int8"), veto=False), examples / "digits_calibration.npz")
    lowered = driver.lower(examples / "digits.onnx", target, quantization=wanted)
    plan: MemoryPlan = lowered.graph.metadata["plan"]
    assert {buffer.dtype.name for buffer in plan.buffers()} & {"u8", "i8"}
    logits = [tensor for tensor in float_tensors(lowered.graph) if not tensor.startswith("f32[1,10]")]
    assert logits == []


@pytest.mark.models
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", IMPORTED)
def test_imported_networks_have_bytes_in_their_arena(models: Path, name: str, target: str) -> None:
    lowered = driver.lower(models / "real" / f"{name}.onnx", target)
    assert float_tensors(lowered.graph) == []


LABELLED = {"mlperftiny_kws_int8": ("kws01", "mfcc", 405), "mlperftiny_resnet8_int8": ("cifar10", "images", 761)}
"""Data, its array, and how many of the first thousand samples ONNX Runtime gets right."""


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("name", LABELLED)
def test_a_network_keeps_its_accuracy(models: Path, name: str) -> None:
    data, key, right = LABELLED[name]
    with np.load(models / "datasets" / f"{data}_dev.npz", allow_pickle=False) as file:
        samples, labels = file[key][:1000], file["labels"][:1000]
    x = samples.astype(np.float32)
    x = ((x - 83) * np.float32(0.5847029)).reshape(-1, 490) if key == "mfcc" else x
    artifact = driver.compile(models / "real" / f"{name}.onnx", "host")
    (found,) = artifact.run_stacked([x[:, None]])
    assert int((found[:, 0].argmax(1) == labels).sum()) == right

"""Networks through TensorRT without a GPU: engines in time, the same twice, and written models against references."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import golden_inputs
from edgec.backends import find_backend
from edgec.backends.tensorrt import goals

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(goals.missing(goals.RTX) is not None, reason="needs the packages of the extra 'tensorrt'"),
]

MOST_SECONDS = 10.0
"""Of processor time for one engine, which other work on the machine does not lengthen; these networks take one."""


def engines(lowered: Any, folder: Path, **options: str) -> Any:
    """The artifact, after a second one was the same."""
    before = os.times()
    first, second = (driver.assemble(lowered, output=folder / name, options=options) for name in ("a", "b"))
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    for name in ("model.onnx", "model.engine", "report.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
    assert 0 < spent < 2 * MOST_SECONDS
    return find_backend("tensorrt").verify(first)[0]


def test_resnet20_in_int8(models: Path, tmp_path: Path) -> None:
    path = models / "real" / "resnet20_cifar10.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {path.name}")
    data = np.random.default_rng(0).standard_normal((8, 3, 32, 32)).astype(np.float32)
    lowered = driver.lower(path, "tensorrt-sm89", quantization=driver.request("int8", {"input": data}))
    runs = engines(lowered, tmp_path)
    (steps,) = runs.compare_inside(lowered.graph, lowered.sample)
    assert steps.name == "26 quantized tensors, in steps"
    assert steps.worst <= 1


def test_bert_tiny_in_half_precision(models: Path, tmp_path: Path) -> None:
    runtime, script = pytest.importorskip("onnxruntime"), models.parent / "tools" / "topology.py"
    if not script.is_file() or not (models / "exported").is_dir():
        pytest.skip("there are no exported networks")
    spec = importlib.util.spec_from_file_location("topology", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.fill(models / "exported", tmp_path, ("bert_tiny_128",))
    path = tmp_path / "bert_tiny_128.onnx"
    lowered = driver.lower(path, "tensorrt-sm120")
    runs, inputs = engines(lowered, tmp_path, precision="fp16"), golden_inputs(lowered.imported)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for got, wanted in zip(runs.run(inputs).values(), session.run(None, inputs), strict=True):
        assert np.abs(got - wanted).max() <= 5e-3 * np.abs(wanted).max()

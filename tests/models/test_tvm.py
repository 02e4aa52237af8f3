"""Trained networks through TVM: against ONNX Runtime where it is installed, integers against `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import golden_inputs
from edgec.backends import find_goal
from edgec.toolchain import cannot_run

pytest.importorskip("tvm", reason="apache-tvm is not installed")
pytestmark = [pytest.mark.models, pytest.mark.slow]

SMALL = ("mlperftiny_resnet8_fp32", "resnet20_cifar10", "alibaba_kws", "ultraface_rfb320")
RECURRENT = "gtcrn_stream_simple"
FLOATS = [(name, target) for name in SMALL for target in ("tvm", "tvm-arm-neon")] + [(RECURRENT, "tvm")]
EXACT = [(name, "int8") for name in ("mlperftiny_resnet8_fp32", "resnet20_cifar10", "alibaba_kws")]
EXACT += [("mlperftiny_resnet8_fp32", "w4a8")]
LONG = [("resnet20_cifar10", "int8"), ("resnet20_cifar10", "tvm-arm-neon")]
"""More layers of what the smaller residual network tries."""
TOLERANCE = 1e-3


def marked(cases: list[tuple[str, str]]) -> list[Any]:
    return [pytest.param(*case, marks=pytest.mark.long if case in LONG else ()) for case in cases]


def model(models: Path, name: str) -> Path:
    path = models / "real" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {name}.onnx")
    return path


def runnable(target: str) -> str:
    row = find_goal(target).target
    assert row is not None
    reason = cannot_run(row)
    if reason:
        pytest.skip(reason)
    return target


@pytest.mark.parametrize(("name", "target"), marked(FLOATS))
def test_floats_agree_with_onnx_runtime(models: Path, name: str, target: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = model(models, name)
    lowered = driver.lower(path, runnable(target))
    artifact = driver.assemble(lowered, output=tmp_path / "out", selftest=False, options={"vm": "off"})
    inputs = golden_inputs(lowered.imported)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for got, wanted in zip(artifact.run(inputs).values(), session.run(None, inputs), strict=True):
        assert np.abs(got - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize(("name", "scheme"), marked(EXACT))
def test_integers_agree_to_the_bit(models: Path, name: str, scheme: str, tmp_path: Path) -> None:
    path, random = model(models, name), np.random.default_rng(0)
    shapes = {v.name: v.shape for v in driver.name_all(driver.import_model(path)).inputs}
    data = {name: random.random((4, *shape), dtype=np.float32) for name, shape in shapes.items()}
    wanted = driver.request(scheme, data, None, "top1", None)
    lowered = driver.lower(path, runnable("tvm"), quantization=wanted)
    artifact = driver.assemble(lowered, output=tmp_path / "out", selftest=False, options={"vm": "off"})
    for seed in range(3):
        inputs = golden_inputs(lowered.imported, seed)
        for got, reference in zip(artifact.run(inputs).values(), lowered.reference.evaluate(inputs), strict=True):
            np.testing.assert_array_equal(got, reference)

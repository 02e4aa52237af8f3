"""A trained network in half precision: how far off, and whether it still predicts what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.targets import get_target
from edgec.toolchain import cannot_run

from .test_real import model, runtime, tool

pytestmark = [pytest.mark.models, pytest.mark.slow]
NAME, SAMPLES = "mlperftiny_resnet8_fp32", 40


def test_resnet_predicts_the_same_in_f16(models: Path, tmp_path: Path) -> None:
    reason = cannot_run(get_target("arm-neon-dot"))
    if reason:
        pytest.skip(reason)
    path = model(models, NAME)
    data, prepare = tool(models, "labelled").PREPARE[NAME]
    images = np.load(models / "datasets" / f"{data}_dev.npz")["images"][:SAMPLES]
    options = {"precision": "f16", "winograd": "off"}
    artifact = driver.compile(path, "arm-neon-dot", **options, output=tmp_path / "half")  # type: ignore[arg-type]
    (source,), (sink,) = artifact.inputs, artifact.outputs
    samples, infer = prepare(images), runtime(path)
    wanted = np.concatenate([infer({source: sample[None]})[sink] for sample in samples])
    got = artifact.run_many({source: samples})[sink]
    assert 1e-5 < np.abs(got - wanted).max() < 0.02
    assert (got.argmax(1) == wanted.argmax(1)).mean() >= 0.99

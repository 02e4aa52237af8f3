"""A voice detector whose sampling rate chooses a branch: a minute of speech, with its state fed back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec import driver
from edgec.ir import Graph

pytestmark = [pytest.mark.models, pytest.mark.slow]

RATE, CHUNK, CONTEXT = 16_000, 512, 64


def detector(models: Path) -> Path:
    path = models / "real" / "silero_vad.onnx"
    if not path.is_file():
        pytest.skip("the folder of models has no silero_vad.onnx")
    return path


def shapes() -> dict[str, tuple[int, ...]]:
    return {"input": (1, CONTEXT + CHUNK), "state": (2, 1, 128)}


def test_a_minute_of_speech(models: Path, tmp_path: Path) -> None:
    speech = np.load(models / "datasets" / "audio" / "speech_16k_silero_ref.npz")
    samples, wanted = speech["pcm"].astype(np.float32) / 32768, speech["silero_prob"]
    artifact = driver.compile(detector(models), output=tmp_path / "artifact", shapes=shapes())
    assert artifact.report["selftest"]["status"] == "passed"
    state, before, found = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32), []
    for chunk in samples.reshape(-1, CHUNK):
        given = {"input": np.concatenate([before, chunk])[None], "state": state, "sr": np.array(RATE)}
        probability, state = artifact.run(given).values()
        before = chunk[-CONTEXT:]
        found.append(probability.item())
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_known_rate_leaves_no_branch(models: Path) -> None:
    model = onnx.load(detector(models))
    rate = next(value for value in model.graph.input if value.name == "sr")
    model.graph.input.remove(rate)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(RATE), "sr"))
    folded: Graph = driver.import_model(model.SerializeToString(), shapes())
    assert not [op.name for op in folded if op.bodies]
    stored = np.load(models / "real" / "silero_vad.npz")
    found = folded.evaluate({name: stored[f"in:{name}"] for name in ("input", "state")})
    for name, array in zip(folded.output_names, found, strict=True):
        np.testing.assert_allclose(array, stored[f"out:{name}"], atol=1e-5)

"""Networks that work chunk by chunk, against ONNX Runtime: state fed back, several voices at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgec import driver

pytestmark = [pytest.mark.models, pytest.mark.slow]

FRAMES = 100
CACHES = ("conv_cache", "tra_cache", "inter_cache")
Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def spectra() -> np.ndarray:
    """Frames of 257 complex values: a tone that swells and falls in noise."""
    random = np.random.default_rng(0)
    noise = 0.1 * random.standard_normal((FRAMES, 1, 257, 1, 2))
    tone = np.exp(-(((np.arange(257) - 40) / 6.0) ** 2))[None, :, None, None] * np.array([1.0, 0.5])
    swell = np.sin(np.arange(FRAMES) / 9.0).reshape(-1, 1, 1, 1, 1) ** 2
    return (noise + swell * tone).astype(np.float32)


def streamed(run: Run, caches: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """What each frame gives; the caches that come out of one go into the next."""
    for frame in spectra():
        outputs = run({"mix": frame, **caches})
        caches = {name: outputs[f"{name}_out"] for name in CACHES}
        yield outputs


def found(models: Path, name: str) -> Path:
    path = models / "real" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {path.name}")
    return path


def runtime(path: Path) -> Run:
    """The same network in ONNX Runtime."""
    engine = pytest.importorskip("onnxruntime")
    session = engine.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def test_a_hundred_frames(models: Path) -> None:
    path = found(models, "gtcrn_stream_simple")
    artifact = driver.compile(path, selftest=False)
    caches = {name: np.zeros(artifact.inputs[name].shape, np.float32) for name in CACHES}
    wanted = streamed(runtime(path), caches)
    for place, (got, reference) in enumerate(zip(streamed(artifact.run, caches), wanted, strict=True)):
        for name in reference:
            largest = np.abs(reference[name]).max()
            assert np.abs(got[name] - reference[name]).max() <= 1e-3 * largest, f"{name} of frame {place}"


def test_batches_of_voices(models: Path) -> None:
    path = found(models, "silero_vad_16k_op15")
    artifact = driver.compile(path, selftest=False, dims={"batch": (1, 4), "sequence": 576})
    reference, random = runtime(path), np.random.default_rng(0)
    for batch in (1, 3, 4):
        state = random.standard_normal((2, batch, 128)).astype(np.float32)
        chunk = 0.1 * random.standard_normal((batch, 576)).astype(np.float32)
        given = {"input": chunk, "state": state, "sr": np.array(16_000)}
        got = artifact.run(given)
        for name, wanted in reference(given).items():
            np.testing.assert_allclose(got[name], wanted, rtol=0, atol=1e-4, err_msg=f"{name} of {batch}")

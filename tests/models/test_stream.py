"""A noise filter that works frame by frame: a hundred frames, with its state fed back, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgec import driver

pytestmark = [pytest.mark.models, pytest.mark.slow]

NAME, FRAMES = "gtcrn_stream_simple", 100
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


def test_a_hundred_frames(models: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = models / "real" / f"{NAME}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {NAME}.onnx")
    artifact = driver.compile(path, selftest=False)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    caches = {name: np.zeros(artifact.inputs[name].shape, np.float32) for name in CACHES}
    wanted = streamed(lambda inputs: dict(zip(names, session.run(None, inputs), strict=True)), caches)
    for place, (got, reference) in enumerate(zip(streamed(artifact.run, caches), wanted, strict=True)):
        for name in names:
            largest = np.abs(reference[name]).max()
            assert np.abs(got[name] - reference[name]).max() <= 1e-3 * largest, f"{name} of frame {place}"

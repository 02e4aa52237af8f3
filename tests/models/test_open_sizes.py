"""A decoder whose cache grows: one artifact for every length, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgec import driver

pytestmark = [pytest.mark.models, pytest.mark.slow]

NAME, LAYERS, LONGEST, TOKENS = "stories260k_decode_dyn", 5, 511, 200
Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def feeds(past: int, token: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    cache = {
        f"past.{i}.{kind}": random.standard_normal((1, 4, past, 8)).astype(np.float32)
        for i in range(LAYERS)
        for kind in ("key", "value")
    }
    mask = np.ones((1, past + 1), np.float32)
    return {"input_ids": np.array([[token]]), "position_ids": np.array([[past]]), "attention_mask": mask, **cache}


def greedy(run: Run) -> list[int]:
    """The tokens that a model chooses, from an empty cache on."""
    inputs, chosen = feeds(0, 1, np.random.default_rng(0)), []
    for past in range(1, TOKENS + 1):
        outputs = run(inputs)
        chosen.append(int(outputs["logits"][0, -1].argmax()))
        cache = {name.replace("present", "past"): a for name, a in outputs.items() if name != "logits"}
        inputs = {**feeds(past, chosen[-1], np.random.default_rng(0)), **cache}
    return chosen


def test_every_past_length(models: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = models / "real" / f"{NAME}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {NAME}.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]

    def reference(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(None, inputs), strict=True))

    artifact = driver.compile(path, dims={"past": (0, LONGEST), "total": "past+1"})
    random = np.random.default_rng(1)
    for past in range(LONGEST + 1):
        inputs = feeds(past, int(random.integers(1, 512)), random)
        got, wanted = artifact.run(inputs), reference(inputs)
        for name in names:
            assert got[name].shape == wanted[name].shape
            assert np.abs(got[name] - wanted[name]).max() <= 1e-3 * np.abs(wanted[name]).max(), f"{name} at {past}"
    assert greedy(artifact.run) == greedy(reference)


def test_a_cache_in_place_gives_the_same_tokens(models: Path) -> None:
    path = models / "real" / f"{NAME}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {NAME}.onnx")
    caches = [f"{i}.{kind}" for i in range(LAYERS) for kind in ("key", "value")]
    aliases = {f"past.{name}": f"present.{name}" for name in caches}
    dims = {"past": (0, LONGEST), "total": "past+1"}
    plain, shared = driver.compile(path, dims=dims), driver.compile(path, dims=dims, aliases=aliases)
    assert shared.report["selftest"]["status"] == "passed"
    buffers = {name: shared.new_buffer(name) for name in aliases}

    def both(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        past = inputs["attention_mask"].shape[1] - 1
        given = {**inputs, **{name: buffer[:, :, :past] for name, buffer in buffers.items()}}
        got, wanted = shared.update(given), plain.run(inputs)
        assert all(got[name].tobytes() == array.tobytes() for name, array in wanted.items()), past
        assert all(np.shares_memory(got[aliases[name]], buffer) for name, buffer in buffers.items())
        return wanted

    assert len(greedy(both)) == TOKENS

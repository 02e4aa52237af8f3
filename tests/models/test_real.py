"""Trained networks, compiled, run and compared: with their stored results, and with what ONNX Runtime predicts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.targets import get_target
from edgec.toolchain import cannot_run

pytestmark = [pytest.mark.models, pytest.mark.slow]

EVERYWHERE = (
    "mlperftiny_resnet8_fp32", "resnet20_cifar10", "mnist8_cntk", "mlperftiny_vww_fp32", "ultraface_rfb320",
    "yunet_n_320", "alibaba_kws", "winml_iris",
)  # fmt: skip
ON_HOST = (
    "squeezenet_fp32_imagenet", "ultraface_slim320_simpl", "yolox_nano_coco", "deeplabv3_mnv2_voc_257",
    "micro_kws_fp32", "lprnet_plates", "alibaba_ad",
)  # fmt: skip
HOST_ALONE = (
    "treeensemble_onnx2c", "tract_lgbm_cls", "micro_kws_qdq", "micro_kws_qoperator", "magika_standard_v3_3",
    "ppocr_mobile_v2_cls", "silero_vad_16k_op15", "stories260k_prefill_32",
)  # fmt: skip
"""Trees, quantized forms, byte and text models, recurrence and attention: each once, for the time that it takes."""

LARGE = ("yolox_nano_coco", "deeplabv3_mnv2_voc_257", "resnet20_cifar10", "ultraface_slim320_simpl")
"""For the host alone: what they try on other instruction sets, smaller networks and their relatives try there."""

EXPORTED = ("mobilenet_v1_0.25_vww_96", "resnet8_ic_32", "dscnn_kws_49x10", "lstm_kws_98x40")
LABELLED = ("resnet20_cifar10", "mlperftiny_resnet8_fp32", "alibaba_kws", "mnist8_cntk", "lprnet_plates")

TOLERANCE = 1e-3
"""Of the largest output value."""

ARENA_RATIO = 1.05
SAMPLES = 300
CODE_BYTES = 64 << 10


def cases() -> Iterator[Any]:
    yield from (pytest.param(name, "host", id=f"{name}-host") for name in HOST_ALONE)
    for name in (*EVERYWHERE, *ON_HOST):
        targets = ("host", "x86-64-v3", "c", "arm-neon") if name in EVERYWHERE else ("host", "x86-64-v3")
        for target in targets:
            marks = pytest.mark.long if name in LARGE and target != "host" else ()
            yield pytest.param(name, target, id=f"{name}-{target}", marks=marks)


def model(models: Path, name: str) -> Path:
    path = models / "real" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {name}.onnx")
    return path


def compiled(path: Path, target: str, folder: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> Artifact:
    reason = cannot_run(get_target(target))
    if reason:
        pytest.skip(reason)
    return driver.compile(path, target, output=folder / "artifact", selftest=False, shapes=shapes)


def worst(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> dict[str, float]:
    """How far each output is off, as a part of its largest value."""
    off = {
        n: float(np.abs(got[n].astype(np.float64) - a).max()) / max(float(np.abs(a).max()), 1e-9)
        for n, a in wanted.items()
    }
    assert set(off) <= set(got)
    return off


def assert_close(artifact: Artifact, inputs: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    off = worst(artifact.run(inputs), wanted)
    assert max(off.values()) <= TOLERANCE, off
    assert artifact.report["arena"]["ratio"] <= ARENA_RATIO


def tool(models: Path, name: str) -> Any:
    """A script that stands beside the folder of models."""
    path = models.parent / "tools" / f"{name}.py"
    if not path.is_file():
        pytest.skip(f"there is no {path.name} beside the folder of models")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runtime(path: Path) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """The same network in ONNX Runtime."""
    engine = pytest.importorskip("onnxruntime")
    session = engine.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


@pytest.mark.parametrize(("name", "target"), list(cases()))
def test_matches_the_stored_results(models: Path, name: str, target: str, tmp_path: Path) -> None:
    path = model(models, name)
    stored = np.load(path.with_suffix(".npz"))
    arrays = {key: np.asarray(stored[key]) for key in stored.files}
    inputs = {k.removeprefix("in:"): a for k, a in arrays.items() if k.startswith("in:")}
    artifact = compiled(path, target, tmp_path, {n: a.shape for n, a in inputs.items()} if name in HOST_ALONE else None)
    assert_close(artifact, inputs, {k.removeprefix("out:"): a for k, a in arrays.items() if k.startswith("out:")})
    if target == "host" and name in LABELLED:
        assert_same_predictions(models, path, artifact)
    if target == "host" and name == "mlperftiny_resnet8_fp32":
        assert_small(artifact)


def assert_same_predictions(models: Path, path: Path, artifact: Artifact) -> None:
    """On labelled samples the artifact says what ONNX Runtime says, and nearly always what is right."""
    data, prepare = tool(models, "labelled").PREPARE[path.stem]
    stored = np.load(models / "datasets" / f"{data}_dev.npz")
    samples = prepare(stored["mfcc" if "mfcc" in stored.files else "images"][:SAMPLES])
    (source,), (sink,) = artifact.inputs, artifact.outputs
    infer = runtime(path)
    wanted = np.concatenate([infer({source: sample[None]})[sink] for sample in samples])
    got = artifact.run_many({source: samples})[sink]
    assert np.array_equal(got.argmax(1), wanted.argmax(1))
    if stored["labels"].dtype.kind in "iu":
        assert (got.argmax(1) == stored["labels"][:SAMPLES].reshape(-1)).mean() > 0.7


def assert_small(artifact: Artifact) -> None:
    library = (artifact.folder / "libmodel.so").stat().st_size
    assert library <= artifact.report["weights_bytes"] + CODE_BYTES


@pytest.fixture(scope="module")
def exported(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small ones of the exported networks, their weights filled in."""
    if not (models / "exported").is_dir():
        pytest.skip("there are no exported networks")
    folder: Path = tmp_path_factory.mktemp("exported")
    tool(models, "topology").fill(models / "exported", folder, EXPORTED)
    return folder


@pytest.mark.parametrize("target", ["host", "x86-64-v3"])
@pytest.mark.parametrize("name", EXPORTED)
def test_matches_onnx_runtime(exported: Path, name: str, target: str, tmp_path: Path) -> None:
    path = exported / f"{name}.onnx"
    artifact = compiled(path, target, tmp_path)
    generator = np.random.default_rng(0)
    inputs = {n: generator.standard_normal(t.shape).astype(t.dtype.numpy) for n, t in artifact.inputs.items()}
    assert_close(artifact, inputs, runtime(path)(inputs))

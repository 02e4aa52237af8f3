"""Quantized networks give the same bytes everywhere: in numpy after the passes, and in the artifact of every target.

EDGEC_EXACT_GRAPHS=500 runs that many random graphs on all targets, which takes an hour; by default there are fewer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph, Value
from edgec.ir.ops.quantize import limits
from edgec.quantization.config import read_config
from edgec.quantizing import request
from edgec.targets import get_target
from edgec.toolchain import cannot_run, find_compilers

from .quantized_graphs import quantized_graph
from .random_graphs import joined

NATIVE = ("c", "x86-64", "x86-64-v3", "x86-64-v4", "host")
EMULATED = ("arm-neon", "arm-neon-dot", "armv7-neon")
IMPORTED = ("mlperftiny_kws_int8", "mlperftiny_resnet8_int8", "micro_kws_qdq", "micro_kws_qoperator")
SAMPLES = 3
INT8 = replace(read_config("int8"), veto=False)
"""All layers in integers, also where a target would be faster in float."""
GROUP, HALF = 20, 10
Arrays = dict[str, np.ndarray]


def unavailable(target: str) -> str:
    """Why a target cannot be built and run here; empty where it can."""
    reason = cannot_run(get_target(target))
    return reason or ("" if find_compilers(get_target(target)) else f"no compiler for {target}")


def require(target: str) -> None:
    """Skip where a target cannot be built and run."""
    if unavailable(target):
        pytest.skip(unavailable(target))


def differences(graph: Graph, inputs: Arrays, target: str, folder: Path) -> list[str]:
    """The outputs that a target's artifact gives in other bytes than numpy, after it has run on each sample."""
    lowered = driver.lower(graph, target)
    artifact = driver.assemble(lowered, output=folder / target, selftest=False)
    count = len(next(iter(inputs.values())))
    got = artifact.run_stacked(list(inputs.values()))
    rows = [lowered.reference.evaluate([array[i] for array in inputs.values()]) for i in range(count)]
    wanted = [np.stack(column) for column in zip(*rows, strict=True)]
    named = zip(lowered.reference.output_names, got, wanted, strict=True)
    return [f"{name}: {_apart(a, b)}" for name, a, b in named if a.tobytes() != b.tobytes()]


def _apart(got: np.ndarray, wanted: np.ndarray) -> str:
    apart = np.abs(got.astype(np.float64) - wanted)
    return f"{np.count_nonzero(apart)} of {apart.size} differ, at most by {apart.max():g}"


def drawn(graph: Graph, seed: int = 0) -> Arrays:
    """Inputs for each sample: floats normally distributed, all integers alike."""
    generator = np.random.default_rng(seed)
    return {v.name: _drawn(generator, v) for v in graph.inputs}


def _drawn(generator: np.random.Generator, value: Value) -> np.ndarray:
    shape = (SAMPLES, *value.shape)
    if value.dtype.is_float:
        return generator.standard_normal(shape).astype(value.dtype.numpy)
    return generator.integers(*limits(value.dtype), shape, value.dtype.numpy, endpoint=True)


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(examples: Path) -> Graph:
    """The example, quantized; it ends in a softmax of floats."""
    wanted = request(INT8, examples / "digits_calibration.npz")
    graph = driver.lower(examples / "digits.onnx", quantization=wanted).quantized
    assert graph is not None
    return graph.graph


@pytest.mark.parametrize("target", [*NATIVE, *EMULATED])
def test_the_example(digits: Graph, examples: Path, target: str, tmp_path: Path) -> None:
    require(target)
    images = np.load(examples / "digits.npz")["images"][:20, None]
    assert differences(digits, {"images": images}, target, tmp_path) == []


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("target", [*NATIVE, *EMULATED])
@pytest.mark.parametrize("name", IMPORTED)
def test_imported_networks(models: Path, name: str, target: str, tmp_path: Path) -> None:
    require(target)
    path = models / "real" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"the folder of models has no {name}.onnx")
    graph = driver.name_all(driver.import_model(path))
    stored = np.load(path.with_suffix(".npz"))
    given = {key.removeprefix("in:"): stored[key][None] for key in stored.files if key.startswith("in:")}
    random = drawn(graph) if all(v.dtype.is_float for v in graph.inputs) else given
    inputs = {v.name: np.concatenate([given[v.name], random[v.name]]) for v in graph.inputs}
    assert differences(graph, inputs, target, tmp_path) == []


OWN = {
    "alibaba_kws": (1, 49, 10, 1), "mlperftiny_resnet8_fp32": (1, 3, 32, 32), "mnist8_cntk": (1, 1, 28, 28),
    "resnet20_cifar10": (1, 3, 32, 32), "lprnet_plates": (1, 3, 24, 94),
}  # fmt: skip
"""Float networks to be quantized here, and the shape of their input."""


LARGER = ("lprnet_plates", "resnet20_cifar10", "mlperftiny_resnet8_fp32")
"""Of the last there is an imported network in integers, which runs on every target."""


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in LARGER else ()) for name in OWN])
def test_own_networks(models: Path, name: str, tmp_path: Path) -> None:
    path, shape = models / "real" / f"{name}.onnx", OWN[name]
    stored = np.load(path.with_suffix(".npz"))
    (key,) = (k for k in stored.files if k.startswith("in:"))
    given = stored[key].reshape(shape)
    samples = given * np.float32([0.25, 0.5, 1]).reshape(3, 1, 1, 1)
    images = {key.removeprefix("in:"): np.concatenate([samples, given[..., ::-1]])}
    lowered = driver.lower(path, shapes={name: shape for name in images}, quantization=request(INT8, images))
    assert lowered.quantized is not None
    stacked = {name: array[:, None] for name, array in images.items()}
    targets = [t for t in (*NATIVE, *EMULATED) if not unavailable(t)]
    found = {t: differences(lowered.quantized.graph, stacked, t, tmp_path) for t in targets}
    assert found == {t: [] for t in targets}


# --- random graphs ----------------------------------------------------------------------------------------------------

GRAPHS = int(os.environ.get("EDGEC_EXACT_GRAPHS", "0"))
FEW = {"c": 40, "host": 40, "arm-neon-dot": 40}
"""How many graphs a target runs by default; one group, in two halves, for those that are not named."""


def groups() -> Iterator[Any]:
    for target in (*NATIVE, *EMULATED):
        size = GROUP if GRAPHS or target in FEW else HALF
        for first in range(0, GRAPHS or FEW.get(target, GROUP), size):
            quick = first == 0 and target in FEW
            marks = () if quick else pytest.mark.slow if first == 0 else pytest.mark.long
            yield pytest.param(range(first, first + size), target, id=f"{first}-{target}", marks=marks)


@pytest.mark.parametrize(("seeds", "target"), list(groups()))
def test_random_graphs(seeds: range, target: str, tmp_path: Path) -> None:
    require(target)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")  # outputs are called NUMBER.y, the seed is the first + NUMBER
    graph = joined([quantized_graph(seed) for seed in seeds])
    assert differences(graph, drawn(graph, seeds.start), target, tmp_path) == []


def test_random_graphs_become_integers() -> None:
    graph = driver.lower(joined([quantized_graph(seed) for seed in range(GROUP)]), "c").reference
    names = [op.name for op in graph]
    assert {"conv", "softmax", "sigmoid", "exp", "tanh", "gelu"}.isdisjoint(names)
    assert names.count("conv-integer") >= GROUP // 2

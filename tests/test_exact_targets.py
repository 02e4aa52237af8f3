"""Quantized networks give the same bytes everywhere: in numpy after the passes, and in the artifact of every target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.ir import Graph, Value
from edgec.ir.ops import Sigmoid, Softmax
from edgec.quantizing import request
from edgec.targets import get_target
from edgec.toolchain import cannot_run, find_compilers

from .quantized_graphs import quantized_graph
from .random_graphs import joined

NATIVE = ("c", "x86-64", "x86-64-v3", "x86-64-v4", "host")
EMULATED = ("arm-neon", "arm-neon-dot", "armv7-neon")
IMPORTED = ("mlperftiny_kws_int8", "mlperftiny_resnet8_int8", "micro_kws_qdq", "micro_kws_qoperator")
SAMPLES = 3
GROUP = 20
Arrays = dict[str, np.ndarray]


def require(target: str) -> None:
    """Skip where a target cannot be built and run."""
    reason = cannot_run(get_target(target))
    if reason or not find_compilers(get_target(target)):
        pytest.skip(reason or f"no compiler for {target}")


def exact_part(graph: Graph) -> Graph:
    """The graph up to where it leaves the integers for good: without the float functions that end it."""
    made = graph.copy()
    made.set_outputs([_before(value) for value in made.outputs], made.output_names)
    return made


def _before(value: Value) -> Value:
    return value.producer.operands[0] if isinstance(value.producer, Softmax | Sigmoid) else value


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
    """Inputs for each sample, normally distributed."""
    generator = np.random.default_rng(seed)
    return {v.name: generator.standard_normal((SAMPLES, *v.shape)).astype(v.dtype.numpy) for v in graph.inputs}


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(examples: Path) -> Graph:
    """The example, quantized and cut before its softmax."""
    wanted = request("int8", examples / "digits_calibration.npz")
    graph = driver.lower(examples / "digits.onnx", quantization=wanted).quantized
    assert graph is not None
    return exact_part(graph.graph)


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
    assert differences(exact_part(graph), inputs, target, tmp_path) == []


# --- random graphs ----------------------------------------------------------------------------------------------------


def groups() -> Iterator[Any]:
    for first in range(0, 3 * GROUP, GROUP):
        for target in ("c", "x86-64", "x86-64-v3", "host", "arm-neon"):
            quick = first == 0 and target in ("c", "host")
            yield pytest.param(first, target, id=f"{first}-{target}", marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("first", "target"), groups())
def test_random_graphs(first: int, target: str, tmp_path: Path) -> None:
    require(target)
    seeds = range(first, first + GROUP)
    print(f"seeds {seeds.start} to {seeds.stop - 1}")  # outputs are called NUMBER.y, the seed is `first` + NUMBER
    graph = joined([quantized_graph(seed) for seed in seeds])
    assert differences(graph, drawn(graph, first), target, tmp_path) == []


def test_random_graphs_become_integers() -> None:
    graph = driver.lower(joined([quantized_graph(seed) for seed in range(GROUP)]), "c").reference
    names = [op.name for op in graph]
    assert {"conv", "matmul"}.isdisjoint(names)
    assert names.count("conv-integer") >= GROUP // 2

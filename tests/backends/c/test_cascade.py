"""Cascades in C: rows between rolling buffers give what whole tensors give, on every target and any threads."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.ir import Graph, Symbol, TensorType, Value, f32
from edgec.ir.dims import symbol
from edgec.ir.ops import Add, Clip, Conv, If, Pool, Relu, Slice, constant
from edgec.ir.types import boolean

from ...random_graphs import joined
from ...samples import Reference, reference
from .harness import FOREIGN, NATIVE, compiler_for, outputs, run_guarded
from .test_artifact import CHECKS, LINK
from .test_chains import LOOSE


class RandomRun:
    """A random run of convolutions and pools on one image."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.graph = Graph(f"run{seed}")
        shape = (1, self.count(1, 20), self.count(6, 24), self.count(3, 9))
        x = self.graph.input(TensorType(f32, shape), "x")
        for _ in range(self.count(2, 6)):
            x = self.graph.add(self.next(x).producer)  # type: ignore[arg-type]
        self.graph.set_outputs([x], ["y"])

    def count(self, low: int, high: int) -> int:
        return int(self.chance.integers(low, high + 1))

    def array(self, *shape: int) -> Value:
        scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.5
        return constant((self.chance.standard_normal(shape) * scale).astype(np.float32))

    def window(self, x: Value) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Kernel, strides, pads and dilations that fit."""
        size = self.count(1, 3)
        kernel = (size, min(self.count(1, 3), x.shape[3]))
        pads = tuple(self.count(0, size - 1) for _ in range(4))
        height = x.shape[2] + pads[0] + pads[2]
        spread = self.count(1, 2) if 2 * (size - 1) < height else 1
        if height < size or x.shape[3] + pads[1] + pads[3] < kernel[1]:
            return (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)
        return kernel, (self.count(1, 2), self.count(1, 2)), pads, (spread, 1)

    def next(self, x: Value) -> Value:
        kernel, strides, pads, dilations = self.window(x)
        channels = x.shape[1]
        kind = self.count(0, 9)
        if kind == 0:
            return Pool(x, "max", kernel, strides, pads, dilations).result
        if kind < 4:
            weights = self.array(channels, 1, *kernel)
            made = Conv(x, weights, self.array(channels), strides, pads, dilations, groups=channels).result
        else:
            weights = self.array(self.count(1, 40), channels, *kernel)
            made = Conv(x, weights, self.array(weights.shape[0]), strides, pads, dilations).result
        made = self.graph.add(made.producer)  # type: ignore[arg-type]
        if made.shape == x.shape and self.chance.random() < 0.5:
            return Add(made, x).result
        return Relu(made).result if self.chance.random() < 0.5 else Clip(made, -0.5, 2.0).result


def run_of(seed: int) -> Graph:
    return RandomRun(seed).graph


def opened(graph: Graph, target: str, folder: str, **options: Any) -> Artifact:
    compiler_for(target)
    return driver.compile(graph, target, output=Path(folder) / "artifact", selftest=False, verify=True, **options)


def cascades(artifact: Artifact) -> int:
    return sum(region["kernel"] == "cascade" for region in artifact.report["regions"])


def wanted(*seeds: int) -> Reference:
    return reference(joined([run_of(seed) for seed in seeds]), tolerance=LOOSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "form"),
    [
        ("c", "all"), ("x86-64", "all,rows=3"), ("x86-64-v3", "all,rows=2,bands=3"), ("x86-64-v3", "memory"),
        ("x86-64-v4", "all,rows=5,bands=2"), *((target, "all,rows=2") for target in FOREIGN),
    ],
)  # fmt: skip
def test_random_runs(target: str, form: str) -> None:
    sample = wanted(*range(12 if target in NATIVE else 4))
    with tempfile.TemporaryDirectory() as folder:
        artifact = opened(sample.graph, target, folder, cascade=form)
        assert cascades(artifact) > 0
        assert sample.faults(outputs(artifact, sample.inputs)) == []


def test_in_a_branch() -> None:
    graph = Graph("branch")
    choice, x = graph.input(TensorType(boolean, ()), "choice"), graph.input(TensorType(f32, (1, 8, 24, 24)), "x")
    one, other = expanding(), expanding()
    graph.set_outputs([graph.add(If(choice, (x,), one, other))], ["y"])
    image = np.random.default_rng(3).standard_normal(x.shape).astype(np.float32)
    sample = Reference(graph, [np.array(True), image], one.evaluate([image]), [LOOSE])
    with tempfile.TemporaryDirectory() as folder:
        artifact = opened(graph, "x86-64-v3", folder, cascade="all,rows=3,bands=2")
        assert cascades(artifact) == 2
        assert sample.faults(outputs(artifact, sample.inputs)) == []


def test_beside_sizes_that_a_run_chooses() -> None:
    graph = Graph("open")
    x = graph.input(TensorType(f32, (1, 3, 9, symbol(Symbol("width", 4, 9)))), "x")
    narrow = Slice(x, (0, 0, 0, 0), (1, 3, 9, 4), (1, 1, 1, 1)).result
    for _ in range(3):
        narrow = Relu(Conv(narrow, RandomRun(1).array(3, 3, 1, 1), None).result).result
    graph.set_outputs([graph.add(narrow.producer)], ["y"])  # type: ignore[arg-type]
    image = np.random.default_rng(4).standard_normal((1, 3, 9, 7)).astype(np.float32)
    sample = Reference(graph, [image], graph.evaluate([image]), [LOOSE])
    with tempfile.TemporaryDirectory() as folder:
        artifact = opened(graph, "c", folder, cascade="all,rows=2")
        assert sample.faults(outputs(artifact, sample.inputs)) == []


def test_same_bits_on_any_threads() -> None:
    sample = wanted(*range(20, 24))
    with tempfile.TemporaryDirectory() as folder:
        artifact = opened(sample.graph, "host", folder, cascade="all,rows=2,bands=5")
        alone = run_guarded(artifact, sample.inputs)
        for threads in (2, 3, 8):
            for one, other in zip(run_guarded(artifact, sample.inputs, threads), alone, strict=True):
                assert one.tobytes() == other.tobytes()
    assert sample.faults(alone) == []


@pytest.mark.parametrize(("target", "scheme"), [("x86-64-v3", "int8"), ("host", "w4a8"), ("c", "w8a16")])
def test_integers_are_the_same_to_the_bit(target: str, scheme: str) -> None:
    graph, got = run_of(35), []
    random = np.random.default_rng(1)
    data = {"x": random.standard_normal((16, *graph.inputs[0].shape)).astype(np.float32)}
    for form in ("off", "all,rows=2,bands=2"):
        with tempfile.TemporaryDirectory() as folder:
            options = {"quantize": scheme, "calibration": data, "veto": False, "cascade": form}
            artifact = opened(run_of(35), target, folder, **options)
            assert (cascades(artifact) > 0) == (form != "off")
            got.append(outputs(artifact, [data["x"][0]])[0].tobytes())
    assert got[0] == got[1]


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    compiler, graph = compiler_for("c"), run_of(40)
    form = "all,rows=2,bands=3"
    folder = driver.compile(graph, "c", output=tmp_path / "artifact", cascade=form, build=False).folder
    sources = [folder / n for n in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
    program = compiler.compile(
        sources, tmp_path / "selftest", "executable", flags=(*CHECKS, "-O1"), link=LINK, sanitize=True
    )
    done = subprocess.run([program], capture_output=True, text=True, env={"UBSAN_OPTIONS": "print_stacktrace=1"})
    assert (done.returncode, done.stderr) == (0, "")


def expanding() -> Graph:
    """Two blocks whose results inside are six times as large as those between them."""
    graph = Graph("expanding")
    x = graph.input(TensorType(f32, (1, 8, 24, 24)), "x")
    draw = RandomRun(0).array
    for stride in (1, 2):
        wide = Relu(Conv(x, draw(48, 8, 1, 1), None).result).result
        deep = Conv(wide, draw(48, 1, 3, 3), None, (stride, stride), (1, 1, 1, 1), groups=48).result
        x = Conv(deep, draw(8, 48, 1, 1), None).result
    graph.set_outputs([graph.add(x.producer)], ["y"])  # type: ignore[arg-type]
    return graph


def test_memory_is_a_quarter() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sizes = [
            opened(expanding(), "c", f"{folder}/{form}", cascade=form, build=False).report["arena"]["bytes"]
            for form in ("off", "memory")
        ]
    assert sizes[1] <= sizes[0] / 4

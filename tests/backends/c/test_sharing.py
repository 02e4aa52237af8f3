"""Which steps threads share, what is predicted of it, and what a started process needs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.backends.c.sharing import HAND_OVER, shared_cycles
from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Conv, MatMul, Relu, Softmax, constant

from .harness import compiler_for, run_guarded


def image_network() -> Graph:
    """A convolution that is worth several threads, and a small product behind it."""
    random, graph = np.random.default_rng(0), Graph("images")
    x = graph.input(TensorType(f32, (1, 64, 30, 30)), "x")
    weights = random.standard_normal((128, 64, 3, 3)).astype(np.float32)
    y = graph.add(Relu(graph.add(Conv(x, constant(weights), None, pads=(1, 1, 1, 1)))))
    small = graph.input(TensorType(f32, (2, 8)), "small")
    product = graph.add(MatMul(small, constant(np.ones((8, 4), np.float32))))
    graph.set_outputs([y, graph.add(Softmax(product))], ["y", "scores"])
    return graph


def attention(heads: int) -> Graph:
    """Products with as many matrices as there are heads."""
    graph = Graph("attention")
    a = graph.input(TensorType(f32, (1, heads, 96, 64)), "a")
    b = graph.input(TensorType(f32, (1, heads, 64, 96)), "b")
    graph.set_outputs([graph.add(MatMul(a, b))], ["y"])
    return graph


def compiled(graph: Graph, folder: Path, build: bool = False) -> Artifact:
    return driver.compile(graph, "x86-64-v3", output=folder / "artifact", build=build, selftest=False, winograd="off")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    compiler_for("x86-64-v3")
    return compiled(image_network(), tmp_path_factory.mktemp("built"), build=True)


def test_large_steps_are_shared_and_small_ones_are_not(tmp_path: Path) -> None:
    regions = compiled(image_network(), tmp_path).report["regions"]
    shares = {region["kernel"]: region["shares"] for region in regions}
    assert shares["conv"] >= 8
    assert shares["conv"] % 2 == 0
    assert shares["matmul"] == shares["row program"] == 1
    assert all(1 <= region["shares"] <= max(1, region["tasks"]) for region in regions)
    source = (tmp_path / "artifact" / "model.c").read_text(encoding="utf-8")
    conv = next(region for region in regions if region["kernel"] == "conv")
    assert f", {conv['tasks']}, {shares['conv']}, " in source


def test_few_matrices_are_divided_themselves(tmp_path: Path) -> None:
    (product,) = (r for r in compiled(attention(3), tmp_path).report["regions"] if r["kernel"] == "matmul")
    assert product["tasks"] >= 6
    assert product["tasks"] % 3 == 0


def test_the_report_predicts(tmp_path: Path) -> None:
    predicted = compiled(image_network(), tmp_path).report["threads"]
    faster = [predicted["speed_up"][str(n)] for n in (1, 2, 4, 8)]
    assert faster[0] == 1.0
    assert 1.7 < faster[1] <= 2.0
    assert 2.5 < faster[2] <= 4.0
    assert faster[2] <= faster[3] <= 8.0
    assert predicted["shared_steps"] >= 1
    assert predicted["cycles"] > 2_000_000


def test_the_prediction_counts_turns_and_hand_overs() -> None:
    steps = [(90_000, 3), (1_000, 1)]
    assert shared_cycles(steps, 1) == 91_000
    assert shared_cycles(steps, 2) == HAND_OVER + 60_000 + 1_000
    assert shared_cycles(steps, 3) == shared_cycles(steps, 8) == HAND_OVER + 30_000 + 1_000


def test_any_number_of_threads_gives_the_same_bits(built: Artifact) -> None:
    random = np.random.default_rng(1)
    inputs = [random.standard_normal(kind.shape).astype(np.float32) for kind in built.inputs.values()]
    alone = run_guarded(built, inputs)
    for threads in (2, 3, 5):
        together = run_guarded(built, inputs, threads)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, together, strict=True)), threads


# --- the process of the self-test -------------------------------------------------------------------------------------


def selftest(artifact: Artifact, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["./selftest", *arguments], cwd=artifact.folder, capture_output=True, text=True, timeout=60)


def test_threads_are_bound_on_request(built: Artifact) -> None:
    assert json.loads(selftest(built, "bench", "3", "2", "0,0").stdout)["threads"] == 2
    assert "does not name 2 processors" in selftest(built, "bench", "3", "2", "0").stderr
    assert "cannot start 2 threads there" in selftest(built, "bench", "3", "2", "0,99999").stderr
    assert selftest(built, "bench", "3", "2", "x,y").returncode == 2


def test_numbers_of_threads_that_cannot_be(built: Artifact) -> None:
    for threads in ("0", "-2", "two"):
        done = selftest(built, "bench", "3", threads)
        assert (done.returncode, done.stderr) == (2, f"selftest: '{threads}' is not a number from 1 to 1000000000\n")
    assert "cannot start 2000 threads" in selftest(built, "bench", "3", "2000").stderr
    assert selftest(built, "bench", "3", "64").returncode == 0  # more than processors: slower, not wrong


def test_memory_is_weights_and_arena_and_little_else(built: Artifact) -> None:
    done = json.loads(selftest(built, "run", "golden.bin", "/dev/null", "1").stdout)
    known = built.report["weights_bytes"] + built.report["arena"]["bytes"]
    assert known / 2 < done["peak_kb"] << 10 < known + (4 << 20)


def test_the_first_result_comes_at_once(built: Artifact) -> None:
    warm = json.loads(selftest(built, "bench", "20", "1").stdout)["min_ns"] / 1e9
    taken = []
    for _ in range(10):
        start = time.perf_counter()
        assert selftest(built, "run", "golden.bin", "/dev/null", "1").returncode == 0
        taken.append(time.perf_counter() - start)
    assert min(taken) - warm < 0.025  # 1.5 ms on an idle machine

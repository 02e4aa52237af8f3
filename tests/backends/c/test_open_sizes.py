"""Open sizes: one artifact runs every size between the bounds, and says so where a size is outside them."""

from __future__ import annotations

import numpy as np
import pytest

from edgec import driver
from edgec.errors import UsageError
from edgec.ir import Graph, Symbol, TensorType, f32, i64
from edgec.ir.dims import symbol
from edgec.ir.ops import (
    Add,
    Cast,
    Concat,
    Conv,
    FindSize,
    Gather,
    LayerNorm,
    MatMul,
    Mul,
    Pool,
    Recurrent,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Sizes,
    Slice,
    Softmax,
    Transpose,
    constant,
)

from ...open_graphs import open_graph
from ...random_graphs import joined
from ...sharing import everything_shared
from .harness import compiled, compiler_for, outputs, run_guarded

SEEDS = range(300, 308)
SLOW_ARM = pytest.param("arm-neon", marks=pytest.mark.slow)
N = symbol(Symbol("n", 1, 9))
PAST = symbol(Symbol("past", 0, 40))


def drawn(graph: Graph, sizes: dict[str, int]) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.standard_normal(v.type.at(sizes).shape).astype(v.dtype.numpy) for v in graph.inputs]


def check(graph: Graph, target: str, tries: list[dict[str, int]]) -> None:
    with compiled(graph, target) as artifact:
        for sizes in tries:
            inputs = drawn(graph, sizes)
            with np.errstate(all="ignore"):
                wanted = graph.evaluate(inputs)
            for name, got, want in zip(graph.output_names, outputs(artifact, inputs), wanted, strict=True):
                assert got.shape == want.shape, name
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4, err_msg=f"{name} of {sizes}")


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32) * 0.3


def attention() -> Graph:
    """A step of a decoder with a cache that grows, of which nothing is there at first."""
    graph = Graph("attention")
    x = graph.input(TensorType(f32, (N, 1, 16)), "x")
    cache = graph.input(TensorType(f32, (N, 2, PAST, 8)), "cache")
    heads = Transpose(Reshape(MatMul(x, constant(array(16, 16))).result, (N, 1, 2, 8)).result, (0, 2, 1, 3)).result
    keys = Concat((cache, heads), 2).result
    scores = MatMul(heads, Transpose(keys, (0, 1, 3, 2)).result).result
    mixed = MatMul(Softmax(scores).result, keys).result
    flat = Reshape(Transpose(mixed, (0, 2, 1, 3)).result, (N, 1, 16)).result
    count = Cast(Sizes((PAST + 1,)).result, f32).result
    normed = LayerNorm(Mul(Add(flat, x).result, count).result, constant(array(16))).result
    graph.set_outputs([graph.add(v.producer) for v in (normed, keys)], ["y", "keys"])  # type: ignore[arg-type]
    return graph


def convolutions() -> Graph:
    """A batch, a height and a width that are open; the width must be even."""
    graph = Graph("convolutions")
    width = symbol(Symbol("w", 3, 12)) * 2
    x = graph.input(TensorType(f32, (N, 3, symbol(Symbol("h", 5, 20)), width)), "x")
    wide = Relu(Conv(x, constant(array(16, 3, 3, 3)), constant(array(16)), pads=(1, 1, 1, 1)).result).result
    depth = Conv(wide, constant(array(16, 1, 3, 3)), None, (2, 2), (1, 1, 1, 1), groups=16).result
    mixed = Relu(Conv(depth, constant(array(5, 16, 1, 1)), constant(array(5))).result).result
    pooled = Pool(mixed, "average", (2, 2), (1, 1), (0, 0, 1, 1), (1, 1)).result
    mean = Reduce(mixed, "mean", (2, 3), False).result
    graph.set_outputs([graph.add(v.producer) for v in (pooled, mean)], ["y", "mean"])  # type: ignore[arg-type]
    return graph


def last_place() -> Graph:
    """The last row of an open dimension, and all rows but the first, backwards."""
    graph = Graph("places")
    x = graph.input(TensorType(f32, (N + 1, 5)), "x")
    last = Gather(x, constant(-1, i64), 0).result
    back = Slice(x, (N, 0), (N, 5), (-1, 1)).result
    graph.set_outputs([graph.add(v.producer) for v in (last, back)], ["last", "back"])  # type: ignore[arg-type]
    return graph


@pytest.mark.parametrize("target", ["x86-64-v3", pytest.param("c", marks=pytest.mark.slow)])
def test_random_graphs_run_every_size(target: str) -> None:
    seeds = SEEDS if target == "x86-64-v3" else SEEDS[:4]
    check(joined([open_graph(seed) for seed in seeds]), target, [{"n": n} for n in (1, 2, 5, 8, 9)])


@pytest.mark.parametrize("target", ["x86-64-v3", SLOW_ARM])
def test_a_cache_grows_from_nothing(target: str) -> None:
    check(attention(), target, [{"n": n, "past": past} for n, past in ((1, 0), (2, 1), (9, 7), (3, 40), (1, 31))])


def test_convolutions_of_open_images() -> None:
    check(convolutions(), "x86-64-v3", [{"n": 1, "h": 5, "w": 3}, {"n": 2, "h": 20, "w": 12}, {"n": 9, "h": 8, "w": 7}])


def recurrence() -> Graph:
    """A recurrent layer whose batch and number of steps are open, and its states, each three times."""
    graph = Graph("recurrence")
    steps = symbol(Symbol("steps", 1, 6))
    x = graph.input(TensorType(f32, (steps, N, 36)), "x")
    states = Recurrent(x, constant(array(36, 9))).result
    several = Resize(states, (steps + 2, N * 3, 9), (1.0, 3.0, 1.0), "nearest", "asymmetric", "floor").result
    graph.set_outputs([graph.add(v.producer) for v in (states, several)], ["states", "several"])  # type: ignore[arg-type]
    return graph


def test_recurrent_layers_of_open_sizes() -> None:
    check(recurrence(), "x86-64-v3", [{"n": n, "steps": steps} for n, steps in ((1, 1), (9, 6), (4, 3), (5, 1))])


def test_places_count_from_the_end() -> None:
    check(last_place(), "x86-64-v3", [{"n": 1}, {"n": 4}, {"n": 9}])


def test_sizes_are_checked_at_entry() -> None:
    with everything_shared(), compiled(last_place(), "host") as artifact:
        x, sinks = np.ones((4, 5), np.float32), artifact.new_outputs({"n": 3})
        for n, status in ((3, 0), (0, 2), (10, 2)):
            assert artifact.native.bind([x], sinks, artifact.native.new_arena(), 1, (n,))() == status
        with pytest.raises(UsageError, match="size 'n' is 10, compiled for 1 to 9"):
            artifact(np.ones((11, 5), np.float32))
        np.testing.assert_array_equal(run_guarded(artifact, [x], threads=3)[0], x[-1])


def test_the_header_declares_sizes() -> None:
    artifact = driver.compile(attention(), "c", build=False)
    header = (artifact.folder / "model.h").read_text()
    assert "    size_t n, past;\n} model_sizes;" in header
    assert "#define MODEL_LOW_past 0\n" in header
    assert "#define MODEL_HIGH_past 40\n" in header
    assert f"#define MODEL_INPUT_1_BYTES {9 * 2 * 40 * 8 * 4}\n" in header
    assert [one["shape"] for one in artifact.report["outputs"]] == [["n", 1, 16], ["n", 2, "past+1", 8]]
    assert artifact.report["sizes"][1] == {"name": "past", "low": 0, "high": 40}


def test_the_self_test_runs_the_ends_of_the_bounds() -> None:
    compiler_for("host")
    artifact = driver.compile(attention(), "host")
    assert artifact.report["selftest"]["status"] == "passed"
    assert "golden_sizes[] = {{1, 0}, {5, 20}, {9, 40}};" in (artifact.folder / "selftest.h").read_text()


def sliced() -> Graph:
    """Rows of a batch whose number an input says, and their sum."""
    graph = Graph("sliced")
    k, x = graph.input(TensorType(i64, ()), "k"), graph.input(TensorType(f32, (N, 6)), "x")
    kept = symbol(Symbol("kept", 1, 4))
    graph.add(FindSize(k, kept))
    rows = Slice(x, (0, 1), (N, kept)).result
    total = Add(rows, Reduce(rows, "sum", (0, 1)).result).result
    graph.set_outputs([graph.add(v.producer) for v in (total, Relu(rows).result)], ["y", "r"])  # type: ignore[arg-type]
    graph.metadata["examples"] = {"k": np.array(3)}
    return graph


@pytest.mark.parametrize("target", ["x86-64-v3", SLOW_ARM])
def test_a_size_that_the_run_finds(target: str) -> None:
    graph = sliced()
    with compiled(graph, target) as artifact:
        for n, k in ((1, 1), (9, 4), (5, 3)):
            inputs = [np.array(k), np.random.default_rng(n).standard_normal((n, 6)).astype(np.float32)]
            for got, want in zip(artifact._run(inputs), graph.evaluate(inputs), strict=True):
                assert got.shape == want.shape == (n, k)
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_size_out_of_bounds_fails_the_run() -> None:
    compiler_for("host")
    artifact = driver.compile(sliced(), "host")
    assert artifact.report["selftest"]["status"] == "passed"
    for k in (0, 5, -(2**40)):
        with pytest.raises(UsageError, match="a size that the run has found is outside the bounds"):
            artifact(np.array(k), np.ones((2, 6), np.float32))


def test_who_does_not_take_open_sizes_says_so() -> None:
    with pytest.raises(UsageError, match="a model with open sizes is neither quantized nor pruned"):
        driver.compile(last_place(), "c", prune=0.5)

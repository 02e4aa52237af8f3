"""One buffer as an input and an output: a cache that grows in place, states that are updated."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgec import driver
from edgec.artifact import Artifact
from edgec.errors import ModelError, UsageError
from edgec.ir import Graph, Symbol, TensorType, f32
from edgec.ir.dims import symbol
from edgec.ir.ops import Add, Concat, MatMul, Mul, Reduce, Reshape, Slice, Softmax, Tanh, Transpose, constant

from .harness import compiler_for

HEADS, WIDTH, LONGEST, MOST = 2, 8, 21, 3
BATCH, PAST, MORE = symbol(Symbol("n", 1, 3)), symbol(Symbol("past", 0, LONGEST)), symbol(Symbol("more", 1, MOST))
CAPACITY = LONGEST + MOST
ALIASES = {"cache": "keys", "level": "next_level", "window": "next_window"}
SIZES = [(1, 0, 1), (3, 0, 3), (2, 7, 1), (3, 20, 2), (1, LONGEST, MOST), (3, LONGEST, 1)]
Arrays = dict[str, np.ndarray]


def decoder() -> Graph:
    """A block of a decoder with a cache by heads, a running level and the last rows that it saw."""
    graph = Graph("decoder")
    x = graph.input(TensorType(f32, (BATCH, MORE, HEADS * WIDTH)), "x")
    cache = graph.input(TensorType(f32, (BATCH, HEADS, PAST, WIDTH)), "cache")
    level = graph.input(TensorType(f32, (1, HEADS * WIDTH)), "level")
    window = graph.input(TensorType(f32, (4, HEADS * WIDTH)), "window")
    weights = np.random.default_rng(0).standard_normal((HEADS * WIDTH, HEADS * WIDTH)).astype(np.float32) * 0.3
    heads = Reshape(MatMul(x, constant(weights)).result, (BATCH, MORE, HEADS, WIDTH)).result
    queries = Transpose(heads, (0, 2, 1, 3)).result
    keys = Concat((cache, Tanh(queries).result), 2).result
    scores = Softmax(MatMul(queries, Transpose(keys, (0, 1, 3, 2)).result).result).result
    mixed = Transpose(MatMul(scores, keys).result, (0, 2, 1, 3)).result
    flat = Reshape(mixed, (BATCH, MORE, HEADS * WIDTH)).result
    y = Add(flat, Mul(level, Reduce(window, "mean", (0,)).result).result).result
    mean = Reshape(Reduce(y, "mean", (0, 1)).result, (1, HEADS * WIDTH)).result
    next_level = Add(Mul(level, constant(np.float32(0.5))).result, mean).result
    next_window = Concat((Slice(window, (1, 0), (3, HEADS * WIDTH)).result, mean), 0).result
    values = [graph.add(v.producer) for v in (y, keys, next_level, next_window)]  # type: ignore[arg-type]
    graph.set_outputs(values, ["y", "keys", "next_level", "next_window"])
    return graph


def drawn(n: int, past: int, more: int) -> Arrays:
    random, sizes = np.random.default_rng(past), {"n": n, "past": past, "more": more}
    shapes = {v.name: v.type.at(sizes).shape for v in decoder().inputs}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    compiler_for("x86-64-v3")
    return driver.compile(decoder(), "x86-64-v3", output=tmp_path_factory.mktemp("plain") / "a", selftest=False)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    compiler_for("x86-64-v3")
    folder = tmp_path_factory.mktemp("shared") / "a"
    return driver.compile(decoder(), "x86-64-v3", output=folder, aliases=ALIASES, verify=True)


def in_buffers(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Inputs that are parts of buffers full of NaN, and the buffers."""
    n = arrays["cache"].shape[0]
    shapes = {"cache": (n, HEADS, CAPACITY, WIDTH), "level": (1, HEADS * WIDTH), "window": (4, HEADS * WIDTH)}
    buffers = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
    parts = {name: buffer[tuple(slice(d) for d in arrays[name].shape)] for name, buffer in buffers.items()}
    for name, part in parts.items():
        part[...] = arrays[name]
    return {**arrays, **parts}, buffers


def cases() -> Iterator[tuple[Arrays, Arrays]]:
    for sizes in SIZES:
        inputs = drawn(*sizes)
        yield inputs, dict(zip(decoder().output_names, decoder().evaluate(inputs), strict=True))


def test_a_run_has_the_bits_of_one_without(plain: Artifact, shared: Artifact) -> None:
    for inputs, wanted in cases():
        before = {name: array.copy() for name, array in inputs.items()}
        got, without = shared.run(inputs), plain.run(inputs)
        for name, array in got.items():
            assert array.tobytes() == without[name].tobytes(), name
            np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert all(array.tobytes() == before[name].tobytes() for name, array in inputs.items())


@pytest.mark.parametrize("threads", [1, 3])
def test_an_update_writes_what_is_new_and_nothing_else(plain: Artifact, shared: Artifact, threads: int) -> None:
    shared.threads = threads
    for arrays, _ in cases():
        inputs, buffers = in_buffers(arrays)
        got, without = shared.update(inputs), plain.run(arrays)
        assert all(array.tobytes() == without[name].tobytes() for name, array in got.items())
        filled = got["keys"].shape[2]
        assert np.shares_memory(got["keys"], buffers["cache"])
        np.testing.assert_array_equal(buffers["cache"][:, :, :filled], without["keys"])
        assert np.isnan(buffers["cache"][:, :, filled:]).all()
        np.testing.assert_array_equal(buffers["level"], without["next_level"])
        np.testing.assert_array_equal(buffers["window"], without["next_window"])
    shared.threads = 1


def test_steps_go_on_from_one_another(plain: Artifact, shared: Artifact) -> None:
    arrays = drawn(2, 0, 3)
    inputs, _ = in_buffers(arrays)
    for _ in range(5):
        got, without = shared.update(inputs), plain.run(arrays)
        inputs |= {name: got[output] for name, output in ALIASES.items()}
        arrays |= {name: without[output] for name, output in ALIASES.items()}
    assert inputs["cache"].shape == (2, HEADS, 15, WIDTH)
    assert all(got[name].tobytes() == without[name].tobytes() for name in got)


def test_the_old_rows_stay_where_they_are(plain: Artifact, shared: Artifact) -> None:
    moves = [sum(r["kernel"] == "concat" for r in a.report["regions"]) for a in (plain, shared)]
    assert moves[0] == moves[1] + 1


def test_only_a_part_of_a_buffer_is_updated(shared: Artifact) -> None:
    inputs, _ = in_buffers(drawn(2, 7, 1))
    words = r"input 'cache' is not the beginning of a f32\[2,2,24,8\] that can be written"
    for cache in (inputs["cache"].copy(), np.zeros((2, HEADS, 10, WIDTH), np.float32)[:, :, :7], inputs["cache"][::-1]):
        with pytest.raises(UsageError, match=words):
            shared.update({**inputs, "cache": cache})
    inputs["cache"].flags.writeable = False
    with pytest.raises(UsageError, match=words):
        shared.update(inputs)
    assert shared.new_buffer("cache").shape == (3, HEADS, CAPACITY, WIDTH)
    assert shared.update({**inputs, "cache": shared.new_buffer("cache")[:2, :, :7]})["keys"].shape == (
        2,
        HEADS,
        8,
        WIDTH,
    )
    with pytest.raises(UsageError, match="input 'x' shares no buffer with an output"):
        shared.new_buffer("x")


def test_two_buffers_are_refused_by_the_run(shared: Artifact) -> None:
    arrays = shared._bind(drawn(1, 4, 1))
    outputs = shared.new_outputs(shared.sizes_of(arrays))
    call = shared.native.bind(arrays, outputs, shared.native.new_arena(), 1, (1, 1, 4))
    assert call() == 1


def test_the_header_says_which_are_one(shared: Artifact) -> None:
    header = (shared.folder / "model.h").read_text()
    said = "/* input 1 and output 1 are one buffer: a f32[n,2,24,8], filled along dimension 2 */"
    assert f"{said}\n#define MODEL_INPUT_1_OUTPUT 1\n" in header
    assert "/* input 2 and output 2 are one buffer */\n#define MODEL_INPUT_2_OUTPUT 2\n" in header
    bytes_ = 3 * HEADS * CAPACITY * WIDTH * 4
    assert f"#define MODEL_INPUT_1_BYTES {bytes_}\n" in header
    assert f"#define MODEL_OUTPUT_1_BYTES {bytes_}\n" in header
    assert "Returns 1, too, where an input that shares the buffer of an output is not the same pointer." in header


def test_the_self_test_passes_one_buffer(shared: Artifact) -> None:
    assert shared.report["selftest"]["status"] == "passed"
    assert shared.report["aliases"] == ALIASES
    assert "static const size_t output_of[] = {MODEL_OUTPUTS, 1, 2, 3};" in (shared.folder / "selftest.h").read_text()


def test_an_artifact_is_opened_again(shared: Artifact) -> None:
    opened = driver.load_artifact(shared.folder)
    assert [alias.axis for alias in opened.aliases] == [2, -1, -1]
    report = shared.folder / "report.json"
    whole = report.read_text()
    report.write_text(whole.replace('"cache": "keys"', '"cache": "y"'))
    with pytest.raises(
        ModelError, match=r"report\.json cannot be used: input 'cache' and output 'y' cannot be one buffer"
    ):
        driver.load_artifact(shared.folder)
    report.write_text(whole)


@pytest.mark.parametrize("target", ["tensorrt-sm86", "tvm"])
def test_other_backends_take_none(target: str) -> None:
    with pytest.raises(UsageError, match=f"target '{target}' takes no --alias"):
        driver.lower(decoder(), target, aliases=ALIASES)


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    compiler = compiler_for("x86-64-v3")
    folder = driver.compile(decoder(), "x86-64-v3", output=tmp_path / "a", aliases=ALIASES, build=False).folder
    sources = [folder / name for name in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
    program = compiler.compile(sources, tmp_path / "test", "executable", link=("-lm", "-lpthread"), sanitize=True)
    done = subprocess.run([program], capture_output=True, text=True, env={"UBSAN_OPTIONS": "print_stacktrace=1"})
    assert (done.stderr, done.returncode) == ("", 0), done.stdout


@pytest.mark.slow
def test_under_an_emulator(plain: Artifact) -> None:
    compiler_for("arm-neon")
    artifact = driver.compile(decoder(), "arm-neon", aliases=ALIASES)
    assert artifact.report["selftest"]["status"] == "passed"
    arrays = drawn(2, 7, 3)
    inputs, buffers = in_buffers(arrays)
    for name, array in artifact.update(inputs).items():
        np.testing.assert_allclose(array, plain.run(arrays)[name], rtol=1e-4, atol=1e-5)
    assert np.isnan(buffers["cache"][:, :, 10:]).all()
    np.testing.assert_allclose(buffers["level"], plain.run(arrays)["next_level"], rtol=1e-4, atol=1e-5)

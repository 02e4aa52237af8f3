"""The public API: compile, load, call."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import edgec
from edgec.artifact.golden import golden_inputs
from edgec.targets import get_target
from edgec.toolchain import find_compiler

from .sharing import everything_shared


@pytest.fixture(scope="module")
def digits(examples: Path) -> edgec.Artifact:
    with everything_shared():
        return edgec.compile(examples / "digits.onnx", dims={"batch": 2})


def sample(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).random((count, 1, 8, 8), dtype=np.float32)


def test_the_public_names_exist() -> None:
    assert all(hasattr(edgec, name) for name in edgec.__all__)
    assert edgec.passes.PassManager
    with pytest.raises(AttributeError):
        _ = edgec.nonsense


def test_the_version_is_that_of_the_package() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{edgec.__version__}"\n' in text


def test_call_by_place_and_by_name(digits: edgec.Artifact, examples: Path) -> None:
    x = sample()
    wanted = edgec.Graph.load(examples / "digits.onnx", dims={"batch": 2}).evaluate([x])[0]
    for y in (digits(x), digits(images=x), digits.run({"images": x})["probabilities"]):
        np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_lists_strided_and_reversed_arrays_are_taken(digits: edgec.Artifact) -> None:
    x = sample()
    np.testing.assert_array_equal(digits(np.asfortranarray(x)), digits(x))
    np.testing.assert_array_equal(digits(x[:, :, ::-1, ::-1][:, :, ::-1, ::-1]), digits(x))
    with pytest.raises(edgec.UsageError, match="expects"):
        digits(x.tolist())


def test_many_samples(digits: edgec.Artifact) -> None:
    x = sample(6)
    y = digits.run_many({"images": x})["probabilities"]
    np.testing.assert_array_equal(y, np.concatenate([digits(x[i : i + 2]) for i in (0, 2, 4)]))
    assert digits.run_many({"images": x[:0]})["probabilities"].shape[1:] == (10,)
    with pytest.raises(edgec.UsageError, match="expects a multiple of"):
        digits.run_many({"images": x[:3]})


def test_threads_give_the_same(digits: edgec.Artifact) -> None:
    x = sample()
    threaded = edgec.load(digits.folder, threads=4)
    for _ in range(50):
        np.testing.assert_array_equal(threaded(x), digits(x))


def test_a_call_that_repeats_keeps_its_threads(digits: edgec.Artifact) -> None:
    threaded = edgec.load(digits.folder, threads=2)
    library = weakref.ref(threaded.native)
    outputs, call = threaded.repeated({"images": sample()})
    del threaded
    gc.collect()
    assert library() is not None
    assert call() == 0
    np.testing.assert_array_equal(outputs["probabilities"], digits(sample()))


def test_calls_from_several_threads(digits: edgec.Artifact) -> None:
    xs = [sample() + i for i in range(8)]
    wanted = [digits(x) for x in xs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(100):
            if not np.array_equal(digits(xs[i]), wanted[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_can_be_bytes_or_a_graph(examples: Path) -> None:
    data = (examples / "digits.onnx").read_bytes()
    x = sample(1)
    y = edgec.compile(data, selftest=False)(x)
    np.testing.assert_array_equal(edgec.compile(edgec.Graph.load(examples / "digits.onnx"), selftest=False)(x), y)


def test_an_ir_file_with_unnamed_values(tmp_path: Path) -> None:
    body = "%0 = add(%x, %x) : f32[5] %1 = mul(%0, %x) : f32[5] return %0, %1"
    (tmp_path / "twice.ir").write_text(f'graph "g"(%x: f32[5]) {{ {body} }}')
    twice = edgec.compile(tmp_path / "twice.ir", target="c")
    assert (list(twice.inputs), list(twice.outputs)) == (["input0"], ["output0", "output1"])
    x = np.arange(5, dtype=np.float32)
    total, product = twice(x)
    np.testing.assert_array_equal(total, x + x)
    np.testing.assert_array_equal(product, (x + x) * x)
    with pytest.raises(edgec.UsageError, match="fixed shapes"):
        edgec.compile(tmp_path / "twice.ir", dims={"n": 1})


def test_a_temporary_artifact_goes_with_its_object(examples: Path) -> None:
    made = edgec.compile(examples / "digits.onnx", build=False)
    folder = made.folder
    assert folder.is_dir()
    with pytest.raises(edgec.ToolchainError, match="building was not asked for"):
        made(sample(1))
    del made
    assert not folder.exists()


def test_progress_is_told(examples: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    edgec.compile(examples / "digits.onnx", progress=lambda *step: steps.append(step))
    names = [name for name, _, _ in steps]
    assert names[0] == "import"
    assert names[-2:] == ["build", "selftest"]
    assert "pass fuse" in names
    numbers = [number for _, number, _ in steps]
    assert numbers == sorted(numbers)
    assert numbers[-1] < steps[0][2] == steps[-1][2]


def test_golden_inputs_do_not_depend_on_anything() -> None:
    text = 'graph "g"(%a: f32[3] "a", %b: i64[9] "b", %c: u8[4] "c") { %0 = add(%a, %a) : f32[3] return %0 "y" }'
    first, second = golden_inputs(edgec.Graph.parse(text)), golden_inputs(edgec.Graph.parse(text))
    assert all(np.array_equal(first[name], second[name]) for name in "abc")
    assert set(first["b"].tolist()) <= {0, 1}


COMPILE = "import sys, edgec; edgec.compile(sys.argv[1], target=sys.argv[2], output=sys.argv[3])"


@pytest.mark.parametrize("target", ["host", "c"])
def test_the_same_bytes_everywhere(tmp_path: Path, examples: Path, target: str) -> None:
    folders = []
    for number, (seed, locale) in enumerate([("0", "C"), ("12345", "C.UTF-8")]):
        place = tmp_path / f"place{number}" / ("deep" * number)
        place.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "LANG": locale}
        command = [sys.executable, "-c", COMPILE, str(examples / "digits.onnx"), target, "out"]
        subprocess.run(command, cwd=place, env=variables, check=True)
        folders.append(place / "out")
    first, second = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders)
    assert sorted(first) == sorted(second)
    assert [str(name) for name in first if first[name] != second[name]] == []
    assert not [str(name) for name in first if str(tmp_path).encode() in first[name]]


WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion")


@pytest.mark.parametrize("kind", ["gcc", "clang"])
def test_the_files_beside_the_model_give_no_warnings(digits: edgec.Artifact, tmp_path: Path, kind: str) -> None:
    try:
        compiler = find_compiler(get_target("c"), kind)
    except edgec.ToolchainError:
        pytest.skip(f"no {kind}")
    sources = [digits.folder / name for name in ("selftest.c", "model_pool.c")]
    for source in sources:
        compiler.compile([source], tmp_path / "out.o", "object", flags=WARNINGS)


def test_the_self_test_is_clean_under_sanitizers(tmp_path: Path) -> None:
    """A step on several threads is enough: tests/backends/c/test_artifact.py has the kernels."""
    text = 'graph "g"(%a: f32[90000] "a") { %0 = add(%a, %a) : f32[90000] return %0 "y" }'
    with everything_shared():
        folder = edgec.compile(edgec.Graph.parse(text), build=False, output=tmp_path / "twice").folder
    try:
        compiler = find_compiler(get_target("host"), "gcc")
        sources = [folder / name for name in ("model.c", "weights.S", "model_pool.c", "selftest.c")]
        program = compiler.compile(sources, tmp_path / "t", "executable", sanitize=True, link=("-lm", "-lpthread"))
    except edgec.ToolchainError as error:
        pytest.skip(error.what)
    for arguments in ([], ["bench", "20", "3"]):
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert subprocess.run([program, "bench", "0", "1"], capture_output=True).returncode == 2

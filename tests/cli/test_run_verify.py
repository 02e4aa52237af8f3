"""`run` and `verify`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgec.cli.arrays import read_arrays, write_arrays
from edgec.targets import get_target
from edgec.toolchain import cannot_run, find_compilers

from .conftest import Run

FOREIGN = ["c", "x86-64-v3", "arm-neon", "armv7-neon"]


def test_run_an_artifact(edgec: Run, built: Path, here: Path, examples: Path) -> None:
    reference = examples / "digits_reference.npz"
    assert edgec("run", built, "--input", reference, "-o", "y.npz").code == 0
    got = read_arrays(here / "y.npz")
    wanted = read_arrays(reference)["out:probabilities"]
    np.testing.assert_allclose(got["probabilities"], wanted, atol=1e-5)


def test_run_many_samples_of_a_model(edgec: Run, here: Path, digits: Path, examples: Path) -> None:
    data = read_arrays(examples / "digits.npz")
    write_arrays(here / "x.npz", {"images": data["images"]})
    result = edgec("run", digits, "--input", "x.npz", "-o", "y.npz", "--json")
    assert result.json["outputs"][0]["shape"] == [len(data["labels"]), 10]
    guessed = read_arrays(here / "y.npz")["probabilities"].argmax(1)
    assert np.mean(guessed == data["labels"]) > 0.95


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({}, "the arrays do not match the inputs (missing: ['images'])"),
        ({"pictures": zeros(1, 1, 8, 8)}, "the arrays do not match the inputs (missing: ['images']"),
        ({"images": zeros(1, 1, 8, 9)}, "input 'images' expects f32[1,1,8,8], got float32[1, 1, 8, 9]"),
        ({"images": zeros(0, 1, 8, 8)}, "input 'images' expects f32[1,1,8,8], got float32[0, 1, 8, 8]"),
        ({"images": zeros(1, 1, 8, 8, dtype="f8")}, "input 'images' expects f32[1,1,8,8], got float64[1, 1, 8, 8]"),
    ],
)
def test_wrong_arrays_are_refused(
    edgec: Run, built: Path, here: Path, arrays: dict[str, np.ndarray], what: str
) -> None:
    write_arrays(here / "x.npz", arrays)
    result = edgec("run", built, "--input", "x.npz", "-o", "y.npz")
    assert result.code == 2
    assert result.err.startswith(f"error: {what}")
    assert not (here / "y.npz").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text", b"PK\x05\x06" + b"\0" * 5])
def test_damaged_arrays_are_3(edgec: Run, built: Path, here: Path, content: bytes) -> None:
    (here / "x.npz").write_bytes(content)
    assert edgec("run", built, "--input", "x.npz").code == 3


def test_pickles_are_not_read(edgec: Run, built: Path, here: Path) -> None:
    np.savez(here / "x.npz", images=np.array([{}], dtype=object))
    assert edgec("run", built, "--input", "x.npz").code == 3


def test_any_name_survives_an_npz_file(here: Path) -> None:
    arrays = {name: np.arange(3) for name in ("file", "a/b", "../x", "a b:0", "")}
    write_arrays(here / "x.npz", arrays)
    assert sorted(read_arrays(here / "x.npz")) == sorted(arrays)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"edgec": "1", "format": 2}', '{"edgec": "1", "format": 1}'])
def test_a_damaged_report_is_3(edgec: Run, built: Path, here: Path, examples: Path, content: str) -> None:
    shutil.copytree(built, here / "copy")
    (here / "copy" / "report.json").write_text(content)
    result = edgec("run", "copy", "--input", examples / "digits_reference.npz")
    assert result.code == 3
    assert result.err.startswith("error: report.json cannot be used: ")


@pytest.mark.parametrize("target", ["host", *FOREIGN])
def test_verify_against_a_reference(edgec: Run, examples: Path, target: str) -> None:
    if cannot_run(get_target(target)) or not find_compilers(get_target(target)):
        pytest.skip(f"{target} cannot be built and run here")
    reference = examples / "digits_reference.npz"
    result = edgec("verify", examples / "digits.onnx", "--target", target, "--reference", reference, "--json")
    assert result.code == 0
    assert (result.json["ok"], result.json["status"], result.json["target"]) == (True, "ok", target)
    (output,) = result.json["outputs"]
    assert output["name"] == "probabilities"
    assert output["worst"] < output["tolerance"] == 1e-3


def test_verify_against_numpy_with_threads(edgec: Run, examples: Path) -> None:
    assert edgec("verify", examples / "digits.onnx", "--threads", 3, "--dim", "batch=4").code == 0


def test_verify_against_onnx_runtime(edgec: Run, examples: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert edgec("verify", examples / "digits.onnx", "--against", "onnxruntime", "--seed", 7).code == 0


def test_a_mismatch_is_1(edgec: Run, here: Path, examples: Path) -> None:
    arrays = read_arrays(examples / "digits_reference.npz")
    arrays["out:probabilities"][0, 7] += 0.5
    write_arrays(here / "r.npz", arrays)
    result = edgec("verify", examples / "digits.onnx", "--reference", "r.npz", "--json")
    assert result.code == 1
    assert (result.json["ok"], result.json["status"]) == (False, "mismatch")
    assert result.json["outputs"][0]["at"] == [0, 7]
    assert edgec("verify", examples / "digits.onnx", "--reference", "r.npz", "--tolerance", 2).code == 0


def test_the_shape_comes_from_the_reference(edgec: Run, here: Path, examples: Path) -> None:
    arrays = read_arrays(examples / "digits_reference.npz")
    write_arrays(here / "r.npz", {name: np.repeat(array, 5, axis=0) for name, array in arrays.items()})
    result = edgec("verify", examples / "digits.onnx", "--reference", "r.npz", "--json")
    assert (result.code, result.json["ok"]) == (0, True)


def test_a_reference_must_name_what_the_model_has(edgec: Run, here: Path, examples: Path) -> None:
    arrays = read_arrays(examples / "digits_reference.npz")
    inputs = {"in:images": arrays["in:images"]}
    for wrong in (inputs, {**arrays, "out:more": zeros(1)}, {**arrays, "in:more": zeros(1)}):
        write_arrays(here / "r.npz", wrong)
        assert edgec("verify", examples / "digits.onnx", "--reference", "r.npz").code == 2


def test_what_cannot_run_here_is_6(edgec: Run, examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.artifact.artifact.cannot_run", lambda _: "not run: this machine is a toaster")
    result = edgec("verify", examples / "digits.onnx", "--json")
    assert result.code == 6
    assert "this machine is a toaster" in result.json["error"]["what"]


ROUNDED_SUMS = """
graph "main"(%0: f32[2048,64] "x") {
  %1 = constant(value=fill(0.37)) : f32[64,8]
  %2 = matmul(%0, %1) : f32[2048,8]
  %3 = constant(value=fill(0.05)) : f32[]
  %4 = constant(value=fill(0)) : i8[]
  %5 = quantize(%2, %3, %4, to=i8) : i8[2048,8]
  return %5 "y"
}
"""


def test_verify_allows_for_rounded_sums_of_floats(edgec: Run, here: Path) -> None:
    (here / "sums.ir").write_text(ROUNDED_SUMS, encoding="utf-8")
    (here / "floats.ir").write_text(ROUNDED_SUMS.replace("return %5", "return %2"), encoding="utf-8")
    rounded, plain = (edgec("verify", name, "--json").json["outputs"][0] for name in ("sums.ir", "floats.ir"))
    assert plain["tolerance"] == 1e-3
    assert rounded["tolerance"] > 1e-3
    assert rounded["ok"]
    assert plain["ok"]
    assert edgec("verify", "sums.ir", "--tolerance", "0.25", "--json").json["outputs"][0]["tolerance"] == 0.25

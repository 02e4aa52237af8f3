"""Options that several commands share: what each makes of them, of models and of artifacts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgec.artifact import load
from edgec.backends import find_goal
from edgec.choosing import choose_passes
from edgec.cli.arrays import read_arrays, write_arrays
from edgec.errors import UsageError

from .conftest import Run

STATE = "(float[3] x, float[3] s) => (float[3] y, float[3] next) { y = Add (x, s) next = Mul (y, y) }"
PEAKS = "(float[4] x) => (int64[1,1] y) <float t = {9.0}> { high = Greater (x, t) y = NonZero (high) }"
WORDS = "(string[2] x, string[1] z) => (string[2] y) { y = StringConcat (x, z) }"


def save(inside: str, path: Path) -> Path:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g {inside}'
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


# --- of a model -------------------------------------------------------------------------------------------------------


def test_a_state_is_that_of_the_first_run_when_outputs_are_compared(edgec: Run, here: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = save(STATE, here / "state.onnx")
    timed = ("--alias", "s=next", "--against", "onnxruntime", "--seconds", "0.05", "--json")
    rows = edgec("bench", model, *timed).json
    assert {name: "runs" in row for name, row in rows.items()} == {"edgec": True, "onnxruntime": True}
    write_arrays(here / "x.npz", {name: np.full(3, 2, np.float32) for name in "xs"})
    assert edgec("run", model, "-i", "x.npz", "-o", "y.npz", "--alias", "s=next").code == 0
    assert {name: one.tolist() for name, one in read_arrays(here / "y.npz").items()} == {"y": [4] * 3, "next": [16] * 3}
    wrong = edgec("explain", model, "--alias", "s=z")
    assert (wrong.code, wrong.err.splitlines()[0]) == (2, "error: there is no output 'z' to share a buffer")


def test_strings_have_the_room_that_is_asked_for(edgec: Run, here: Path) -> None:
    model = save(WORDS, here / "words.onnx")
    np.savez(here / "x.npz", x=np.array(["tea", ""]), z=np.array(["pot"]))
    result = edgec("run", model, "-i", "x.npz", "--text-bytes", "6", "-o", "y.npz", "--json")
    assert result.json["outputs"] == [
        {"name": "y", "dtype": "|S6", "shape": [2], "min": None, "max": None, "mean": None}
    ]
    assert read_arrays(here / "y.npz")["y"].tolist() == [b"teapot", b"pot"]
    assert "3 bytes, there is room for 2" in edgec("run", model, "-i", "x.npz", "--text-bytes", "2").err
    assert edgec("verify", model, "--text-bytes", "9").code == 0
    assert edgec("explain", model, "--text-bytes", "5000").code == 2


def test_a_precision_is_refused_where_nothing_rounds(edgec: Run, digits: Path) -> None:
    with pytest.raises(UsageError, match="target 'tvm' takes no --precision") as caught:
        choose_passes(find_goal("tvm"), precision="bf16")
    assert "--option precision=fp16" in caught.value.hint
    given = ("-t", "x86-64-v3", "--precision", "bf16")
    for words in (["bench"], ["explain"], ["verify"]):
        result = edgec(*words, digits, *given)
        assert (result.code, result.err.splitlines()[0]) == (
            2, "error: target 'x86-64-v3' has no products of bf16"
        )  # fmt: skip


@pytest.mark.parametrize("option", ["fusion", "winograd", "cascade"])
def test_an_option_of_passes_that_a_target_does_without(option: str) -> None:
    with pytest.raises(UsageError, match=f"target 'tensorrt-sm89' takes no --{option}"):
        choose_passes(find_goal("tensorrt-sm89"), **{option: "memory"})


@pytest.mark.parametrize("command", ["compile", "bench", "explain"])
def test_a_database_must_be_one(edgec: Run, digits: Path, command: str) -> None:
    Path("cut.jsonl").write_text('{"format": "edgec schedules", "version": 1, "kernels": 1}\n{"machine"')
    Path("new.jsonl").write_text('{"format": "edgec schedules", "version": 9, "kernels": 1}\n')
    missing, cut, new = (edgec(command, digits, "--database", f"{name}.jsonl") for name in ("none", "cut", "new"))
    assert (missing.code, cut.code, new.code) == (2, 3, 3)
    assert missing.err.startswith("error: there is no database 'none.jsonl'")
    assert cut.err.startswith("error: database 'cut.jsonl': line 2: the line is cut off")
    assert new.err.startswith("error: database 'new.jsonl' is of version 9, kernels 1; this is version 1, kernels 1")


def test_schedules_are_explained(edgec: Run, digits: Path) -> None:
    rows = edgec("explain", digits, "--database", "off", "--json").json["schedules"]
    assert len(rows) >= 3
    assert all(row["us"] is None and row["schedule"] for row in rows)
    one = edgec("explain", digits, "--database", "off", "--node", "Conv_0")
    assert "schedules: 0 of 2 measured" in one.out
    assert one.out.count("(by the cost model)") == 2


def test_a_size_that_random_inputs_do_not_give_needs_a_sample(edgec: Run, here: Path) -> None:
    model = save(PEAKS, here / "peaks.onnx")
    refused = edgec("compile", model, "-o", "out")
    assert refused.code == 2
    assert refused.err == (
        "error: the model runs on no random inputs: a size is 0, compiled for 1\n"
        "  at find-size(i64[]) (ONNX node 1 NonZero '')\n"
        "  hint: compile with inputs that it takes: --sample FILE.npz (in Python sample={name: array})\n"
    )
    write_arrays(here / "x.npz", {"in:x": np.float32([[0, 10, 0, 0], [0] * 4]).reshape(8), "out:y": np.int64([[1]])})
    assert "expects f32[4]" not in edgec("compile", model, "-o", "out", "--sample", "x.npz", "--json").err
    assert np.fromfile(here / "out" / "golden.bin", np.float32, 4).tolist() == [0, 10, 0, 0]
    assert edgec("bench", "out", "--seconds", "0.05").code == 0
    write_arrays(here / "y.npz", {"in:x": np.float32([0, 0, 0, 10]), "out:y": np.int64([[3]])})
    assert edgec("verify", model, "--reference", "y.npz").code == 0
    assert edgec("run", model, "-i", "y.npz", "--json").json["outputs"][0]["max"] == 3


def test_a_sample_of_open_sizes_is_the_only_one(edgec: Run, digits: Path) -> None:
    write_arrays(Path("x.npz"), {"images": np.full((3, 1, 8, 8), 0.25, np.float32)})
    timed = ("--dim", "batch=1..4", "--sample", "x.npz")
    assert edgec("compile", digits, *timed, "-o", "out").code == 0
    assert np.fromfile("out/golden.bin", np.float32, 3 * 64).tolist() == [0.25] * 3 * 64
    assert Path("out/golden.bin").stat().st_size == 4 * 3 * (64 + 10)
    write_arrays(Path("x.npz"), {"images": np.zeros((5, 1, 8, 8), np.float32)})
    refused = edgec("compile", digits, *timed, "-o", "more")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: size 'batch' is 5, compiled for 1 to 4")


def test_a_sample_must_fit(edgec: Run, here: Path) -> None:
    model = save(PEAKS, here / "peaks.onnx")
    for given, said in (
        ({"x": np.float32([10, 10, 0, 0])}, "the model does not run on its sample: a size is 2, compiled for 1"),
        ({"x": np.float32([10, 0])}, "input 'x' expects f32[4], got float32[2]"),
        ({"z": np.float32([10, 0])}, "the arrays do not match the inputs (missing: ['x']; unknown: ['z'])"),
    ):
        write_arrays(here / "x.npz", given)
        for words in (["compile", model, "-o", "out"], ["bench", model]):
            result = edgec(*words, "--sample", "x.npz")
            assert (result.code, result.err.splitlines()[0]) == (2, f"error: {said}")
    assert edgec("compile", model, "--sample", "absent.npz").err == "error: there is no file 'absent.npz'\n"


# --- of an artifact ---------------------------------------------------------------------------------------------------


def test_an_artifact_follows_no_option_of_a_model(edgec: Run, built: Path, examples: Path) -> None:
    data = ("--data", examples / "digits_reference.npz")
    for words, named in (
        (["run", built, "-i", examples / "digits_reference.npz", "--dim", "batch=3"], "--dim goes"),
        (["evaluate", built, *data, "--precision", "bf16", "--quantize", "int8"], "--precision, --quantize go"),
        (["bench", built, "--target", "c", "--fusion", "none", "--database", "x"], "--target, --fusion, --database go"),
    ):
        result = edgec(*words)
        assert result.code == 2
        assert result.err == f"error: an artifact is compiled already\n  hint: {named} with a model\n"


def test_an_artifact_is_timed(edgec: Run, built: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    result = edgec("bench", built, "--seconds", "0.05", "--threads", "2", "--plot", "a.svg")
    assert (result.code, result.err) == (0, "")
    assert "2 threads take turns on 1 processors" in result.out
    assert "digits: milliseconds" in Path("a.svg").read_text(encoding="utf-8")


def test_other_engines_need_the_file_of_the_model(edgec: Run, built: Path, digits: Path) -> None:
    against = ("--against", "onnxruntime", "--seconds", "0.05")
    result = edgec("bench", built, *against)
    assert result.code == 2
    assert result.err == (
        "error: --against runs the model's file, which an artifact does not hold\n"
        "  hint: name it with --model FILE.onnx, or bench the model itself\n"
    )
    assert "there is no file 'absent.onnx'" in edgec("bench", built, *against, "--model", "absent.onnx").err
    pytest.importorskip("onnxruntime")
    rows = edgec("bench", built, *against, "--model", digits, "--json").json
    assert [row["runs"] > 0 for row in rows.values()] == [True, True]


def test_a_cut_off_sample_is_3(edgec: Run, built: Path, here: Path) -> None:
    shutil.copytree(built, here / "copy")
    (here / "copy" / "golden.bin").write_bytes(b"1234")
    result = edgec("bench", "copy")
    assert result.code == 3
    assert result.err.startswith("error: golden.bin ends before the inputs do\n  at copy")


@pytest.mark.parametrize("threads", [0, -3, 1025, 1.5])
def test_a_number_of_threads_must_be_one(built: Path, threads: int) -> None:
    with pytest.raises(UsageError, match=f"cannot run on {threads} threads") as caught:
        load(built, threads)
    assert caught.value.hint == "ask for 1 to 1024"

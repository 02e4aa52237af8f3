"""Errors: three lines on stderr or JSON on stdout, an exit status by kind, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edgec.cli.knobs
from edgec.errors import BudgetError, ToolchainError, Unsupported, UnsupportedNode

from .conftest import Run, tree


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nonsense"], "error: no such command 'nonsense'"),
        (["compile"], "error: missing argument 'model'"),
        (["compile", "x.onnx", "--nonsense"], "error: no such option: --nonsense"),
        (["compile", "absent.onnx"], "error: there is no file 'absent.onnx'"),
        (["compile", "a\nb.onnx"], "error: there is no file 'a\\nb.onnx'"),
        (["compile", "x.onnx", "--target", "z80"], "error: unknown target 'z80'; known: host, "),
        (["compile", "x.onnx", "--device", "abacus"], "error: unknown device 'abacus'; known: "),
        (["compile", "x.onnx", "--shape", "1,3"], "error: --shape '1,3' has no name"),
        (["compile", "x.onnx", "--shape", "x=1,a"], "error: --shape: 'a' is not a size"),
        (["compile", "x.onnx", "--dim", "n=-1"], "error: --dim: '-1' is not a size"),
        (["compile", "x.onnx", "--alias", "a"], "error: --alias 'a' has no name"),
        (["compile", "x.onnx", "--alias", "a=b", "--alias", "a=c"], "error: --alias names input 'a' twice"),
        (["compile", "x.onnx", "--alias", "a=b", "--target", "tvm"], "error: target 'tvm' takes no --alias"),
        (["run", "x.onnx", "-i", "x.npz", "--alias", "a"], "error: there is no file 'x.npz'"),
        (["explain", "x.onnx", "--alias", "a"], "error: --alias 'a' has no name"),
        (["bench", "x.onnx", "--text-bytes", "0"], "error: invalid value for '--text-bytes'"),
        (["compile", "x.onnx", "--precision", "f8"], "error: there is no precision 'f8'"),
        (["explain", "x.onnx", "--passes", "dead-code", "--precision", "bf16"], "error: --passes leaves out 'half-pro"),
        (
            ["compile", "x.onnx", "-t", "tensorrt-sm89", "--tune", "9"],
            "error: target 'tensorrt-sm89' takes no --tune: ",
        ),
        (
            ["compile", "x.onnx", "-t", "tensorrt-sm89", "--database", "a"],
            "error: target 'tensorrt-sm89' takes no --da",
        ),
        (["compile", "x.onnx", "-t", "tensorrt-sm89", "--runner", "a"], "error: target 'tensorrt-sm89' takes no --r"),
        (["compile", "x.onnx", "-t", "tvm", "--database", "off"], "error: backend 'tvm' has no database 'off'"),
        (["explain", "x.onnx", "-t", "tvm", "--database", "a"], "error: target 'tvm' has no schedules that can be"),
        (["explain", "x.onnx", "--database", "a"], "error: there is no database 'a'"),
        (["bench", "x.onnx", "--model", "y.onnx"], "error: --model names the file that an artifact was compiled from"),
        (["bench", "x.onnx", "--against", "abacus"], "error: unknown engine 'abacus'"),
        (
            ["bench", "x.onnx", "--roofline", "--threads", "2"],
            "error: --roofline times the layers of one model on one thread",
        ),
        (["bench", "x.onnx", "--threads", "0"], "error: invalid value for '--threads'"),
        (["verify", "x.onnx", "--reference", "a", "--against", "evaluate"], "error: --reference and --against exclude"),
        (["run", "nowhere", "--input", "absent.npz"], "error: there is no file 'absent.npz'"),
        (["opt", "x.onnx", "--passes", "nonsense"], "error: there is no pass 'nonsense'"),
    ],
)
def test_wrong_usage_is_2(edgec: Run, here: Path, words: list[str], what: str) -> None:
    result = edgec(*words)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(what)
    assert "Traceback" not in result.err
    assert tree(here) == []


@pytest.mark.parametrize("content", [b"", b"just text\n", bytes(range(256)) * 4, b"\x08\x09\x3a\x10" + b"\0" * 40])
def test_a_bad_model_is_3(edgec: Run, here: Path, content: bytes) -> None:
    (here / "bad.onnx").write_bytes(content)
    for words in (["compile"], ["inspect"], ["verify"], ["opt"], ["explain", "--node", "x"]):
        result = edgec(*words, "bad.onnx")
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith("error: 'bad.onnx' is ")
    assert tree(here) == ["bad.onnx"]


def test_a_cut_off_model_is_3(edgec: Run, here: Path, examples: Path) -> None:
    content = (examples / "digits.onnx").read_bytes()
    (here / "cut.onnx").write_bytes(content[: len(content) // 2])
    assert edgec("compile", "cut.onnx").code == 3
    assert tree(here) == ["cut.onnx"]


def test_a_bad_ir_file_is_3(edgec: Run, here: Path) -> None:
    (here / "bad.ir").write_text("graph() {\n%0 = nonsense() : f32[1] return %0 }")
    result = edgec("opt", "bad.ir")
    assert result.code == 3
    assert result.err == "error: text form: there is no operator 'nonsense'\n  at line 2, column 5\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unsupported([UnsupportedNode("a", "Loop", "why")]), 4),
        (BudgetError("too large", "the arena", "a smaller model"), 5),
        (ToolchainError("no compiler", hint="install one"), 6),
    ],
)
def test_the_other_kinds(edgec: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(edgec_knobs(), "print_json", fail)
    result = edgec("knobs", "--json")
    assert result.code == code
    described = result.json["error"]
    assert described["exit_code"] == code
    assert described["kind"] == type(error).__name__
    assert set(described) >= {"what", "where", "hint"}
    if code == 4:
        assert described["nodes"][0]["op"] == "Loop"


def test_a_fault_of_our_own_is_70(edgec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of all\nthings")

    monkeypatch.setattr(edgec_knobs(), "print_table", fail)
    result = edgec("knobs")
    assert result.code == 70
    assert result.err == (
        "error: internal error: ZeroDivisionError: of all\\nthings\n  hint: EDGEC_DEBUG=1 shows where\n"
    )
    monkeypatch.setenv("EDGEC_DEBUG", "1")
    assert "Traceback" in edgec("knobs").err


def test_usage_as_json(edgec: Run, here: Path) -> None:
    assert edgec("compile", "--json").json["error"]["exit_code"] == 2
    assert edgec("verify", "absent.onnx", "--json").json["error"]["what"] == "there is no file 'absent.onnx'"


def test_a_pipe_that_nobody_reads() -> None:
    command = [sys.executable, "-m", "edgec", "passes", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141
    assert said == b""


def edgec_knobs() -> object:
    return edgec.cli.knobs

"""`compile`: what it writes, what it refuses, what it leaves behind when it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgec.backends.building
from edgec.errors import EdgecError

from .conftest import Run, tree

SOURCES = {"model.c", "model.h", "weights.bin", "weights.S", "golden.bin", "selftest.c", "selftest.h", "model_pool.c"}
SOURCES |= {"model_pool.h", "Makefile", "CMakeLists.txt", "model.ir", "report.json"}


def test_the_artifact_is_complete(built: Path) -> None:
    assert {*SOURCES, "libmodel.so", "selftest"} <= {path.name for path in built.iterdir()}
    assert list((built / "kernels").rglob("*.h"))
    assert not [name for name in tree(built) if name.endswith((".o", ".partial"))]


def test_facts_as_json(edgec: Run, digits: Path) -> None:
    result = edgec("compile", digits, "--json")
    assert result.code == 0
    assert result.err == ""
    facts = result.json
    assert facts["output"] == "build/digits-host"
    assert facts["selftest"]["status"] == "passed"
    assert facts["toolchain"]["built"] is True
    assert facts["assumed"] == ["open dimension 'batch' taken as 1"]
    assert facts["times"]["without_compiler"] <= facts["times"]["total"]
    assert facts["arena"]["bytes"] >= facts["arena"]["lower_bound"] > 0


def test_facts_as_text(edgec: Run, digits: Path) -> None:
    text = edgec("compile", digits, "-o", "out", "--no-selftest").out
    assert text.startswith("out: host (")
    assert "  input      images: f32[1,1,8,8]\n" in text
    assert "  note       open dimension 'batch' taken as 1\n" in text
    assert "  self-test  not run: it was not asked for\n" in text


def test_dimensions_and_shapes_are_fixed(edgec: Run, digits: Path) -> None:
    by_dim = edgec("compile", digits, "--dim", "batch=3", "--no-build", "--json", "-o", "a").json
    by_shape = edgec("compile", digits, "--shape", "images=3,1,8,8", "--no-build", "--json", "-o", "b").json
    assert by_dim["inputs"] == by_shape["inputs"]
    assert by_dim["inputs"][0]["shape"] == [3, 1, 8, 8]
    assert by_dim["assumed"] == []


STATE = """graph "state"(%state: f32[1,8] "state") {
  %y = relu(%state) : f32[1,8]
  return %y "next"
}
"""


def test_one_buffer_as_input_and_output(edgec: Run, here: Path) -> None:
    (here / "state.ir").write_text(STATE)
    result = edgec("verify", "state.ir", "--target", "c", "--alias", "state=next", "--json")
    assert (result.code, result.json["ok"]) == (0, True)
    assert edgec("compile", "state.ir", "-t", "c", "--alias", "state=next", "--no-build", "-o", "out").code == 0
    assert "#define MODEL_INPUT_0_OUTPUT 0\n" in (here / "out" / "model.h").read_text()
    refused = edgec("compile", "state.ir", "--alias", "state=none", "-o", "none")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: there is no output 'none' to share a buffer")


def test_without_building_the_sources_are_written(edgec: Run, digits: Path, here: Path) -> None:
    facts = edgec("compile", digits, "--no-build", "-o", "out", "--json").json
    assert facts["toolchain"] == {"built": False, "reason": "building was not asked for"}
    assert facts["selftest"]["status"] == "not run"
    assert {path.name for path in (here / "out").iterdir()} >= SOURCES
    result = edgec("run", "out", "--input", "x.npz")
    assert result.code == 2  # the file is looked at first


def test_with_no_compiler_the_sources_are_written(edgec: Run, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("edgec.toolchain.find.zig_command", lambda: ())
    facts = edgec("compile", digits, "-o", "out", "--json").json
    assert facts["toolchain"]["built"] is False
    assert "no C compiler for target 'host'" in facts["toolchain"]["reason"]
    assert edgec("compile", digits, "-o", "out", "--compiler", "gcc").code == 6


def test_an_artifact_is_replaced_and_nothing_else(edgec: Run, digits: Path, here: Path) -> None:
    options = ("--no-build", "-o", "out")
    assert edgec("compile", digits, *options).code == 0
    (here / "out" / "old").write_text("from before")
    assert edgec("compile", digits, *options).code == 0
    assert not (here / "out" / "old").exists()
    (here / "other").mkdir()
    (here / "other" / "report.json").write_text('{"mine": 1}')
    before = tree(here)
    refused = edgec("compile", digits, "--no-build", "-o", "other")
    assert (refused.code, refused.err.splitlines()) == (
        2,
        ["error: output 'other' is a folder with something else in it", "  hint: name another folder with -o"],
    )
    assert edgec("compile", digits, "--no-build", "-o", "digits.onnx").code == 2
    assert edgec("compile", digits, "--no-build", "-o", "digits.onnx/sub").code == 2
    assert tree(here) == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, EdgecError("no"), RuntimeError])
def test_a_failure_on_the_way_leaves_nothing(
    edgec: Run, digits: Path, here: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(edgec_building(), "run_selftest", fail)
    code = edgec("compile", digits, "-o", "deep/out").code
    assert code == (130 if failure is KeyboardInterrupt else 70)
    assert tree(here) == ["digits.onnx"]
    assert not (here / "deep").exists()


def test_a_failure_keeps_the_artifact_of_before(
    edgec: Run, digits: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert edgec("compile", digits, "--no-build", "-o", "out").code == 0
    before = tree(here)
    monkeypatch.setattr(edgec_building(), "run_selftest", lambda *_: {"status": "failed", "reason": "a", "worst": None})
    result = edgec("compile", digits, "-o", "out")
    assert result.code == 1
    assert result.err.startswith("error: the self-test failed: a\n")
    assert tree(here) == before
    assert edgec("compile", digits, "-o", "out", "--keep").code == 1
    assert (here / "out" / "libmodel.so").exists()


SLEEPY = """
import sys, time
import edgec.backends.building
from edgec.cli import main
edgec.backends.building.run_selftest = lambda *_: (print("now", flush=True), time.sleep(60))
sys.exit(main())
"""


def test_ending_the_process_leaves_nothing(digits: Path, here: Path) -> None:
    command = [sys.executable, "-c", SLEEPY, "compile", "digits.onnx", "-o", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert tree(here) == ["digits.onnx"]


def test_passes_fusion_dump_and_verify(edgec: Run, digits: Path, here: Path) -> None:
    options = ("--no-build", "--verify", "--fusion", "none", "--dump", "dump", "-o", "out")
    assert edgec("compile", digits, *options).code == 0
    dumped = sorted(path.name for path in (here / "dump").iterdir())
    assert dumped[0] == "00-import.ir"
    assert dumped[-1] == "99-model.c"
    unplanned = edgec("compile", digits, "--passes", "fold-constants", "--no-build", "-o", "a")
    assert unplanned.code == 2
    assert "not planned" in unplanned.err
    assert edgec("compile", digits, "--fusion", "nonsense", "-o", "a").code == 2


def test_a_plugin_brings_a_pass(edgec: Run, digits: Path, here: Path) -> None:
    (here / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom edgec.passes import register\n\n"
        "@register\n@dataclass(frozen=True)\nclass Mine:\n    name: ClassVar[str] = 'my-own-pass'\n\n"
        "    def run(self, graph):\n        print('it ran')\n        return graph\n"
    )
    result = edgec("compile", digits, "--plugin", "mine.py", "--passes", "+my-own-pass", "--no-build", "-o", "out")
    assert result.code == 0
    assert "it ran" in result.out
    assert edgec("compile", digits, "--plugin", "absent.py", "-o", "out").code == 2


def test_a_device_names_target_and_cpu(edgec: Run, digits: Path) -> None:
    facts = edgec("compile", digits, "--device", "raspberry-pi-3", "--no-build", "--json").json
    assert (facts["target"], facts["cpu"]) == ("arm-neon", "cortex-a53")
    assert facts["output"] == "build/digits-raspberry-pi-3"


def edgec_building() -> object:
    return edgec.backends.building

"""The runner of ONNX's suite: what passes, what is refused, and what happens to what dies."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgec.coverage import measure
from edgec.coverage.batch import Model, _prefixed, run_models
from edgec.coverage.disputes import DISPUTES, Dispute
from edgec.coverage.verdict import compare, error_in_ulp
from edgec.coverage.worker import Task, verdicts
from edgec.driver import lower
from edgec.errors import ToolchainError, UsageError
from edgec.ir import Graph
from edgec.ir.onnx_suite import Case, load_cases, matching
from edgec.targets import get_target
from edgec.toolchain import Compiler, find_compiler

DOUBLE = """graph "double" (%x: f32[4] "x") {
  %y = add(%x, %x) : f32[4]
  return %y "y"
}"""


@pytest.fixture
def compiler() -> Compiler:
    try:
        return find_compiler(get_target("host"))
    except ToolchainError as error:
        pytest.skip(error.what)


def model(numbers: list[float]) -> Model:
    lowered = lower(Graph.parse(DOUBLE), "host")
    return Model.of(lowered.graph, lowered.target, [[np.array(numbers, np.float32)]])


def test_model_that_finds_sizes_has_room_for_them(compiler: Compiler, tmp_path: Path) -> None:
    text = """graph "g" (%x: i64[] "x", %z: f32[2] "z") {
      %n = find-size(%x, size=1) : i64[]
      %y = add(%z, %z) : f32[2]
      return %n "n", %y "y"
    }"""
    lowered = lower(Graph.parse(text), "host")
    runs = [[np.array(n), np.ones(2, np.float32)] for n in (1, 3)]
    (found,) = run_models([Model.of(lowered.graph, lowered.target, [run]) for run in runs[:1]], compiler, tmp_path)
    assert not isinstance(found, str)
    assert found[0][1].tolist() == [2, 2]
    (refused,) = run_models([Model.of(lowered.graph, lowered.target, runs[1:])], compiler, tmp_path)
    assert refused == "the model refuses to run"


def broken(code: str) -> Model:
    """A model whose first step begins with other code."""
    sound = model([1, 2, 3, 4])
    source = sound.emitted.files["model.c"].decode()
    at = source.index("{\n", source.index("static void")) + 2
    files = {**sound.emitted.files, "model.c": f"{source[:at]}{code}\n{source[at:]}".encode()}
    return replace(sound, emitted=replace(sound.emitted, files=files))


def case(name: str) -> Case:
    (found,) = matching(load_cases("simple"), f"^{name}$")
    return found


def test_many_models_in_one_program(compiler: Compiler, tmp_path: Path) -> None:
    results = list(run_models([model([1, 2, 3, 4]), model([5, 6, 7, 8])], compiler, tmp_path))
    assert [one[0][0].tolist() for one in results if not isinstance(one, str)] == [[2, 4, 6, 8], [10, 12, 14, 16]]


def test_a_model_that_dies_dies_alone(compiler: Compiler, tmp_path: Path) -> None:
    results = list(run_models([model([1] * 4), broken("__builtin_trap();"), model([2] * 4)], compiler, tmp_path))
    assert [not isinstance(one, str) for one in results] == [True, False, True]
    assert str(results[1]) in [f"the program died (exit status {-s})" for s in (signal.SIGILL, signal.SIGTRAP)]


def test_c_that_does_not_compile_fails_alone(compiler: Compiler, tmp_path: Path) -> None:
    results = list(run_models([model([1] * 4), broken("nonsense"), model([2] * 4)], compiler, tmp_path))
    assert [not isinstance(one, str) for one in results] == [True, False, True]
    assert str(results[1]).startswith("the C does not compile: ")


def test_names_of_a_model_get_a_prefix() -> None:
    source = "static void step_1(char *p)\n{\n    step_1_x(p);\n}\nint model_run(void) { return MODEL_INPUTS; }"
    wanted = "static void a_step_1(char *p)\n{\n    step_1_x(p);\n}\nint a_model_run(void) { return a_MODEL_INPUTS; }"
    assert _prefixed(source, "a_") == wanted


@pytest.mark.parametrize("evaluate", [False, True])
def test_a_case_passes_only_with_the_right_numbers(compiler: Compiler, evaluate: bool) -> None:
    relu = case("test_single_relu_model")
    (given, (wanted,)), *_ = relu.samples
    wrong = replace(relu, name="wrong", samples=((given, [wanted + 1]),))
    typed = replace(relu, name="typed", samples=((given, [wanted.astype(np.float64)]),))
    found = list(verdicts([relu, wrong, typed], Task("simple", "host", evaluate)))
    assert [one.status for one in found] == ["passed", "wrong", "wrong"]
    assert found[1].reason.startswith("output 0: 2 of 2 elements differ, at [0, 0] ")
    assert found[2].reason == "output 0: float64[1, 2] is expected, got float32[1, 2]"
    assert found[0].ulp == 0


def test_what_is_not_supported_is_refused_by_name() -> None:
    known = case("test_gradient_of_add")
    unknown = replace(known, model=known.model.replace(b"Gradient", b"Tangents"))
    refused = next(verdicts([unknown], Task("simple", "host", True)))
    assert (refused.status, refused.operators[1]) == ("refused", ("ai.onnx.preview.training::Gradient", 1))
    assert "Tangents 'my_gradient' (opset 1) [scalar, scalar]: this operator is not known" in refused.reason


def test_processes_report_every_case() -> None:
    found = measure(["simple"], "^test_(shrink|single_relu_model|gradient_of_add)$", evaluate=True)
    assert (found.passed, found.total) == (3, 3)
    refused = replace(found.verdicts[0], status="refused", reason="why")
    facts = replace(found, verdicts=(refused, *found.verdicts[1:])).facts()
    assert (facts["passed"], facts["total"]) == (2, 3)
    assert facts["failed"] == [{"name": refused.name, "kind": "simple", "status": "refused", "reason": "why"}]


def test_wrong_use_is_named() -> None:
    with pytest.raises(UsageError, match="there is no kind 'knot' of tests"):
        load_cases("knot")
    with pytest.raises(UsageError, match=r"'\(' is no regular expression"):
        matching((), "(")


def test_errors_are_counted_in_the_last_place() -> None:
    wanted = np.array([1, 2, 1e-30], np.float32)
    assert error_in_ulp(np.nextafter(wanted, np.float32(9)), wanted, 1e-20) == 1
    assert error_in_ulp(wanted.astype(np.int32), wanted.astype(np.int32), 0) is None
    assert compare(wanted, np.array([1, np.nan, 0]), 1e-3, 1e-7).startswith("float64[3] is expected")


def test_a_disputed_case_must_give_what_the_words_give(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = case("test_single_relu_model")
    (given, (wanted,)), *_ = relu.samples
    other = replace(relu, samples=((given, [wanted + 1]),))
    right, wrong = Dispute("why", lambda x: np.maximum(x, 0)), Dispute("why", lambda x: x + 2)
    found = []
    for one, dispute in ((relu, right), (other, right), (other, wrong)):
        monkeypatch.setitem(DISPUTES, relu.name, dispute)
        found += verdicts([one], Task("simple", "host", True))
    assert [one.status for one in found] == ["passed", "disputed", "wrong"]
    assert found[1].reason == "why"
    assert found[2].reason.startswith("output 0: 2 of 2 elements differ")

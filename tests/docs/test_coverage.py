"""docs/coverage.md belongs to the installed suite, and a sample of its tests comes out as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgec.coverage.page import page
from edgec.coverage.verdict import Verdict
from edgec.coverage.worker import Task, verdicts
from edgec.errors import ToolchainError
from edgec.ir.onnx_suite import KINDS, load_cases, suite_version
from edgec.targets import get_target
from edgec.toolchain import find_compiler

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"
STEP = 60
"""How many tests of ONNX's nodes are passed over before one is run; all are run by `python -m edgec coverage`."""


@pytest.fixture(scope="module")
def text() -> str:
    found = PAGE.read_text(encoding="utf-8")
    if f"The backend tests of onnx {suite_version()}," not in found:
        pytest.skip(f"docs/coverage.md is of another version of onnx than {suite_version()}")
    return found


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip("`"): cells for cells in lines}


def test_every_test_and_operator_is_counted(text: str) -> None:
    found = rows(text)
    for kind in KINDS:
        cases = load_cases(kind)
        assert found[kind][2] == str(len(cases))
        assert all(name in found for case in cases for name, _ in case.operators)


def test_a_sample_comes_out_as_the_page_says(text: str) -> None:
    try:
        find_compiler(get_target("host"))
    except ToolchainError as error:
        pytest.skip(error.what)
    missed = set(re.findall(r"^\| `(test_\w+)`", text, re.MULTILINE))
    stale = [
        f"{one.name}: {one.status} {one.reason}"
        for one in verdicts(load_cases("node")[::STEP], Task("node", "host", False))
        if (one.status == "passed") == (one.name in missed)
    ]
    assert not stale, f"run `python -m edgec coverage`, as the page says: {stale}"


def test_the_page_of_a_few_verdicts() -> None:
    relu, conv = (("Relu", 6), ("Relu", 14)), (("Conv", 22), ("Relu", 14))
    given = [
        Verdict("test_relu", "node", "passed", "", relu, ("f32",), ("loop",), 0.0),
        Verdict("test_conv", "node", "wrong", "3 of 4 | elements", conv, ("f32",), ("conv",)),
    ]
    made = page(given, "1.0", "host", "edgec coverage")
    assert "| node | 1 | 2 |" in made
    assert "| `Relu` | 6, 14 | f32 | loop | 1 of 1 | 0 |" in made
    assert "| `Conv` | 22 |  |  | 0 of 1 |  |" in made
    assert "| `test_conv` | wrong | 3 of 4 \\| elements |" in made

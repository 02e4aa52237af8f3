"""docs/coverage.md tells what is so: the suite's version and cases, all that is refused, and a few cases run anew.

The whole suite takes minutes. So every case is imported, which tells most of what is refused, those that the page says
are refused, disputed or wrong are compiled again, and with them a part of the others that is chosen by their names.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgec.coverage.disputes import DISPUTES
from edgec.coverage.page import _short
from edgec.coverage.verdict import DISPUTED, PASSED, REFUSED, Verdict
from edgec.coverage.worker import Task, verdicts
from edgec.driver import import_model
from edgec.errors import EdgecError
from edgec.ir.onnx_suite import KINDS, Case, given_shapes, load_cases, suite_version

PAGE = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text(encoding="utf-8")
STALE = "docs/coverage.md is stale; it names the command that writes it"
ONE_IN = 128
"""The part of the cases that is run anew."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table behind a line that begins with some words."""
    lines = PAGE[PAGE.index(f"\n| {heading} ") :].splitlines()[3:]
    table = lines[: next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [re.split(r"(?<!\\) \| ", line[2:-2]) for line in table]


MISSED = {name.strip("`"): (status, reason) for name, status, reason in rows("test | outcome")}
OPERATORS = {row[0].strip("`"): (set(row[2].split(", ")), set(row[3].split(", "))) for row in rows("operator")}


def cases() -> Iterator[Case]:
    for kind in KINDS:
        yield from load_cases(kind)


def is_chosen(case: Case) -> bool:
    return hashlib.sha256(case.name.encode()).digest()[0] % ONE_IN == 0 or case.name in MISSED


def said(verdict: Verdict) -> tuple[str, str]:
    return verdict.status, _short(verdict.reason)


@pytest.mark.slow
def test_it_is_not_stale() -> None:
    check_suite()
    check_imports()
    for kind in KINDS:
        check_cases(kind)


def check_suite() -> None:
    """The version and the numbers of cases, and that what the page names is there."""
    assert f"The backend tests of onnx {suite_version()}," in PAGE, STALE
    found = {kind: (int(passed), int(of)) for kind, passed, of in rows("kind")}
    missed = {kind: sum(case.name in MISSED for case in load_cases(kind)) for kind in KINDS}
    assert found == {kind: (len(load_cases(kind)) - missed[kind], len(load_cases(kind))) for kind in KINDS}, STALE
    assert {case.name for case in cases()} >= MISSED.keys(), STALE
    assert {name for name, (status, _) in MISSED.items() if status == DISPUTED} == DISPUTES.keys(), STALE
    assert {name for case in cases() for name, _ in case.operators} == OPERATORS.keys(), STALE


def check_imports() -> None:
    """That what the page does not call refused can be imported."""
    refused = {name for name, (status, _) in MISSED.items() if status == REFUSED}
    for case in cases():
        if case.name in refused:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import_model(case.model, given_shapes(case))
            except EdgecError as error:
                pytest.fail(f"{case.name}: {error.what}; {STALE}")


def check_cases(kind: str) -> None:
    """That the chosen cases end as the page says, with the types and kernels of their operator."""
    chosen = [case for case in load_cases(kind) if is_chosen(case)]
    for verdict in verdicts(chosen, Task(kind, "host", False)):
        if verdict.status != PASSED:
            assert said(verdict) == MISSED.get(verdict.name), STALE
            continue
        assert verdict.name not in MISSED, STALE
        names = {name for name, _ in verdict.operators}
        for name in names if len(names) == 1 else ():
            types, kernels = OPERATORS[name]
            assert types >= set(verdict.types), STALE
            assert kernels >= set(verdict.kernels), STALE

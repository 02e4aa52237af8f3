"""A search for a few seconds: its database is kept, and used again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec import driver
from edgec.backends.tvm.tuning import FILES
from edgec.errors import UsageError

from .networks import CLASSIFIER, network


@pytest.mark.slow
@pytest.mark.long
def test_a_database_is_made_kept_and_used_again(tmp_path: Path) -> None:
    graph, inputs = network(CLASSIFIER)
    said: list[str] = []
    first = driver.compile(
        graph, "tvm", output=tmp_path / "out", tune=6.0, options={"vm": "off"},
        progress=lambda step, number, total: said.append(step),
    )  # fmt: skip
    assert first.report["selftest"]["status"] == "passed"
    assert any("the best of the search against our own schedules" in step for step in said)
    tuning = first.report["tuning"]
    assert tuning["candidates"] >= len(tuning["functions"]) > 3
    kept = {name: (first.folder / "tuning" / name).read_bytes() for name in FILES}

    again = driver.compile(graph, "tvm", output=tmp_path / "out", options={"vm": "off"})
    assert again.report["tuning"]["candidates"] == 0
    assert again.report["tuning"]["functions"] == tuning["functions"]
    assert {name: (again.folder / "tuning" / name).read_bytes() for name in FILES} == kept

    other = driver.compile(graph, "tvm", options={"vm": "off", "database": str(again.folder / "tuning")})
    assert other.report["tuning"]["functions"] == tuning["functions"]
    for artifact in (again, other):
        for got, wanted in zip(artifact._run(inputs), graph.evaluate(inputs), strict=True):
            assert abs(got - wanted).max() < 1e-4


def test_a_search_needs_the_machine(tmp_path: Path) -> None:
    graph, _ = network(CLASSIFIER)
    with pytest.raises(UsageError, match="a search measures on this machine"):
        driver.compile(graph, "tvm-arm-neon", tune=1.0, output=tmp_path / "out")
    with pytest.raises(UsageError, match="names no folder with a database"):
        driver.compile(graph, "tvm", output=tmp_path / "out", options={"database": str(tmp_path)})
    assert not (tmp_path / "out").exists()

"""What bench/compare.py makes of its measurements."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_report", BENCH / "compare_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def times(network: str, **milliseconds: float | None) -> dict[str, Any]:
    engines = {name: {"error": "no"} if ms is None else {"min_ms": ms} for name, ms in milliseconds.items()}
    return {"network": network, "target": "host", "threads": 2, "engines": engines}


FOUND = [times("a", edgec=1.0, ort=4.0, mnn=8.0), times("b", edgec=2.0, ort=None, mnn=2.0)]


def test_the_table_compares_with_the_best_other_engine(report: ModuleType) -> None:
    assert report.table(FOUND).splitlines() == [
        "| network | edgec | ort | mnn | best other / edgec |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| a | 1.000 | 4.000 | 8.000 | 4.00 |",
        "| b | 2.000 | - | 2.000 | 1.00 |",
        "| geometric mean | | | | 2.00 |",
    ]
    assert report.line(FOUND[0]) == "a host x2: edgec 1.000, ort 4.000, mnn 8.000: 4.00"


def test_a_network_without_times_counts_for_nothing(report: ModuleType) -> None:
    broken = times("c", edgec=None, ort=1.0)
    assert math.isnan(report.ratio(broken))
    assert report.mean([*FOUND, broken]) == pytest.approx(2.0)
    assert math.isnan(report.mean([broken]))


def test_the_table_takes_its_place_in_a_page(report: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- measured: host-2 -->\nold\n<!-- end measured -->\nrest\n", encoding="utf-8")
    report.put(page, "host-2", "new")
    assert page.read_text(encoding="utf-8") == "# A\n<!-- measured: host-2 -->\n\nnew\n\n<!-- end measured -->\nrest\n"
    with pytest.raises(SystemExit, match="has no part"):
        report.put(page, "host-4", "new")


def test_the_picture_has_a_bar_for_each_network(report: ModuleType, tmp_path: Path) -> None:
    report.draw(tmp_path / "picture.svg", [times("a<b", edgec=1.0, ort=2.5), times("c", edgec=2.0, ort=1.0)])
    drawn = (tmp_path / "picture.svg").read_text(encoding="utf-8")
    assert drawn.count("<rect") == 3
    assert "a&lt;b" in drawn
    assert "2.50" in drawn

"""Sensitivities, the search for mixed precision, and metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgec.errors import BudgetError, ModelError, UsageError
from edgec.quantization import Config, Evaluation, find_metric, prepare, quantize, search, sensitivities

from .networks import images, labelled, residual_network


def evaluation(metric: str = "top1") -> Evaluation:
    graph = residual_network()
    return Evaluation.of(graph, labelled(graph, 80), metric)


def test_sensitivities_name_each_layer() -> None:
    judge = evaluation()
    found = sensitivities(prepare(judge.graph, Config("ternary"), images(judge.graph, 30)), judge)
    assert [s.kind for s in found] == ["conv", "depthwise", "conv", "matmul"]
    assert all(s.without is not None and np.isfinite([s.alone.sqnr, s.without.sqnr]).all() for s in found)


def test_search_ends_within_the_bound_and_its_file_makes_the_same_graph() -> None:
    judge = evaluation()
    data = images(judge.graph, 30)
    start = Config("ternary", layers={"conv*": {"scheme": "ternary"}})
    assert judge.score(quantize(judge.graph, start, data).graph).metric < 0.9
    found = search(judge.graph, start, data, judge, 0.1)
    assert judge.float_metric - judge.score(found.graph).metric <= 0.1
    assert 0 < found.config.text().count('"float"') < 4
    again = quantize(judge.graph, Config.parse(found.config.text()), data)
    assert str(again.graph) == str(found.graph)


def test_search_says_when_it_cannot() -> None:
    graph = residual_network()
    judge = Evaluation.of(graph, labelled(graph, 30), lambda outputs, labels: float(np.abs(outputs).sum() == TOTAL))
    global TOTAL
    TOTAL = np.abs(judge.reference[0]).sum()
    with pytest.raises(BudgetError, match="is allowed"):
        search(graph, "int8", images(graph, 20), judge, 0.0)


TOTAL = np.float32(0)


def test_bound_needs_a_metric_and_a_metric_labels() -> None:
    graph = residual_network()
    with pytest.raises(UsageError, match="metric"):
        search(graph, "int8", images(graph, 5), Evaluation.of(graph, images(graph, 5)), 0.01)
    with pytest.raises(ModelError, match="labels"):
        Evaluation.of(graph, images(graph, 5), "top1")


def test_metric_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def least(outputs, labels):\n    return (outputs.argmin(1) == labels).mean()\n", encoding="utf-8")
    assert find_metric(f"{path}:least")(np.float32([[1, 2]]), np.array([0])) == 1
    for wrong in (f"{path}:most", f"{tmp_path}/none.py:least", "top2"):
        with pytest.raises(UsageError):
            find_metric(wrong)

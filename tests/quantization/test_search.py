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


def test_the_judge_has_the_last_word() -> None:
    """Where the swift evaluation sees no loss, layers go back to float until the exact one is content."""
    judge = evaluation()
    reference = judge.reference[0]

    def closeness(outputs: np.ndarray, labels: np.ndarray) -> float:
        return float(1 - np.abs(outputs - reference).mean() / np.abs(reference).mean())

    swift = Evaluation.of(judge.graph, labelled(judge.graph, 80), lambda outputs, labels: 1.0)
    exact = Evaluation.of(judge.graph, labelled(judge.graph, 80), closeness)
    start = Config("ternary", layers={"conv*": {"scheme": "ternary"}})
    told: list[str] = []
    found = search(
        judge.graph, start, images(judge.graph, 30), swift, 0.2, lambda what, *_: told.append(what), exact
    )  # fmt: skip
    assert exact.score(found.graph).metric >= 0.8
    assert '"float"' in found.config.text()
    assert told.count("the result, in compiled code") <= 4


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


def test_metrics_by_name() -> None:
    scores = np.eye(7, dtype=np.float32)[[0, 1, 2]]
    assert find_metric("top1")(scores, np.array([0, 1, 3])) == pytest.approx(2 / 3)
    assert find_metric("top5")(scores, np.array([0, 1, 3])) == 1
    assert find_metric("top5")(scores, np.array([0, 1, 6])) == pytest.approx(2 / 3)


def test_ctc_reads_sequences_greedily() -> None:
    steps = np.array([[0, 0, 3, 0, 1], [2, 3, 3, 2, 2]])  # 3 is the blank
    scores = np.eye(4, dtype=np.float32)[steps].transpose(0, 2, 1)
    assert find_metric("ctc")(scores, np.array([[0, 0, 1], [2, 2, -1]])) == 1
    assert find_metric("ctc")(scores, np.array([[0, 0, 1], [2, -1, -1]])) == 0.5


def test_top1_refuses_sequences_of_labels() -> None:
    with pytest.raises(ValueError, match="ctc reads sequences"):
        find_metric("top1")(np.zeros((2, 4), np.float32), np.zeros((2, 3), np.int64))

"""Pruning as a step of a compilation: what was asked for, the pass that does it, what the report says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from .errors import UsageError
from .ir import Graph
from .probing import native, probe
from .pruning import Config, Pruned, prune, read_config, search
from .quantization.data import Source
from .quantization.evaluation import Evaluation, Score
from .quantization.metrics import Metric, find_metric

PRUNING_NAME = "pruning.toml"
SQNR_SAMPLES = 64
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PruneRequest:
    """What to prune to and with which data; `max_accuracy_drop` is the bound of the search."""

    config: Config
    calibration: Source | None = None
    evaluation: Source | None = None
    metric: str | Metric = "top1"
    max_accuracy_drop: float | None = None


def prune_request(
    prune: str | Path | float | Config | None = None,
    calibration: Source | None = None,
    evaluation: Source | None = None,
    metric: str | Metric = "top1",
    max_accuracy_drop: float | None = None,
) -> PruneRequest | None:
    """The request that arguments make, None where nothing is to be pruned; UsageError where one lacks another."""
    if prune is None:
        return None
    config = read_config(prune)
    if max_accuracy_drop is not None and evaluation is None:
        hint = "give --evaluation FILE.npz, which adds an array 'labels'"
        raise UsageError("a bound on the loss of accuracy needs data to measure it on", hint=hint)
    if max_accuracy_drop is not None and not 0 <= max_accuracy_drop < float("inf"):
        raise UsageError(f"the accuracy cannot drop by {max_accuracy_drop:g}", hint="0.005 or 0.5% is half a point")
    find_metric(metric)
    return PruneRequest(config, calibration, evaluation, metric, max_accuracy_drop)


@dataclass(frozen=True)
class Prune:
    """Turn a canonical float graph into a pruned one; `outcome` holds what came of it."""

    name: ClassVar[str] = "prune"
    throughout: ClassVar[bool] = False
    request: PruneRequest
    outcome: list[Pruned] = field(default_factory=list)

    def run(self, graph: Graph) -> Graph:
        """The pruned graph."""
        made = pruned(graph, self.request)
        self.outcome.append(made)
        return made.graph.copy()

    @property
    def result(self) -> Pruned | None:
        """What came of it, once it ran."""
        return self.outcome[-1] if self.outcome else None

    @property
    def drop(self) -> float:
        """How far the metric fell; 0 where it was not measured."""
        return float(self.outcome[-1].report["accuracy"]["drop"]) if "accuracy" in self.outcome[-1].report else 0.0


def pruned(graph: Graph, wanted: PruneRequest, progress: Progress | None = None) -> Pruned:
    """Prune a canonical graph as asked; the report has `accuracy` with evaluation data, `sqnr` with data of any kind.

    `progress` is told each layer that the search tries.
    """
    if wanted.evaluation is None:
        made = prune(graph, wanted.config, wanted.calibration, executor=probe)
        if wanted.calibration is None:
            return made
        noise = Evaluation.of(graph, wanted.calibration, None, probe, SQNR_SAMPLES).score(made.graph).sqnr
        return replace(made, report={**made.report, "sqnr": noise if noise != float("inf") else None})
    judge = Evaluation.of(graph, wanted.evaluation, wanted.metric, native)
    made = _bounded(graph, wanted, judge, progress)
    found = judge.score(made.graph)
    report = {**made.report, "sqnr": _finite(found.sqnr), "accuracy": _accuracy(judge, found, wanted.metric)}
    report["trials"] = [{**trial, "sqnr": _finite(trial["sqnr"])} for trial in made.report.get("trials", [])]
    return replace(made, report=report)


def _bounded(graph: Graph, wanted: PruneRequest, judge: Evaluation, progress: Progress | None) -> Pruned:
    if wanted.max_accuracy_drop is None:
        return prune(graph, wanted.config, wanted.calibration, executor=probe)
    bound, swift = wanted.max_accuracy_drop, replace(judge, executor=probe)
    made = search(graph, wanted.config, wanted.calibration, swift, bound, progress)
    if _accuracy(judge, judge.score(made.graph), wanted.metric)["drop"] <= bound:
        return made
    # Numpy and compiled code may round a sample differently: where that decides, only compiled code counts.
    return search(graph, wanted.config, wanted.calibration, judge, bound, progress)


def _accuracy(judge: Evaluation, found: Score, metric: str | Metric) -> dict[str, Any]:
    assert judge.float_metric is not None
    assert found.metric is not None
    name = Path(metric).name if isinstance(metric, str) else getattr(metric, "__name__", "metric")
    facts = {"metric": name, "samples": len(judge.reference[0]), "float": judge.float_metric}
    return {**facts, "pruned": found.metric, "drop": judge.float_metric - found.metric}


def _finite(number: float) -> float | None:
    return number if abs(number) < float("inf") else None

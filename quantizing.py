"""Quantization as a step of a compilation: what was asked for, the pass that does it, what the report says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import UsageError
from .ir import Graph
from .passes import Pass
from .passes.integerize import Integerize
from .probing import canonical_place, native, probe
from .quantization.config import Config, read_config
from .quantization.data import Data, Source, open_data
from .quantization.evaluation import Evaluation, Score
from .quantization.metrics import Metric, find_metric
from .quantization.quantize import Quantized, quantize
from .quantization.search import Progress, search

Array = np.ndarray
CONFIG_NAME = "quantization.toml"
SQNR_SAMPLES = 64


@dataclass(frozen=True)
class Request:
    """What to quantize to and with which data; `max_accuracy_drop` is the bound of the mixed-precision search."""

    config: Config
    calibration: Source
    evaluation: Source | None = None
    metric: str | Metric = "top1"
    max_accuracy_drop: float | None = None


def request(
    quantize: str | Path | Config | None = None,
    calibration: Source | None = None,
    evaluation: Source | None = None,
    metric: str | Metric = "top1",
    max_accuracy_drop: float | None = None,
) -> Request | None:
    """The request that arguments make, None where nothing is to be quantized; UsageError where one lacks another."""
    if quantize is None:
        given = {"calibration": calibration, "evaluation": evaluation, "max_accuracy_drop": max_accuracy_drop}
        _refuse([name for name, value in given.items() if value is not None])
        return None
    config = read_config(quantize)
    if calibration is None:
        hint = "give --calibration FILE.npz: one array for each input, first axis = samples"
        raise UsageError("quantization needs calibration data", hint=hint)
    if max_accuracy_drop is not None:
        _check_bound(max_accuracy_drop, evaluation)
    find_metric(metric)
    return Request(config, calibration, evaluation, metric, max_accuracy_drop)


def _refuse(unused: Sequence[str]) -> None:
    if unused:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise UsageError(f"{options} without a scheme to quantize to", hint="add --quantize int8")


def _check_bound(bound: float, evaluation: Source | None) -> None:
    if evaluation is None:
        hint = "give --evaluation FILE.npz, which adds an array 'labels'"
        raise UsageError("a bound on the loss of accuracy needs data to measure it on", hint=hint)
    if not 0 <= bound < float("inf"):
        raise UsageError(f"the accuracy cannot drop by {bound:g}", hint="0.005 or 0.5% is half a point")


@dataclass(frozen=True)
class Quantize:
    """Turn a canonical float graph into a quantized one; `outcome` holds what came of it."""

    name: ClassVar[str] = "quantize"
    request: Request
    outcome: list[Quantized] = field(default_factory=list)

    def run(self, graph: Graph) -> Graph:
        """The quantized graph."""
        made = quantized(graph, self.request)
        self.outcome.append(made)
        return made.graph.copy()


@dataclass(frozen=True)
class KeepingIntegerize(Integerize):
    """Integerize that keeps a copy of what it made: the arithmetic that every target follows to the bit."""

    kept: list[Graph] = field(default_factory=list)

    def run(self, graph: Graph) -> Graph:
        """The same as without keeping."""
        made = super().run(graph)
        if any(op.name in ("quantize", "dequantize") or op.name.endswith("-integer") for op in made):
            self.kept.append(made.copy())
        return made


@dataclass
class Plan:
    """Passes with quantization among them, and after they ran, what it came to."""

    passes: list[Pass]
    step: Quantize | None
    keeper: KeepingIntegerize | None

    @staticmethod
    def of(passes: Sequence[Pass], wanted: Request | None) -> Plan:
        """Put quantization behind the clean-up; UsageError where the passes do not get there."""
        keeper = KeepingIntegerize()
        made = [keeper if type(each) is Integerize else each for each in passes]
        step = None if wanted is None else Quantize(wanted)
        if step is not None:
            made.insert(len(clean_up(passes)), step)
        return Plan(made, step, keeper if keeper in made else None)

    @property
    def quantized(self) -> Quantized | None:
        """What quantization gave, if it was asked for and ran."""
        return self.step.outcome[-1] if self.step is not None and self.step.outcome else None

    def reference(self, imported: Graph) -> Graph:
        """The graph that says what the artifact computes: of integers if there are any, or else as imported."""
        if self.keeper is not None and self.keeper.kept:
            return self.keeper.kept[-1]
        return imported if self.quantized is None else self.quantized.graph

    def sample(self, graph: Graph) -> dict[str, Array] | None:
        """The first calibration sample by input name; None without quantization."""
        if self.step is None:
            return None
        data = calibration_data(graph, self.step.request.calibration)
        return dict(zip(data.inputs, next(iter(data)), strict=True))


def clean_up(passes: Sequence[Pass]) -> list[Pass]:
    """The passes that make a graph canonical; UsageError where none says so."""
    place = canonical_place(passes)
    if not place:
        hint = "keep set-stage{to=canonical} in the list of passes"
        raise UsageError("quantization needs passes that make the graph canonical", hint=hint)
    return list(passes[:place])


def calibration_data(graph: Graph, source: Source | Data) -> Data:
    """Data for the inputs of a graph."""
    return open_data(source, {v.name: v.type for v in graph.inputs})


# --- quantizing and measuring -----------------------------------------------------------------------------------------


def quantized(graph: Graph, wanted: Request, progress: Progress | None = None) -> Quantized:
    """Quantize a canonical graph as asked; the report has `sqnr` and, with evaluation data, `accuracy`.

    `progress` is told each layer that the search tries.
    """
    calibration = calibration_data(graph, wanted.calibration)
    if wanted.evaluation is None:
        made = quantize(graph, wanted.config, calibration, executor=probe)
        noise = Evaluation.of(graph, calibration, None, probe, SQNR_SAMPLES).score(made.graph).sqnr
        return Quantized(made.graph, made.config, finite({**made.report, "sqnr": noise}))
    judge = Evaluation.of(graph, wanted.evaluation, wanted.metric, native)
    made = _quantized(graph, wanted, calibration, judge, progress)
    found = judge.score(made.graph)
    report = {**made.report, "sqnr": found.sqnr, "accuracy": _accuracy(judge, found, wanted.metric)}
    return Quantized(made.graph, made.config, finite(report))


def _quantized(
    graph: Graph, wanted: Request, calibration: Data, judge: Evaluation, progress: Progress | None
) -> Quantized:
    if wanted.max_accuracy_drop is None:
        return quantize(graph, wanted.config, calibration, executor=probe)
    swift = replace(judge, executor=probe)
    made = search(graph, wanted.config, calibration, swift, wanted.max_accuracy_drop, progress)
    if _drop(judge, judge.score(made.graph)) <= wanted.max_accuracy_drop:
        return made
    # Numpy and compiled code may round a sample differently: where that decides, only compiled code counts.
    return search(graph, wanted.config, calibration, judge, wanted.max_accuracy_drop, progress)


def _accuracy(judge: Evaluation, found: Score, metric: str | Metric) -> dict[str, Any]:
    facts = {"metric": metric_name(metric), "samples": len(judge.reference[0])}
    return {**facts, "float": judge.float_metric, "quantized": found.metric, "drop": _drop(judge, found)}


def _drop(judge: Evaluation, found: Score) -> float:
    assert judge.float_metric is not None
    assert found.metric is not None
    return judge.float_metric - found.metric


def metric_name(metric: str | Metric) -> str:
    """What to call a metric: its name, without the folder of the file it stands in."""
    return Path(metric).name if isinstance(metric, str) else getattr(metric, "__name__", "metric")


def finite(value: Any) -> Any:
    """The same with None for numbers that are not finite, as a report can hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value

"""Quantization as a step of a compilation: what was asked for, the pass that does it, what the report says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from .errors import UsageError
from .ir import Graph
from .passes import Pass
from .passes.integerize import Integerize
from .passes.manager import run_throughout
from .passes.symmetric import SymmetricScales
from .passes.veto import slower_in_integers
from .probing import canonical_place, native, probe
from .prune_step import Prune, PruneRequest
from .pruning import Pruned
from .quantization.config import Config, read_config
from .quantization.data import Data, Source, open_data
from .quantization.evaluation import Evaluation, Score
from .quantization.layers import find_layers
from .quantization.metrics import Metric, find_metric
from .quantization.quantize import Quantized, quantize
from .quantization.search import Progress, search
from .targets import Target

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
    veto: bool | None = None,
) -> Request | None:
    """The request that arguments make, None where nothing is to be quantized; UsageError where one lacks another.

    `veto` goes before what the configuration says of it.
    """
    if quantize is None:
        given = {"calibration": calibration, "evaluation": evaluation, "max_accuracy_drop": max_accuracy_drop}
        given |= {"veto": veto}
        _refuse([name for name, value in given.items() if value is not None])
        return None
    config = read_config(quantize)
    config = config if veto is None else replace(config, veto=veto)
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
    """Turn a canonical float graph into a quantized one; `outcome` holds what came of it.

    Where it is known for which `target`, layers that integers would make slower there stay in float.
    """

    name: ClassVar[str] = "quantize"
    throughout: ClassVar[bool] = False
    request: Request
    outcome: list[Quantized] = field(default_factory=list)
    before: Prune | None = None
    target: Target | None = None
    progress: Progress | None = None

    def run(self, graph: Graph) -> Graph:
        """The quantized graph; of the bound on the loss of accuracy it may use what pruning left."""
        wanted = self.request
        if self.before is not None and wanted.max_accuracy_drop is not None:
            wanted = replace(wanted, max_accuracy_drop=max(0.0, wanted.max_accuracy_drop - self.before.drop))
        wanted, vetoed = vetoed_layers(graph, wanted, self.target)
        made = quantized(graph, wanted, self.progress)
        if self.target is not None:
            made = replace(made, report={**made.report, "veto": vetoed})
        self.outcome.append(made)
        result = made.graph.copy()
        for op in result:
            if op.bodies and op.macs():
                result.note(self.name, f"float: layers inside of {op.name} are not quantized", op)
        return result


@dataclass(frozen=True)
class Keeping:
    """A pass that decides the integer arithmetic, and a copy of what it made: what the artifact must compute."""

    throughout: ClassVar[bool] = False
    inner: Pass
    kept: list[Graph] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    def run(self, graph: Graph) -> Graph:
        """The same as without keeping."""
        made = run_throughout(self.inner, graph)
        if any(op.name in ("quantize", "dequantize") or op.name.endswith("-integer") for op in made.every_op):
            self.kept.append(made.copy())
        return made


def _keeping(each: Pass) -> Pass:
    return cast(Pass, Keeping(each)) if isinstance(each, Integerize | SymmetricScales) else each


@dataclass
class Plan:
    """Passes with quantization among them, and after they ran, what it came to."""

    passes: list[Pass]
    step: Quantize | None
    keeper: Keeping | None
    prune: Prune | None = None

    @staticmethod
    def of(
        passes: Sequence[Pass],
        wanted: Request | None,
        pruning: PruneRequest | None = None,
        target: Target | None = None,
        progress: Progress | None = None,
    ) -> Plan:
        """Put pruning and then quantization behind the clean-up; UsageError where the passes do not get there.

        `target` is the one whose kernels' costs quantization heeds; `progress` is told what its search tries.
        """
        made = list(map(_keeping, passes))
        keeper = next((each for each in made if isinstance(each, Keeping)), None)
        prune = None if pruning is None else Prune(pruning)
        step = None if wanted is None else Quantize(wanted, before=prune, target=target, progress=progress)
        steps = [each for each in (prune, step) if each is not None]
        if steps:
            place = len(clean_up(passes))
            made[place:place] = steps
        return Plan(made, step, keeper, prune)

    @property
    def quantized(self) -> Quantized | None:
        """What quantization gave, if it was asked for and ran."""
        return self.step.outcome[-1] if self.step is not None and self.step.outcome else None

    @property
    def pruned(self) -> Pruned | None:
        """What pruning gave, if it was asked for and ran."""
        return None if self.prune is None else self.prune.result

    def reference(self, imported: Graph) -> Graph:
        """The graph that says what the artifact computes: of integers if there are any, pruned, or as imported."""
        if self.keeper is not None and self.keeper.kept:
            return self.keeper.kept[-1]
        done = self.quantized or self.pruned
        return imported if done is None else done.graph

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


# --- what is faster in float ------------------------------------------------------------------------------------------


def vetoed_layers(graph: Graph, wanted: Request, target: Target | None) -> tuple[Request, list[dict[str, str]]]:
    """The request with layers in float that 8-bit integers would make slower on the target, and a row for each.

    The graph's journal says why. Layers that the configuration names stay as it says. The decision is part of the
    configuration then, so that it makes the same on every target.
    """
    if target is None or not wanted.config.veto:
        return wanted, []
    layers = {layer.name: layer.op for layer in find_layers(graph)}
    schemes, named = wanted.config.schemes(layers), wanted.config.named(layers)
    integer = {name: op for name, op in layers.items() if schemes[name].in_bytes}
    found = slower_in_integers(graph, target, integer, named & set(integer))
    for name, reason in found.items():
        graph.note("veto", f"{name}: {reason}", layers[name])
    if integer and len(found) == len(integer):
        graph.note("veto", f"no layer is faster in integers on {target.name}: --no-veto quantizes for size", None)
    config = replace(wanted.config.with_layers(dict.fromkeys(found, "float")), veto=False)
    return replace(wanted, config=config), [{"name": name, "reason": reason} for name, reason in found.items()]


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
    assert judge.float_metric is not None  # a metric that fails does so before the work begins
    made = _quantized(graph, wanted, calibration, judge, progress)
    found = judge.score(made.graph)
    report = {**made.report, "sqnr": found.sqnr, "accuracy": _accuracy(judge, found, wanted.metric)}
    return Quantized(made.graph, made.config, finite(report))


def _quantized(
    graph: Graph, wanted: Request, calibration: Data, judge: Evaluation, progress: Progress | None
) -> Quantized:
    if wanted.max_accuracy_drop is None:
        return quantize(graph, wanted.config, calibration, executor=probe)
    # Numpy and compiled code may round a sample differently: where that decides, only compiled code counts.
    swift = replace(judge, executor=probe)
    return search(graph, wanted.config, calibration, swift, wanted.max_accuracy_drop, progress, judge)


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

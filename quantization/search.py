"""Mixed precision: as few layers as possible stay in float, so that the metric falls by no more than a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ..errors import BudgetError, UsageError
from ..escaping import escape
from ..ir import Graph
from .config import Config, read_config
from .data import Data, Source
from .evaluation import Evaluation, Score
from .quantize import Quantized, prepare, report
from .sensitivity import sensitivities, worst_first
from .workbench import Workbench

RANKING = 200
"""How many samples the ranking of layers goes by; the bound is checked on all."""

REFINED = 12
"""How many of the layers that bisection left in float are tried again in integers, each a run over all samples."""

Progress = Callable[[str, int, int], None]
"""Called before each ranked layer and each trial, with what it is, its number and how many there are."""


def search(
    graph: Graph,
    config: str | Path | Config,
    data: Source | Data,
    evaluation: Evaluation,
    max_drop: float,
    progress: Progress | None = None,
    judge: Evaluation | None = None,
) -> Quantized:
    """Quantize within a bound: the metric may fall by `max_drop` (0.005: half a point of a share) below float.

    The layers that make most noise stay in float, found by bisection on their ranking; then a few of them are tried
    again in integers. What comes of it must hold before `judge` too, who may be slower and exacter than `evaluation`;
    until it does, more layers stay in float, twice as many each time. So there are at most about log2(layers) + 12
    runs over all samples, and log2(layers) before the judge. The configuration that is returned makes the same graph
    again. BudgetError where no layer can be quantized within the bound.
    """
    if evaluation.metric is None:
        raise UsageError("a bound on accuracy needs a metric", hint="for example metric='top1'")
    if not max_drop >= 0:
        raise UsageError(f"the metric may fall by at least 0, not by {max_drop}")
    chosen = read_config(config)
    bench = prepare(graph, chosen, data, evaluation.executor)
    work = _Search(bench, evaluation, judge or evaluation, max_drop, progress)
    final = work.run()
    about = report(final) | {"float": evaluation.float_metric, "trials": work.trials}
    return Quantized(final.quantized(final.schemes), final.config, about)


@dataclass
class _Search:
    bench: Workbench
    evaluation: Evaluation
    judge: Evaluation
    max_drop: float
    progress: Progress | None
    tried: dict[frozenset[str], Score] = field(default_factory=dict)

    def run(self) -> Workbench:
        """The workbench whose configuration holds the bound."""
        if self._holds(frozenset()) and self._passes(self.bench):
            return self.bench
        ranking = worst_first(sensitivities(self.bench, self.evaluation.first(RANKING), self.progress, False))
        return self._settled(self._refined(self._bisected(ranking), ranking), ranking)

    @property
    def trials(self) -> list[dict[str, object]]:
        """All that was tried."""
        return [self._trial(names, found) for names, found in self.tried.items()]

    def _settled(self, kept: frozenset[str], ranking: list[str]) -> Workbench:
        """Made anew as the configuration says: rounding depends on the layers before, so the bound is checked again."""
        more = 1
        while len(kept) < len(ranking):
            made = self.bench.with_config(self.bench.config.with_layers(dict.fromkeys(sorted(kept), "float")))
            if self._passes(made):
                return made
            kept, more = kept | set([name for name in ranking if name not in kept][:more]), 2 * more
        return self._fail(ranking)

    def _bisected(self, ranking: list[str]) -> frozenset[str]:
        """As short a beginning of the ranking as bisection finds."""
        low, high = 0, len(ranking)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(frozenset(ranking[:middle])) else (middle, high)
        if high == len(ranking):
            self._fail(ranking)
        return frozenset(ranking[:high])

    def _refined(self, kept: frozenset[str], ranking: list[str]) -> frozenset[str]:
        """Without the layers that need not be in float, the least noisy tried first."""
        for name in [n for n in reversed(ranking) if n in kept][:REFINED]:
            if self._holds(kept - {name}):
                kept = kept - {name}
        return kept

    def _holds(self, kept: frozenset[str]) -> bool:
        if kept not in self.tried:
            self._tell(f"trial with {len(kept)} layers in float", len(self.tried))
            self.tried[kept] = self.evaluation.score(self.bench.without(kept))
        return self._drop(self.tried[kept]) <= self.max_drop

    def _passes(self, made: Workbench) -> bool:
        """Whether a configuration holds before the judge."""
        self._tell("the result, in compiled code", len(self.tried))
        found = self.judge.score(made.quantized(made.schemes))
        return self._drop(found, self.judge) <= self.max_drop

    def _tell(self, what: str, number: int) -> None:
        if self.progress is not None:
            self.progress(what, number, REFINED + len(self.bench.layers).bit_length())

    def _drop(self, found: Score, evaluation: Evaluation | None = None) -> float:
        reference = (evaluation or self.evaluation).float_metric
        assert reference is not None
        assert found.metric is not None
        return reference - found.metric

    def _fail(self, ranking: list[str]) -> NoReturn:
        least = min(map(self._drop, self.tried.values()))
        hint = f"the least noisy layer is '{escape(ranking[-1])}'; allow {least:.4g} or choose a finer scheme"
        raise BudgetError(f"the metric falls by {least:.4g} at least, {self.max_drop:.4g} is allowed", hint=hint)

    def _trial(self, names: frozenset[str], found: Score) -> dict[str, object]:
        return {"float": sorted(names), "metric": found.metric, "sqnr": found.sqnr, "drop": self._drop(found)}

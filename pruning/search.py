"""As much pruning as the metric bears: for each layer the strongest scheme, together within a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import BudgetError, UsageError
from ..escaping import escape
from ..ir import Graph
from ..quantization.data import Data, Source
from ..quantization.evaluation import Evaluation, Score
from .config import Config, read_config
from .prune import Pruned, prepare, report
from .schemes import DENSE_SCHEME, Scheme
from .workbench import Workbench

RANKING = 64
"""How many samples the ranking of layers goes by; the bound is checked on all."""

RAISED = 8
"""How many single layers are tried one step stronger in the end."""

Progress = Callable[[str, int, int], None]
Choice = dict[str, Scheme]


@dataclass(frozen=True)
class Unit:
    """Layers that are pruned alike, their schemes from mild to strong and the noise that each makes alone."""

    layers: tuple[str, ...]
    ladder: tuple[Scheme, ...]
    noises: tuple[float, ...]
    weights: int

    def scheme(self, noise: float) -> Scheme:
        """The strongest scheme that makes no more noise."""
        fitting = [scheme for scheme, made in zip(self.ladder, self.noises, strict=True) if made <= noise]
        return fitting[-1] if fitting else DENSE_SCHEME


def search(
    graph: Graph,
    config: str | Path | float | Config,
    data: Source | Data | None,
    evaluation: Evaluation,
    max_drop: float,
    progress: Progress | None = None,
) -> Pruned:
    """Prune within a bound: the metric may fall by `max_drop` (0.005: half a point of a share) below that of the graph.

    The configuration gives the strongest scheme of each layer; milder ones of its kind are tried. All layers may make
    about the same noise at the network's outputs, found by bisection; then single layers are tried one step stronger.
    BudgetError where no layer can be pruned within the bound.
    """
    if evaluation.metric is None:
        raise UsageError("a bound on accuracy needs a metric", hint="for example metric='top1'")
    if not max_drop >= 0:
        raise UsageError(f"the metric may fall by at least 0, not by {max_drop}")
    bench = prepare(graph, read_config(config), data, evaluation.executor)
    work = _Search(bench, evaluation, max_drop, progress)
    choice = work.run()
    final = bench.config.with_layers({name: scheme.name for name, scheme in choice.items()})
    bench.config = final
    made = bench.pruned(choice)
    about = report(bench, made, choice) | {"float": evaluation.float_metric, "trials": work.trials}
    return Pruned(made, final, about)


@dataclass
class _Search:
    bench: Workbench
    evaluation: Evaluation
    max_drop: float
    progress: Progress | None
    tried: dict[tuple[str, ...], Score] = field(default_factory=dict)

    def run(self) -> Choice:
        """The schemes that hold the bound."""
        strongest = self.bench.schemes
        if self._holds(strongest):
            return strongest
        units = self.units()
        noises = sorted({noise for unit in units for noise in unit.noises})
        low, high = -1, len(noises)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._holds(self._choice(units, noises[middle])) else (low, middle)
        if low < 0:
            self._fail()
        return self._raised(units, self._choice(units, noises[low]))

    def units(self) -> list[Unit]:
        """Layers or families of tied ones with the noise that each of their schemes makes alone."""
        groups = list(self._groups())
        short = self.evaluation.first(RANKING)
        found = []
        for number, names in enumerate(groups):
            if self.progress is not None:
                self.progress(names[0], number, len(groups))
            ladder = self.bench.schemes[names[0]].ladder()
            strongest = self._noise(short, names, ladder[-1])
            shares = np.maximum.accumulate([self._lost(names, scheme) for scheme in ladder])
            noises = tuple(float(strongest * share / max(shares[-1], 1e-300)) for share in shares)
            weights = sum(self.bench.channels.layers[name].weights.size for name in names)
            found.append(Unit(names, tuple(ladder), noises, weights))
        return found

    def _groups(self) -> Iterator[tuple[str, ...]]:
        schemes = self.bench.schemes
        for family in self.bench.channels.families:
            if schemes[family.layers[0]].kind == "channels":
                yield family.layers
        yield from ((name,) for name in self.bench.names if schemes[name].is_sparse)

    def _noise(self, short: Evaluation, names: tuple[str, ...], scheme: Scheme) -> float:
        """Noise over signal at the outputs when only these layers are pruned."""
        choice = dict.fromkeys(self.bench.names, DENSE_SCHEME) | dict.fromkeys(names, scheme)
        return float(10 ** (-short.score(self.bench.pruned(choice, fit=False)).sqnr / 10))

    def _lost(self, names: tuple[str, ...], scheme: Scheme) -> float:
        """The importance of all weights that go, as a part of that of all of the layer."""
        choice = dict.fromkeys(self.bench.names, DENSE_SCHEME) | dict.fromkeys(names, scheme)
        lost = 0.0
        for name, mask in self.bench.kept(choice).items():
            importance = self.bench.importance(self.bench.channels.layers[name])
            lost += float(importance[~mask].sum() / max(importance.sum(), 1e-300))
        return lost

    def _choice(self, units: list[Unit], noise: float) -> Choice:
        choice = dict.fromkeys(self.bench.names, DENSE_SCHEME)
        for unit in units:
            choice |= dict.fromkeys(unit.layers, unit.scheme(noise))
        return choice

    def _raised(self, units: list[Unit], choice: Choice) -> Choice:
        """With single units one step stronger where the bound allows, those with most weights first."""
        for unit in sorted(units, key=lambda u: (-u.weights, u.layers))[:RAISED]:
            steps = [DENSE_SCHEME, *unit.ladder]
            next_step = steps.index(choice[unit.layers[0]]) + 1
            if next_step < len(steps):
                trial = choice | dict.fromkeys(unit.layers, steps[next_step])
                choice = trial if self._holds(trial) else choice
        return choice

    @property
    def trials(self) -> list[dict[str, Any]]:
        """All that was tried: schemes by layer, without the dense ones."""
        names = self.bench.names
        return [
            {
                "schemes": {name: scheme for name, scheme in zip(names, key, strict=True) if scheme != "dense"},
                "metric": found.metric, "sqnr": found.sqnr, "drop": self._drop(found),
            }
            for key, found in self.tried.items()
        ]  # fmt: skip

    def _holds(self, choice: Choice) -> bool:
        key = tuple(choice[name].name for name in self.bench.names)
        if key not in self.tried:
            self.tried[key] = self.evaluation.score(self.bench.pruned(choice))
        return self._drop(self.tried[key]) <= self.max_drop

    def _drop(self, found: Score) -> float:
        reference = self.evaluation.float_metric
        assert reference is not None
        assert found.metric is not None
        return reference - found.metric

    def _fail(self) -> NoReturn:
        least = min(map(self._drop, self.tried.values()))
        hint = f"allow {least:.4g}, or start from a milder scheme than '{escape(self.bench.config.scheme)}'"
        raise BudgetError(f"the metric falls by {least:.4g} at least, {self.max_drop:.4g} is allowed", hint=hint)

"""What each layer costs: quantized alone, and left out while all others are quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .evaluation import Evaluation, Score
from .workbench import Workbench

Progress = Callable[[str, int, int], None]
"""Called before each layer with its name, its number from 0 and how many there are."""


@dataclass(frozen=True)
class Sensitivity:
    """A layer with the score when only it is quantized, and when all but it are."""

    name: str
    kind: str
    scheme: str
    alone: Score
    without: Score | None


def sensitivities(
    bench: Workbench, evaluation: Evaluation, progress: Progress | None = None, leave_out: bool = True
) -> list[Sensitivity]:
    """The sensitivity of each layer that is quantized, in the order of the network."""
    schemes = bench.schemes
    chosen = [layer for layer in bench.layers if not schemes[layer.name].is_float]
    bench.quantized(schemes)  # one run over the data serves all layers
    found = []
    for number, layer in enumerate(chosen):
        if progress is not None:
            progress(layer.name, number, len(chosen))
        alone = evaluation.score(bench.only({layer.name}))
        without = evaluation.score(bench.without({layer.name})) if leave_out else None
        found.append(Sensitivity(layer.name, layer.kind, schemes[layer.name].name, alone, without))
    return found


def worst_first(found: Iterable[Sensitivity]) -> list[str]:
    """Names of layers, those that make most noise alone first."""
    ranked = sorted(found, key=lambda s: (s.alone.sqnr, s.name))
    return [s.name for s in ranked]

"""Checking by numbers that a graph still computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import Mismatch
from ..escaping import escape
from ..ir import Graph, TensorType
from ..ir.strings import as_numbers, words

RELATIVE, ABSOLUTE = 1e-4, 1e-5
HALF = 5e-2
"""The relative part for half precision, whose sums depend on their order in the second digit."""


def random_inputs(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Arrays for the inputs of a graph: normal floats, integers 0 and 1 (they may be indices), random bools.

    Open sizes lie between their bounds.
    """
    generator = np.random.default_rng(seed)
    sizes = {s.name: (s.low + s.high) // 2 for s in graph.chosen_sizes.values()}
    examples = graph.metadata.get("examples", {})
    drawn = [_random(value.type.at(sizes), generator) for value in graph.inputs]
    return [examples.get(value.name, array) for value, array in zip(graph.inputs, drawn, strict=True)]


def _random(kind: TensorType, generator: np.random.Generator) -> np.ndarray:
    if kind.dtype.is_text:
        return words(kind, generator)
    if kind.dtype.is_float:
        return np.asarray(generator.standard_normal(kind.shape), kind.dtype.numpy)
    return generator.integers(0, 2, kind.shape).astype(kind.dtype.numpy)


@dataclass(frozen=True)
class Difference:
    """The output that is furthest off: its position, by how much, and how much is allowed."""

    output: int
    off: float
    allowed: float


def worst_difference(expected: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> Difference | None:
    """The output furthest beyond `ABSOLUTE + RELATIVE * max|expected|`, None where all are within it."""
    found = [_difference(i, a, b) for i, (a, b) in enumerate(zip(expected, got, strict=True))]
    beyond = [d for d in found if not d.off <= d.allowed]
    return max(beyond, key=lambda d: d.off / d.allowed, default=None)


def _difference(position: int, expected: np.ndarray, got: np.ndarray) -> Difference:
    if expected.shape != got.shape or expected.dtype != got.dtype or not expected.size:
        same = expected.shape == got.shape and expected.dtype == got.dtype
        return Difference(position, 0.0 if same else np.inf, ABSOLUTE)
    a, b = (as_numbers(array).astype(np.float64) for array in (expected, got))
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return Difference(position, np.inf, ABSOLUTE)
    scale = float(np.abs(a[finite]).max(initial=0.0))
    allowed = ABSOLUTE + (HALF if expected.dtype == np.float16 else RELATIVE) * scale
    return Difference(position, float(np.abs(a[finite] - b[finite]).max(initial=0.0)), allowed)


class NumericCheck:
    """Remembers what a graph computes and compares later states of it."""

    def __init__(self, graph: Graph) -> None:
        self.inputs = random_inputs(graph)
        self.expected = graph.evaluate(self.inputs)

    def check(self, graph: Graph, after: str) -> None:
        """Raise `Mismatch` naming the pass and the worst output when the graph computes something else."""
        worst = worst_difference(self.expected, graph.evaluate(self.inputs))
        if worst is None:
            return
        name = escape(graph.output_names[worst.output])
        what = f"pass '{after}' changes what the model computes: output '{name}' is off by {worst.off:.3g}"
        hint = "dump the passes and compare the graphs around it"
        raise Mismatch(f"{what}, {worst.allowed:.3g} is allowed", hint=hint)

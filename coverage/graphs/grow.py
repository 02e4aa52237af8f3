"""Random graphs, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...ir import DType, Graph, Value
from ...ir.ops import Cast, Constant, Reshape
from ...ir.types import DTYPES
from .growth import COMMON, Growth
from .strategies import families

Array = np.ndarray
EVERYTHING = 4
"""One graph in so many has all element types and ops; the others what other runtimes have too."""
MOST_OPS = 70
SPECIAL = 10
"""One graph in so many has infinities and NaN among its numbers."""


@dataclass(frozen=True)
class Case:
    """A graph, and arrays for its inputs."""

    name: str
    graph: Graph
    inputs: list[Array]


def random_case(seed: int, refusals: Counter[str] | None = None) -> Case:
    """The random graph of a seed; `refusals` counts why ops did not come in."""
    special = seed % SPECIAL == SPECIAL - 1
    everything = not special and seed % EVERYTHING == EVERYTHING - 1
    kinds: Sequence[DType] = (*COMMON, *DTYPES.values()) if everything else COMMON
    g = Growth(seed, kinds, empty=seed % 25 == 7, everywhere=not everything, special=special)
    for _ in range(g.number(1, 3)):
        g.input(g.one(kinds), g.shape())
    wanted = g.number(4, 18)
    rows = families()
    for _ in range(8 * wanted):
        if _count(g.graph) >= wanted or len(g.graph) > MOST_OPS:
            break
        family = rows[int(g.random.choice(len(rows), p=[share for share, _ in rows]))][1]
        name = g.one(list(family))
        reason = g.attempt(lambda name=name, family=family: family[name](g))  # type: ignore[misc]
        if reason and refusals is not None:
            refusals[f"{name}: {reason}"] += 1
    _finish(g)
    return Case(f"random{seed}", g.graph, g.inputs)


def _count(graph: Graph) -> int:
    """Ops beside constants and what makes others fit."""
    return sum(not isinstance(op, Constant | Cast | Reshape) for op in graph)


def _finish(g: Growth) -> None:
    """What nobody reads becomes an output, and some values that are read, an input, a constant, the same once more."""
    made = [v for v in g.graph.values if v.producer is None or not isinstance(v.producer, Constant)]
    outputs = [v for v in made if v.producer is not None and (not v.users or g.chance(0.06))]
    extra: list[Value] = []
    if g.chance(0.1):
        extra.append(g.one(g.graph.inputs))
    if g.chance(0.1) and outputs:
        extra.append(g.one(outputs))
    constants = [op.result for op in g.graph if isinstance(op, Constant)]
    if g.chance(0.05) and constants:
        extra.append(g.one(constants))
    chosen = outputs + extra
    chosen = [chosen[int(i)] for i in g.random.permutation(len(chosen))]
    g.graph.set_outputs(chosen, [f"y{i}" for i in range(len(chosen))])

"""NaN in ops that choose: the C finds it where `evaluate` does."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import ArgReduce
from edgec.ir.types import f64

from .harness import compiled, outputs

ROWS = [
    [1, 3, np.nan, 3, 2, np.nan], [np.nan, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, np.nan], [1, 2, 2, 1, 1, 2],
    [np.inf, np.nan, -np.inf, 0, np.nan, np.inf], [-np.inf, -np.inf, np.inf, np.inf, 0, 0],
]  # fmt: skip


@pytest.mark.parametrize("target", ["c", "x86-64-v3"])
def test_the_place_of_an_extreme_is_that_of_not_a_number(target: str) -> None:
    graph = Graph("places")
    inputs = [graph.input(TensorType(kind, (6, 6)), kind.name) for kind in (f32, f64)]
    ways = [
        (x, kind, axis, last) for x in inputs for kind in ("max", "min") for axis in (0, 1) for last in (True, False)
    ]
    graph.set_outputs([graph.add(ArgReduce(x, kind, axis, False, last)) for x, kind, axis, last in ways])
    arrays = [np.array(ROWS, np.float32), np.array(ROWS)]
    with compiled(graph, target) as artifact:
        for way, got, wanted in zip(ways, outputs(artifact, arrays), graph.evaluate(arrays), strict=True):
            assert np.array_equal(got, wanted), way

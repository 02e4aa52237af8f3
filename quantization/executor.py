"""How the quantizer runs graphs: an executor turns a graph into a function on stacked samples.

The default runs numpy. Whoever has a compiler at hand passes `compiled(compile)` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir import Graph
from .rebatch import rebatched
from .simulate import simulated

Array = np.ndarray
Runner = Callable[[Sequence[Array]], list[Array]]
"""Arrays [samples, *input shape], one for each input, to arrays [samples, *output shape], one for each output."""

Executor = Callable[[Graph], Runner]
CHUNK = 32


def run_numpy(graph: Graph) -> Runner:
    """Run a graph with numpy, whole chunks at a time where the graph allows it."""
    batched: dict[int, Graph | None] = {}

    def run(arrays: Sequence[Array]) -> list[Array]:
        count = len(arrays[0]) if arrays else 1
        if count not in batched:
            batched[count] = rebatched(graph, count)
        wide = batched[count]
        if wide is None:
            return _one_by_one(graph, arrays, count)
        outputs = wide.evaluate([a.reshape(v.shape) for a, v in zip(arrays, wide.inputs, strict=True)])
        return [o.reshape(count, *v.shape) for o, v in zip(outputs, graph.outputs, strict=True)]

    return run


def _one_by_one(graph: Graph, arrays: Sequence[Array], count: int) -> list[Array]:
    rows = [graph.evaluate([a[i] for a in arrays]) for i in range(count)]
    return [np.stack(column) for column in zip(*rows, strict=True)]


def compiled(compile: Callable[[Graph], Callable[..., Any]]) -> Executor:
    """An executor that compiles each graph; `compile` gives a function of the inputs' arrays, one sample at a time.

    Quantization is simulated with float operations, so that any backend serves.
    """

    def executor(graph: Graph) -> Runner:
        function = compile(simulated(graph))

        def run(arrays: Sequence[Array]) -> list[Array]:
            rows = [_as_tuple(function(*sample)) for sample in zip(*arrays, strict=True)]
            return [np.stack(column) for column in zip(*rows, strict=True)]

        return run

    return executor


def _as_tuple(outputs: Any) -> tuple[Array, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)

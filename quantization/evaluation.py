"""How far a quantized network stands from the float one on evaluation data: a metric and the noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..ir import Graph
from .data import Data, Source, open_data
from .executor import Executor, run_numpy
from .metrics import Metric, find_metric, outputs_of, score, sqnr

Array = np.ndarray


@dataclass(frozen=True)
class Score:
    """The metric (None without one) and the signal to quantization noise of the outputs in decibels."""

    metric: float | None
    sqnr: float


@dataclass
class Evaluation:
    """A float graph, data to compare on and where wanted a metric, which needs labels; `limit` bounds the samples."""

    graph: Graph
    data: Data
    metric: Metric | None = None
    executor: Executor = run_numpy
    limit: int | None = None

    @staticmethod
    def of(
        graph: Graph,
        data: Source | Data,
        metric: str | Metric | None = None,
        executor: Executor = run_numpy,
        limit: int | None = None,
    ) -> Evaluation:
        """An evaluation of a graph on data; ModelError where a metric has no labels to go by."""
        opened = open_data(data, {v.name: v.type for v in graph.inputs})
        made = Evaluation(graph, opened, None if metric is None else find_metric(metric), executor, limit)
        if made.metric is not None:
            opened.labels()
        return made

    def first(self, limit: int) -> Evaluation:
        """The same on at most so many samples."""
        return Evaluation(self.graph, self.data, self.metric, self.executor, min(limit, self.limit or limit))

    @cached_property
    def reference(self) -> list[Array]:
        """The outputs of the float graph."""
        return outputs_of(self.graph, self.data, self.executor, self.limit)

    @cached_property
    def float_metric(self) -> float | None:
        """The metric of the float graph."""
        return self._metric(self.reference)

    def score(self, graph: Graph) -> Score:
        """The score of another graph with the same inputs and outputs."""
        outputs = outputs_of(graph, self.data, self.executor, self.limit)
        return Score(self._metric(outputs), sqnr(self.reference, outputs))

    def _metric(self, outputs: list[Array]) -> float | None:
        return None if self.metric is None else score(self.metric, outputs, self.data.labels())

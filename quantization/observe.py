"""One pass of the data through the network, gathering statistics of the tensors that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..errors import ModelError
from ..escaping import escape
from ..ir import Graph, Value
from .data import Data
from .executor import CHUNK, Executor
from .probe import with_outputs
from .statistics import Channels, Statistics

Array = np.ndarray


class Observer(Protocol):
    """Something that takes in a tensor, samples stacked along a new first axis."""

    def add(self, stacked: Array) -> None:
        """Take in a chunk."""


def observe(
    graph: Graph,
    data: Data,
    observers: Mapping[Value, Sequence[Observer]],
    executor: Executor,
    limit: int | None = None,
) -> None:
    """Show observers the values of a graph on all samples (or the first `limit`).

    ModelError naming tensor and sample where a value is not finite.
    """
    values = list(observers)
    run = executor(with_outputs(graph, values))
    start = 0
    for chunk in data.chunks(CHUNK, limit):
        for value, array in zip(values, run(chunk), strict=True):
            _check_finite(value, array, start)
            for observer in observers[value]:
                observer.add(array)
        start += len(chunk[0]) if chunk else 1


def ranges(graph: Graph, data: Data, values: Iterable[Value], executor: Executor) -> dict[Value, Statistics]:
    """The statistics of values."""
    found = {value: Statistics() for value in values}
    observe(graph, data, {value: [statistics] for value, statistics in found.items()}, executor)
    return found


def channels(
    graph: Graph, data: Data, axes: Mapping[Value, int], executor: Executor, limit: int
) -> dict[Value, Channels]:
    """The statistics of each channel of values, along an axis of each."""
    found = {value: Channels(axis) for value, axis in axes.items()}
    observe(graph, data, {value: [each] for value, each in found.items()}, executor, limit)
    return found


def _check_finite(value: Value, array: Array, start: int) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0]
    name = value.name or (value.producer.where if value.producer else "input")
    where = f"tensor '{escape(name)}', sample {start + int(bad)}"
    raise ModelError("the network computes NaN or infinity on calibration data", where, "leave that sample out")

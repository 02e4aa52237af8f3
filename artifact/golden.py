"""The golden sample: inputs that are the same on every machine, and what the reference makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, TensorType
from ..ir.evaluate import evaluate_and_find
from ..ir.sizes import fixed
from .support.open_sizes import UNFIT

Array = np.ndarray
SEED = 0


def golden_inputs(graph: Graph, seed: int = SEED) -> dict[str, Array]:
    """Return an array for each input: floats around 0, bytes of any value, wide integers 0 or 1.

    Wide integers are mostly masks, lengths and places in tables, and few tables have fewer than two rows. Open sizes
    are as large as they get.
    """
    random, largest = np.random.default_rng(seed), {s.name: s.high for s in graph.chosen_sizes.values()}
    drawn = {value.name: _draw(value.type.at(largest), random) for value in graph.inputs}
    examples: Mapping[str, Array] = graph.metadata.get("examples", {})
    return {**drawn, **{name: array for name, array in examples.items() if name in drawn}}


def golden_sample(graph: Graph, given: Mapping[str, Array] | None = None) -> tuple[list[Array], list[Array]]:
    """Return golden inputs (those that are given, where they are) and the outputs that numpy computes.

    A second draw keeps roots and logarithms real.
    """
    drawn = golden_inputs(graph)
    fixed_ones = graph.metadata.get("examples", {})
    positive = {name: one if name in fixed_ones else np.abs(one) for name, one in drawn.items()}
    for inputs in [given] if given else [drawn, positive]:
        with np.errstate(all="ignore"):
            outputs = graph.evaluate(dict(inputs))
        if all(np.isfinite(output).all() for output in outputs):
            break
    return list(inputs.values()), outputs


@dataclass(frozen=True)
class Sample:
    """Inputs and what the reference makes of them, with the open sizes that they have."""

    sizes: Mapping[str, int]
    inputs: list[Array]
    outputs: list[Array]


def golden_samples(graph: Graph, given: Mapping[str, Array] | None = None) -> list[Sample]:
    """Return the golden sample; three for a graph with open sizes: at both ends of the bounds and between them."""
    return [_sample(graph, sizes, given) for sizes in sizes_to_try(graph)]


def _sample(graph: Graph, sizes: Mapping[str, int], given: Mapping[str, Array] | None) -> Sample:
    inputs, outputs = golden_sample(fixed(graph, sizes), given)
    if graph.checks_run:
        sizes = {**evaluate_and_find(graph, inputs)[1], UNFIT: 0}
    return Sample(sizes, inputs, outputs)


def sizes_to_try(graph: Graph) -> list[dict[str, int]]:
    """Return the least sizes, some between and the largest; one empty choice where no size is open."""
    symbols = graph.chosen_sizes.values()
    ends = [{s.name: s.low for s in symbols}, {s.name: s.high for s in symbols}]
    between = {s.name: (s.low + s.high) // 2 for s in symbols}
    found = [ends[0], between, ends[1]]
    return [sizes for i, sizes in enumerate(found) if sizes not in found[:i]]


def golden_bytes(inputs: Sequence[Array], outputs: Sequence[Array]) -> bytes:
    """Return the content of golden.bin: all inputs, then all outputs, raw and in order."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (*inputs, *outputs))


def _draw(kind: TensorType, random: np.random.Generator) -> Array:
    wanted = kind.dtype.numpy
    if kind.dtype.is_float:
        return np.asarray(random.standard_normal(kind.shape), wanted)
    if wanted.itemsize > 2 or wanted == np.bool_:
        return np.asarray(random.integers(0, 2, kind.shape), wanted)
    limits = np.iinfo(wanted)
    return np.asarray(random.integers(limits.min, limits.max, kind.shape, endpoint=True), wanted)

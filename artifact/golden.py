"""The golden sample: inputs that are the same on every machine, and what the reference makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir import Graph, TensorType
from ..ir.op import as_wide

Array = np.ndarray
SEED = 0


def golden_inputs(graph: Graph, seed: int = SEED) -> dict[str, Array]:
    """Return an array for each input: floats around 0, bytes of any value, wide integers 0 or 1.

    Wide integers are mostly masks, lengths and places in tables, and few tables have fewer than two rows.
    """
    random = np.random.default_rng(seed)
    return {value.name: _draw(value.type, random) for value in graph.inputs}


def golden_sample(graph: Graph, given: Mapping[str, Array] | None = None) -> tuple[list[Array], list[Array]]:
    """Return golden inputs (those that are given, where they are) and the outputs that numpy computes.

    A second draw keeps roots and logarithms real.
    """
    drawn = golden_inputs(graph)
    above = {name: np.abs(as_wide(one)).astype(one.dtype) for name, one in drawn.items()}
    for inputs in [given] if given else [drawn, above]:
        with np.errstate(all="ignore"):
            outputs = graph.evaluate(dict(inputs))
        if all(np.isfinite(as_wide(output)).all() for output in outputs):
            break
    return list(inputs.values()), outputs


def golden_bytes(inputs: Sequence[Array], outputs: Sequence[Array]) -> bytes:
    """Return the content of golden.bin: all inputs, then all outputs, raw and in order."""
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (*inputs, *outputs))


def _draw(kind: TensorType, random: np.random.Generator) -> Array:
    wanted = kind.dtype.numpy
    if kind.dtype.is_integer and kind.dtype.is_narrow:
        return random.integers(0, 2**kind.dtype.bits, kind.shape).astype(wanted)
    if kind.dtype.is_float:
        return np.asarray(random.standard_normal(kind.shape)).astype(wanted)
    if wanted.itemsize > 2 or wanted == np.bool_:
        return np.asarray(random.integers(0, 2, kind.shape), wanted)
    limits = np.iinfo(wanted)
    return np.asarray(random.integers(limits.min, limits.max, kind.shape, endpoint=True), wanted)

"""The golden sample of a compilation, and how far from it an artifact may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifact import golden_bytes, golden_sample
from ..artifact.compare import compare
from ..artifact.support import GOLDEN_TOLERANCE
from ..ir import Graph
from ..ir.ops import CannotRun
from ..ir.ops.quantize import Requantizing
from ..passes.rules.integer_tails import is_exact
from .protocol import Lowered, Options

Array = np.ndarray
NUDGE = 2.0**-14
MARGIN = 2.0


@dataclass(frozen=True)
class Golden:
    """The content of golden.bin, and the largest distance of an output as a part of its largest value."""

    content: bytes
    tolerance: float


def golden(lowered: Lowered, options: Options) -> Golden:
    """Inputs, what the reference makes of them, and the tolerance."""
    with options.phase("golden"):
        inputs, outputs = golden_sample(lowered.reference, lowered.sample)
        return Golden(golden_bytes(inputs, outputs), tolerance_of(lowered.reference, inputs, outputs))


def tolerance_of(graph: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> float:
    """What machines may differ by: more than usual where a network rounds sums of floats to integers on its way.

    There the last bit of a sum may decide between two integers, and all that follows differs by steps. How much that
    matters is what a change of the inputs by one part in 2^14 does to the outputs of the reference, with a margin.
    """
    if not rounds_inexact_numbers(graph):
        return GOLDEN_TOLERANCE
    try:
        with np.errstate(all="ignore"):
            moved = graph.evaluate([x * np.asarray(1 + NUDGE, x.dtype) if x.dtype.kind == "f" else x for x in inputs])
    except CannotRun:
        return GOLDEN_TOLERANCE
    got, wanted = (dict(zip(graph.output_names, arrays, strict=True)) for arrays in (moved, outputs))
    return max(GOLDEN_TOLERANCE, *(MARGIN * one.worst for one in compare(got, wanted, GOLDEN_TOLERANCE)))


def rounds_inexact_numbers(graph: Graph) -> bool:
    """Whether a number is rounded to an integer whose last bits differ from machine to machine."""
    return any(isinstance(op, Requantizing) and not all(map(is_exact, op.operands)) for op in graph.every_op)

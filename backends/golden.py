"""The golden sample of a compilation, and how far from it an artifact may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ..artifact import golden_bytes, golden_samples
from ..artifact.compare import compare
from ..artifact.golden import in_buffers
from ..artifact.support import GOLDEN_TOLERANCE
from ..errors import UsageError
from ..ir import Graph
from ..ir.aliases import aliases_of
from ..ir.ops import CannotRun, HalfConv, HalfMatMul, inner_ops
from ..ir.ops.quantize import Requantizing
from ..passes.rules.integer_tails import is_exact
from .protocol import Lowered, Options

Array = np.ndarray
NUDGE = 2.0**-14
MARGIN = 2.0
MOST_STEPS = 8


@dataclass(frozen=True)
class Golden:
    """The content of golden.bin, and the largest distance of an output as a part of its largest value."""

    content: bytes
    tolerance: float
    sizes: tuple[Mapping[str, int], ...] = ()
    """The open sizes of each sample, where there are any."""


def golden(lowered: Lowered, options: Options) -> Golden:
    """Inputs, what the reference makes of them, and the tolerance."""
    with options.phase("golden"):
        samples = golden_samples(lowered.reference, lowered.sample)
        stored = [in_buffers(one, aliases_of(lowered.graph)) for one in samples]
        content = b"".join(golden_bytes(one.inputs, one.outputs) for one in stored)
        tolerance = max(tolerance_of(lowered.reference, one.inputs, one.outputs) for one in samples)
        tolerance = max(tolerance, *(narrow_tolerance(lowered, one.inputs, one.outputs) for one in samples))
        precision = half_precision(lowered.graph)
        if precision:
            off = max(rounding_error(lowered.graph, one.inputs, one.outputs) for one in samples)
            tolerance = max(tolerance, MARGIN * checked(off, precision))
            why = f"products are rounded to {precision}: off by {off:.1e} of the largest value on the golden inputs"
            lowered.graph.note("half-products", why, None)
        return Golden(content, tolerance, tuple(one.sizes for one in samples if one.sizes))


def half_precision(graph: Graph) -> str:
    """What the operands of products are rounded to; nothing where there are none of half precision."""
    ops = [inner for op in graph.every_op for inner in inner_ops(op)]
    return " and ".join(dict.fromkeys(op.to.name for op in ops if isinstance(op, HalfConv | HalfMatMul)))


def rounding_error(graph: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> float:
    """What the half products of a compiled graph change in the outputs of the reference."""
    got, wanted = (dict(zip(graph.output_names, arrays, strict=True)) for arrays in (graph.evaluate(inputs), outputs))
    return max(one.worst for one in compare(got, wanted, GOLDEN_TOLERANCE))


def checked(error: float, precision: str) -> float:
    """The error; UsageError where numbers became infinite."""
    if math.isfinite(error):
        return error
    what = f"an output is not finite in products of {precision}, whose operands or sums are too large for it"
    raise UsageError(what, hint="--precision f32; the largest number of f16 is 65504")


def tolerance_of(graph: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> float:
    """What machines may differ by: more than usual where a network rounds sums of floats to integers on its way.

    There the last bit of a sum may decide between two integers, and all that follows differs by steps. How much that
    matters is what a change of the inputs by one part in 2^14 does to the outputs of the reference, with a margin.
    """
    usual = max(GOLDEN_TOLERANCE, MARGIN * coarsest(graph))
    if not rounds_inexact_numbers(graph):
        return usual
    try:
        with np.errstate(all="ignore"):
            moved = graph.evaluate([x * np.asarray(1 + NUDGE, x.dtype) if x.dtype.kind == "f" else x for x in inputs])
    except CannotRun:
        return usual
    got, wanted = (dict(zip(graph.output_names, arrays, strict=True)) for arrays in (moved, outputs))
    return max(usual, *(MARGIN * one.worst for one in compare(got, wanted, GOLDEN_TOLERANCE)))


def coarsest(graph: Graph) -> float:
    """The largest step from a float of a narrow type to the next, as a part of it; 0 if there are none."""
    kinds = {value.dtype for value in graph.values if value.dtype.is_float and value.dtype.is_narrow}
    about: list[Any] = [ml_dtypes.finfo(kind.numpy) for kind in kinds]  # type: ignore[no-untyped-call]
    return max((float(one.eps) for one in about), default=0.0)


def narrow_tolerance(lowered: Lowered, inputs: Sequence[Array], outputs: Sequence[Array]) -> float:
    """What a network of narrow floats may be off, for the passes and the order of sums round elsewhere; 0 for others.

    Twice of what the passes change in it, but no more than some steps, in which no fault of theirs can hide.
    """
    step = coarsest(lowered.reference)
    if not step:
        return 0.0
    error = rounding_error(lowered.graph, inputs, outputs)
    return min(MARGIN * error, MOST_STEPS * step) if math.isfinite(error) else 0.0


def rounds_inexact_numbers(graph: Graph) -> bool:
    """Whether a number is rounded to an integer whose last bits differ from machine to machine."""
    return any(isinstance(op, Requantizing) and not all(map(is_exact, op.operands)) for op in graph.every_op)

"""What a graph computes, and how far off an honest computation may be.

Beside its numbers every value has several others, computed from operands that were nudged: wherever a result is not
exact it is moved, at random, by several times the error that its operator may make. What comes out at the end says how
errors grow on their way, whatever the graph is; where nothing was moved the numbers must be met exactly. An op whose
result jumps under such nudges (a rounding of a computed number, say) has no result to compare, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ...ir import Graph, Op, Value
from ...ir.op import as_wide
from ...ir.ops import BatchNorm, BitCast, Cast, Constant, Elementwise, InstanceNorm, LayerNorm, Pool, Reduce, Resize
from ...ir.ops.elementwise import TRANSCENDENTAL
from ...ir.types import DType, f32
from .cancelling import lost

Array = np.ndarray
RUNS = 4
REACH = 8.0
"""How many times the error of an operator a result is moved."""
MOST = 1e5
"""Larger numbers are left out: their rounding would hide faults."""
JUMP, NARROW_JUMP = 0.01, 0.1
"""The share of its largest number by which a result may move."""
STEPS = ("floor", "ceil", "round", "sign", "hardmax", "shrink", "thresholded-relu")
"""Ops that jump from one number to another, and else move by what their operand moves."""
DIVIDING = ("div", "reciprocal", "fmod", "pow")


class Unfit(Exception):
    """An op that gives nothing that can be compared."""


@dataclass(frozen=True)
class Known:
    """The numbers of a value, and those of each nudged run; the same array where nothing was moved."""

    exact: Array
    nudged: tuple[Array, ...]

    @property
    def is_sharp(self) -> bool:
        return all(one is self.exact for one in self.nudged)

    @property
    def allowed(self) -> Array:
        """How far each element may be off."""
        if self.is_sharp or not is_float(self.exact):
            return np.zeros(self.exact.shape)
        moved = self.moved
        return np.asarray(4 * moved + 0.02 * moved.max(initial=0))

    @property
    def moved(self) -> Array:
        """How far each element was moved at most."""
        wide = as_double(self.exact)
        return np.asarray(np.max([distance(as_double(one), wide) for one in self.nudged], axis=0))


def distance(a: Array, b: Array) -> Array:
    """|a - b|; 0 between equal infinities and between NaN, else infinite where one of them is not finite."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


def sharp(array: Array) -> Known:
    """Numbers that are given."""
    return Known(array, (array,) * RUNS)


def is_float(array: Array) -> bool:
    return array.dtype.kind == "f" or "float" in array.dtype.name


def as_double(array: Array) -> Array:
    return as_wide(array).astype(np.float64)


def as_extended(array: Array) -> Array:
    """In a precision above double, as far as the machine has one."""
    return array if array.dtype == np.longdouble else as_wide(array).astype(np.longdouble)


def known_outputs(graph: Graph, inputs: Sequence[Array], seed: int = 0) -> list[Known]:
    """What a graph makes of arrays."""
    known = dict(zip(graph.inputs, map(sharp, inputs), strict=True))
    random = np.random.default_rng(seed)
    for op in graph:
        known.update(zip(op.results, computed(op, known, random, check=False), strict=True))
    return [known[value] for value in graph.outputs]


def computed(
    op: Op, known: Mapping[Value, Known], random: np.random.Generator, check: bool = True, finite: bool = True
) -> list[Known]:
    """What an op makes of known operands; `Unfit` where that cannot be compared, if that is checked.

    Only with `finite` are infinities and NaN refused.
    """
    exact = _results(op, lambda v: known[v].exact)
    blurred = any(not known[v].is_sharp for v in op.operands)
    keeps = is_exact(op, {v: known[v].exact for v in op.operands}, exact)
    if keeps and not blurred:
        found = [sharp(one) for one in exact]
    else:
        runs = [_results(op, lambda v, k=k: known[v].nudged[k]) for k in range(RUNS)]  # type: ignore[misc]
        moves = keeps and not _rounds(op)
        more = 0.0 if moves else lost(op, [known[v].exact for v in op.operands])
        runs = runs if moves else [[nudge(op, one, random, more) for one in run] for run in runs]
        found = [_known(one, [run[i] for run in runs]) for i, one in enumerate(exact)]
    if check:
        for each in found:
            _check(each, finite)
        if op.name in STEPS:
            _check_step(known[op.operands[0]], found[0])
    return found


def _known(exact: Array, nudged: Sequence[Array]) -> Known:
    same = all(_equal(exact, one) for one in nudged)
    return sharp(exact) if same else Known(exact, tuple(nudged))


def _equal(a: Array, b: Array) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _results(op: Op, lookup: Callable[[Value], Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        return [np.asarray(one) for one in op.compute(lookup)]


def _rounds(op: Op) -> bool:
    """Whether it rounds numbers to narrow ones."""
    return any(r.dtype.is_narrow and r.dtype.is_float for r in op.results) and (isinstance(op, Cast) or not op.moves)


def is_exact(op: Op, operands: Mapping[Value, Array], results: Sequence[Array]) -> bool:
    """Whether a result is what the op means: it moves elements, holds no floats, or higher precision says the same."""
    if op.moves or isinstance(op, Constant | BitCast) or not any(map(is_float, results)):
        return True
    if op.tolerance == TRANSCENDENTAL or op.name in DIVIDING or (isinstance(op, Elementwise) and op.type.dtype != f32):
        return _whole(op, results)
    if _weighs(op):
        return False
    try:
        wide = op._evaluated(lambda v: as_extended(operands[v]) if v.dtype.is_float else operands[v])
    except (ValueError, TypeError, IndexError, AttributeError):
        return False
    pairs = zip(results, wide, strict=True)
    return all(not is_float(a) or _equal(as_extended(a), as_extended(np.asarray(b))) for a, b in pairs)


def _weighs(op: Op) -> bool:
    """Whether it multiplies by numbers that are not in the graph; in ONNX a sum of windows is an average that does."""
    if isinstance(op, Resize):
        return op.mode != "nearest"
    if isinstance(op, BatchNorm | InstanceNorm | LayerNorm):
        return True
    return (isinstance(op, Reduce) and op.kind == "mean") or (isinstance(op, Pool) and op.kind != "max")


def _whole(op: Op, results: Sequence[Array]) -> bool:
    """Whether all is so small and round that every way to compute it gives the same."""
    if not isinstance(op, Elementwise) or op.tolerance == TRANSCENDENTAL or op.name in DIVIDING:
        return False
    with np.errstate(invalid="ignore"):  # infinities have no remainder
        return all(bool((as_double(one) * 4 % 1 == 0).all()) for one in results)


def nudge(op: Op, array: Array, random: np.random.Generator, more: float = 0.0) -> Array:
    """The array with each element moved by what the op may be off and `more` units, times `REACH`, up or down."""
    if not is_float(array):
        return array
    unit, wide = epsilon(array.dtype), as_double(array)
    ratio = unit / epsilon(f32.numpy)
    relative = max(op.tolerance.relative * min(ratio, 1), 2 * unit)
    finite = np.isfinite(wide)
    size = np.where(finite, np.abs(wide), 0)
    size = size if isinstance(op, Elementwise) or op.moves else size.max(initial=0)
    amplitude = REACH * (relative * size + op.tolerance.absolute * min(ratio, 1)) if ratio <= 1 else 2 * unit * size
    amplitude = amplitude + REACH * unit * more
    ways = random.uniform(0.5, 1, array.shape) * random.choice([-1, 1], array.shape)
    return np.asarray(np.where(finite, wide + amplitude * ways, wide).astype(array.dtype))


def epsilon(kind: np.dtype) -> float:
    """The relative distance of neighbouring numbers."""
    about: Any = ml_dtypes.finfo(kind) if kind.kind != "f" else np.finfo(kind)  # type: ignore[no-untyped-call]
    return float(about.eps)


def _check(known: Known, finite: bool) -> None:
    if not is_float(known.exact):
        if not known.is_sharp:
            raise Unfit("a jump")
        return
    wide = as_double(known.exact)
    most = np.abs(wide[np.isfinite(wide)]).max(initial=0)
    if (finite and not np.isfinite(wide).all()) or most > largest(known.exact.dtype):
        raise Unfit("too large")
    if known.is_sharp:
        return
    narrow = epsilon(known.exact.dtype) > epsilon(f32.numpy)
    moved = known.moved
    if not np.isfinite(moved).all() or moved.max(initial=0) > (NARROW_JUMP if narrow else JUMP) * max(most, 1e-3):
        raise Unfit("a jump")


def _check_step(operand: Known, result: Known) -> None:
    """That it does not jump, however small the jump is beside other numbers."""
    rounded = epsilon(result.exact.dtype) * np.abs(as_double(result.exact))
    if not result.is_sharp and (result.moved > 8 * operand.moved.max(initial=0) + 16 * rounded.max(initial=0)).any():
        raise Unfit("a jump")


def largest(kind: np.dtype) -> float:
    """The largest number to be had in an element type."""
    about: Any = ml_dtypes.finfo(kind) if kind.kind != "f" else np.finfo(kind)  # type: ignore[no-untyped-call]
    return min(MOST, float(about.max) / 4)


def differs(got: Array, wanted: Known, kind: DType) -> str:
    """How an output differs from what is known by more than is allowed; empty where it does not."""
    exact = wanted.exact
    if got.shape != exact.shape or got.dtype != kind.numpy:
        return f"{got.dtype}{list(got.shape)} instead of {kind.name}{list(exact.shape)}"
    a, b = (got, exact) if exact.dtype.kind in "biuS" else (as_double(got), as_double(exact))
    right = a == b
    if is_float(exact):
        with np.errstate(invalid="ignore"):
            right = right | (distance(a, b) <= wanted.allowed)
    if right.all():
        return ""
    place = tuple(int(i) for i in np.argwhere(~right)[0])
    said = f"{int((~right).sum())} of {right.size} elements differ: {got[place]} instead of {exact[place]}"
    return f"{said} at {list(place)} (allowed {float(wanted.allowed[place]):.3g})"

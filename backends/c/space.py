"""Iteration spaces: which loops a kernel runs, in which order, which of them are merged and which runs over lanes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...ir.dims import magnitude, upper
from .affine import ZERO, Affine, Index


@dataclass(frozen=True)
class Loop:
    """A loop over one logical dimension, or over neighbouring ones that lie in memory as one."""

    axis: int
    extent: int

    @property
    def variable(self) -> str:
        return f"i{self.axis}"


Access = tuple[int, ...]
"""Element strides of one operand along each logical dimension of the space."""


def loops(
    shape: Sequence[int], axes: Iterable[int], order: Access, accesses: Sequence[Access], merge: bool
) -> list[Loop]:
    """Loops over some axes of a shape, outermost first by the strides of `order`, merged where every access allows."""
    chosen = [a for a in axes if shape[a] != 1]
    chosen.sort(key=lambda a: (-magnitude(order[a]), a))
    found: list[Loop] = []
    for axis in chosen:
        if merge and found and _contiguous(found[-1].axis, axis, shape[axis], accesses):
            found[-1] = Loop(axis, found[-1].extent * shape[axis])
        else:
            found.append(Loop(axis, shape[axis]))
    return found


def _contiguous(outer: int, inner: int, extent: int, accesses: Sequence[Access]) -> bool:
    return all(a[outer] == a[inner] * extent for a in accesses)


def index_of(rank: int, space: Iterable[Loop]) -> Index:
    """The logical index inside loops; a merged dimension is carried by the innermost one it was merged into."""
    variables = {loop.axis: Affine.variable(loop.variable) for loop in space}
    return tuple(variables.get(axis, ZERO) for axis in range(rank))


STRIDED_COST = 1.5
"""What a lane costs when it is loaded or stored alone, against a whole vector."""


def lane_loop(candidates: Sequence[Loop], accesses: Sequence[Access], lanes: int) -> Loop | None:
    """The loop that costs least when its steps are vectors; None when there is none to choose."""

    def cost(loop: Loop) -> float:
        extent = max(upper(loop.extent), 1)
        vectors = math.ceil(extent / lanes) / extent
        each = sum(1 if a[loop.axis] in (0, 1) else 1 + STRIDED_COST * lanes for a in accesses)
        return vectors * each

    return min(candidates, key=lambda loop: (cost(loop), -candidates.index(loop)), default=None)

"""Sizes that stay open between bounds: `--dim batch=1..8`, for backends whose artifacts take more than one shape.

The model is compiled at the upper bounds. Graphs at other sizes, made by the same passes, show a backend what follows
which size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .backends import Goal, OpenSizes
from .errors import UsageError
from .escaping import escape
from .ir import Graph

Size = int | tuple[int, int]
"""A number, or bounds that are both inclusive."""

PROBES = 2
"""At so many other values each size is tried; three points tell what is linear."""


def bounds_of(dims: Mapping[str, Size] | None) -> dict[str, tuple[int, int]]:
    """The sizes that stay open, by name; UsageError for bounds that are none."""
    found = {name: size for name, size in (dims or {}).items() if isinstance(size, tuple)}
    for name, (low, high) in found.items():
        if not 1 <= low <= high:
            raise UsageError(f"bounds of '{escape(name)}' must be 1 or more and in order, got {low}..{high}")
    return {name: (low, high) for name, (low, high) in found.items() if low < high}


def largest(dims: Mapping[str, Size] | None) -> dict[str, int]:
    """All sizes as numbers: those that stay open at their upper bounds."""
    return {name: size[1] if isinstance(size, tuple) else size for name, size in (dims or {}).items()}


def numbers(dims: Mapping[str, Size] | None) -> dict[str, int]:
    """All sizes as numbers; UsageError where one stays open, for what compiles for one size."""
    bounds = bounds_of(dims)
    if bounds:
        what = f"the size '{_first(bounds)}' is left open, and one is needed here"
        raise UsageError(what, hint=f"fix it: --dim {_first(bounds)}=N")
    return largest(dims)


def check_open(bounds: Mapping[str, object], goal: Goal, changes_weights: bool) -> None:
    """UsageError where a target takes no open sizes, or where data of one size decides about the weights."""
    if not bounds:
        return
    if not getattr(goal.backend, "opens", False):
        raise UsageError(f"target '{goal.name}' takes no open sizes", hint=f"fix them: --dim {_first(bounds)}=N")
    if changes_weights:
        hint = "quantize and export with --dim NAME=N first, or compile one artifact a size"
        raise UsageError("a model with open sizes is neither quantized nor pruned", hint=hint)


def _first(bounds: Mapping[str, object]) -> str:
    return escape(next(iter(bounds)))


def probed(
    bounds: Mapping[str, tuple[int, int]], dims: Mapping[str, int], lowered_at: Callable[[dict[str, int]], Graph]
) -> OpenSizes | None:
    """The graphs at other sizes; one size differs from its upper bound at a time."""
    graphs = [
        ({name: value}, lowered_at({**dims, name: value}))
        for name, (low, high) in bounds.items()
        for value in other_values(low, high)
    ]
    return OpenSizes(bounds, graphs) if bounds else None


def other_values(low: int, high: int) -> list[int]:
    """Values beside the upper bound: none is 1, where an axis might be taken for one that broadcasts."""
    inside = sorted({value for value in (max(low, 2), (max(low, 2) + high) // 2) if value < high})
    return [*inside, high + 1, high + 2][:PROBES]

"""Sizes that stay open between bounds: `--dim batch=1..8`.

The C backend compiles graphs with symbols. For a backend that writes another format, and says so by an attribute
`opens`, the model is compiled at the upper bounds, and graphs at other sizes, made by the same passes, show it what
follows which size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .backends import Goal, OpenSizes
from .errors import UsageError
from .escaping import escape
from .ir import Graph
from .ir.dims import Size

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
    """All sizes as numbers: those that stay open at their upper bounds; UsageError for those made of others."""
    made = next((name for name, size in (dims or {}).items() if isinstance(size, str)), None)
    if made is not None:
        what = f"the size '{escape(made)}' is made of others, which this target does not take"
        raise UsageError(what, hint="give numbers or bounds")
    numbers = {name: size for name, size in (dims or {}).items() if not isinstance(size, str)}
    return {name: size[1] if isinstance(size, tuple) else size for name, size in numbers.items()}


def takes_probes(goal: Goal) -> bool:
    """Whether the backend of a goal is shown graphs at several sizes instead of one with symbols."""
    return bool(getattr(goal.backend, "opens", False))


def check_open(names: Sequence[str], goal: Goal, changes_weights: bool) -> None:
    """UsageError where a target takes no open sizes, or where data of one size decides about the weights."""
    if not names:
        return
    if goal.backend.name != "c" and not takes_probes(goal):
        raise UsageError(f"target '{goal.name}' takes no open sizes", hint=f"fix them: --dim {escape(names[0])}=N")
    if changes_weights:
        hint = "quantize and export with --dim NAME=N first, or compile one artifact a size"
        raise UsageError("a model with open sizes is neither quantized nor pruned", hint=hint)


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

"""What the report says about the generated code: regions, memory, weights."""

from __future__ import annotations

from typing import Any

from ...escaping import escape
from ...ir.dims import upper
from ...ir.ops import inner_ops
from ...targets import Target
from .program import Program, label
from .sharing import cycles, shared_cycles, shares, work
from .steps import Step

THREADS = (1, 2, 4, 8)
"""The numbers of threads for which the report predicts."""


def report(program: Program) -> dict[str, Any]:
    """Regions in order, the arena with its lower bound and peak, the bytes of the weights."""
    return {
        "regions": [_region(i, step, program.target) for i, step in enumerate(program.steps)],
        "threads": scaling(program),
        "arena": arena(program),
        "weights_bytes": len(program.weights),
    }


def _region(index: int, step: Step, target: Target) -> dict[str, Any]:
    origins = dict.fromkeys(str(o.origin) for o in (*inner_ops(step.op), step.op) if o.origin)
    macs, moved = work(step)
    return {
        "index": index,
        "label": label(step),
        "nodes": list(origins),
        "kernel": step.kernel,
        "tile": step.tile,
        "tasks": upper(step.tasks),
        "shares": shares(step, target),
        "cycles": cycles(step, target),
        "macs": macs,
        "bytes": moved,
    }


def scaling(program: Program) -> dict[str, Any]:
    """The estimated cycles of a run on one thread, and how much faster more threads are by the same estimate."""
    steps = program.steps[: program.top or None]
    costs = [(cycles(step, program.target), shares(step, program.target)) for step in steps]
    alone = shared_cycles(costs, 1)
    faster = {str(n): round(alone / max(1, shared_cycles(costs, n)), 2) for n in THREADS}
    return {"cycles": alone, "speed_up": faster, "shared_steps": sum(parts > 1 for _, parts in costs)}


def arena(program: Program) -> dict[str, Any]:
    """Sizes, the buffers alive at the peak, and every buffer's place in memory and time."""
    plan = program.plan
    peak = plan.peak_step()
    buffers = [
        {
            "value": next((escape(n) for n in plan.names(b)), ""),
            "bytes": b.bytes,
            "offset": b.offset,
            "first": b.first,
            "last": b.last,
        }
        for b in plan.buffers()
    ]
    alive = [b for b in buffers if b["first"] <= peak <= b["last"]]  # type: ignore[operator]
    return {
        "bytes": plan.arena_bytes,
        "lower_bound": plan.lower_bound,
        "ratio": round(plan.arena_bytes / plan.lower_bound, 4),
        "peak_step": peak,
        "peak": sorted(
            ({"value": b["value"], "bytes": b["bytes"]} for b in alive), key=lambda b: -int(str(b["bytes"]))
        ),
        "timeline": buffers,
    }

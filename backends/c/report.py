"""What the report says about the generated code: regions, memory, weights."""

from __future__ import annotations

from typing import Any

from ...escaping import escape
from ...ir.dims import upper
from ...ir.ops import Fused
from .program import Program, label
from .steps import Step


def report(program: Program) -> dict[str, Any]:
    """Regions in order, the arena with its lower bound and peak, the bytes of the weights."""
    return {
        "regions": [_region(i, step) for i, step in enumerate(program.steps)],
        "arena": arena(program),
        "weights_bytes": len(program.weights),
    }


def _region(index: int, step: Step) -> dict[str, Any]:
    ops = [o for o in step.op.body if o.operands] if isinstance(step.op, Fused) else [step.op]
    origins = dict.fromkeys(str(o.origin) for o in (*ops, step.op) if o.origin)
    counted = step.kernel != "fill" and step.flow is None
    return {
        "index": index,
        "label": label(step),
        "nodes": list(origins),
        "kernel": step.kernel,
        "tile": step.tile,
        "tasks": upper(step.tasks),
        "macs": upper(step.op.macs()) if counted else 0,
        "bytes": _moved(step) if counted else _border(step),
    }


def _moved(step: Step) -> int:
    return sum(v.type.most_bytes for v in (*step.op.operands, *step.op.results))


def _border(step: Step) -> int:
    """What a fill writes: the part of the result that no operand covers."""
    return step.op.results[0].type.most_bytes - sum(v.type.most_bytes for v in step.op.operands)


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

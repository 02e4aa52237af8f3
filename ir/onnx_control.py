"""The operators that are more than their operands: those with graphs inside, and Gradient."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UnsupportedNode
from .graph import Graph
from .onnx_branches import branch, sequence_map
from .onnx_gradient import GRADIENT, gradient
from .onnx_loops import loop, scan
from .onnx_scope import Known
from .onnx_site import Site
from .op import Op
from .ops import Loop

MAX_RUNS = 1 << 22
"""How often the bodies of all loops may run, those inside of others each time anew."""

WITH_GRAPHS: dict[str, Callable[[Site], list[Known]]] = {
    "If": branch, "Loop": loop, "Scan": scan, "SequenceMap": sequence_map,
    GRADIENT: gradient,
}  # fmt: skip
"""ONNX operators whose attributes hold graphs, or name parts of the one around them."""


def with_graphs(domain: str, op_type: str) -> Callable[[Site], list[Known]] | None:
    """What translates such an operator, None for any other one."""
    return WITH_GRAPHS.get(f"{domain}::{op_type}" if domain else op_type)


def too_many_runs(graph: Graph) -> list[UnsupportedNode]:
    """The op whose bodies run most often where all together run too often: a file of few bytes could run for years."""
    runs = {op: _runs(op) for op in graph if op.bodies}
    if sum(runs.values()) <= MAX_RUNS:
        return []
    worst = max(runs, key=runs.__getitem__)
    name, what = (worst.origin.name, worst.origin.onnx_type) if worst.origin else ("", worst.name)
    reason = f"the bodies of loops run {sum(runs.values())} times, {runs[worst]} of them here"
    return [UnsupportedNode(name, what, reason, nearest=f"{MAX_RUNS} runs")]


def _runs(op: Op) -> int:
    """How often bodies run, as far as that is known."""
    inside = sum(_runs(inner) for name in op.bodies for inner in getattr(op, name) if inner.bodies)
    return max(op.trips, 1) * (1 + inside) if isinstance(op, Loop) else inside

"""What a step costs, by estimate, and into how many shares it is worth dividing among threads."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir import Op
from ...ir.dims import upper
from ...ir.ops import Elementwise, inner_ops
from ...ir.scalar import cost
from ...kernels.table import get_isa
from ...targets import Target
from .steps import Step

HAND_OVER = 1500
"""Cycles until other threads have begun with a step and the one that hands it over knows that all are done."""
LEAST_SHARE = 2000
"""Cycles from which on a share is worth handing over: what goes over with it is in the caches of another core."""
MOST_SHARES = 32
BYTES_A_CYCLE = 12.0
"""What a step reads and writes, out of L2 or L3."""
OPERATION = 0.4
"""Cycles of an operation on a vector, as `cost` counts them."""

# Cycles that kernels take for each of the least cycles of their products: medians over fourteen networks on one core of
# a Zen 4. Integer kernels multiply up to four times as many in a cycle.
FACTORS = {
    "conv": 1.1, "matmul": 1.1, "winograd": 0.5, "depthwise": 1.8, "pool": 2.0, "recurrent": 2.3, "conv_i8": 0.33,
    "matmul_i8": 0.33, "depthwise_i8": 1.2, "pool_i8": 0.8, "conv_i16": 0.7, "depthwise_i16": 1.8, "conv_i4": 0.5,
    "cascade": 1.2,
}  # fmt: skip
OTHER = 2.0


def work(step: Step) -> tuple[int, int]:
    """Multiply-accumulates of a step, and the bytes that it reads and writes."""
    if step.kernel != "fill" and step.flow is None:
        operands = (*step.op.operands, *step.op.results)
        return upper(step.op.macs()), sum(v.type.most_bytes for v in operands)
    outside = sum(v.type.most_bytes for v in step.op.operands)
    return 0, step.op.results[0].type.most_bytes - outside


def cycles(step: Step, target: Target) -> int:
    """Estimated cycles of a step on one core; of control flow none, for its bodies are steps themselves."""
    if step.flow is not None:
        return 0
    macs, moved = work(step)
    isa = get_isa(target.isa, target.registers)
    products = macs / (isa.lanes * isa.fma) * FACTORS.get(step.kernel, OTHER)
    elementwise = sum(map(_operations, inner_ops(step.op))) * OPERATION / isa.lanes
    return round(max(products + elementwise, moved / BYTES_A_CYCLE))


def shares(step: Step, target: Target) -> int:
    """Into how many parts threads divide the tasks of a step: 1 where that would cost more than it gives."""
    worth = min(cycles(step, target) // LEAST_SHARE, MOST_SHARES)
    tasks = upper(step.tasks)
    if worth >= tasks:
        return max(1, tasks)
    return max(1, worth // 2 * 2)


def shared_cycles(costs: Sequence[tuple[int, int]], threads: int) -> int:
    """Estimated cycles of steps, given as pairs of cycles and shares, on so many threads."""
    return sum(_shared(total, parts, threads) for total, parts in costs)


def _shared(total: int, parts: int, threads: int) -> int:
    if parts < 2 or threads < 2:
        return total
    return HAND_OVER + total * -(-parts // threads) // parts


def _operations(op: Op) -> int:
    return cost(op.expression) * upper(op.type.size) if isinstance(op, Elementwise) else 0

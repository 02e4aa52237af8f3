"""What one kernel can hold: the rules that every fusion strategy obeys.

A region has at most one anchor. A contraction or pool takes elementwise ops behind it that keep its shape; reductions
over the same axes of one shape form a row program (softmax, normalizations), with elementwise ops before, between and
behind; elementwise ops and gathers fuse with one another.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Op, Value
from ..ir.dims import upper
from ..ir.ops import (
    BitCast,
    Cast,
    Conv,
    ConvInteger,
    Elementwise,
    Gather,
    HalfConv,
    HalfMatMul,
    MatMul,
    MatMulInteger,
    Pool,
    Reduce,
    Relayout,
)
from ..ir.ops.panels import PanelMatMul
from ..ir.scalar import nodes_of
from ..ir.types import f16, f32

ANCHORS = (Conv, ConvInteger, Pool, MatMul, MatMulInteger, PanelMatMul)
CARRIED = frozenset({"f32", "u8", "i8", "i16"})
"""Element types that vectors of floats carry exactly."""
SCALAR = frozenset({"mod", "bitand", "bitor", "bitxor", "bitnot", "shl", "shr"})
"""Primitives that vectors of floats do not have."""
MAX_OPS = 48
MAX_INPUTS = 24


def is_pointwise(op: Op) -> bool:
    """Whether an op computes each element from elements found by an index map."""
    return isinstance(op, Elementwise | BitCast | Cast | Gather | Relayout)


def is_fusable(op: Op) -> bool:
    return is_pointwise(op) or isinstance(op, (Reduce, *ANCHORS))


def region_fault(group: Sequence[Op]) -> str:
    """Why no kernel serves this group of ops; empty when one does."""
    if len(group) > MAX_OPS:
        return f"more than {MAX_OPS} ops"
    alien = next((op for op in group if not is_fusable(op)), None)
    if alien is not None:
        return f"{alien.name} does not fuse"
    fault = _escapes(group) or _too_many_inputs(group)
    if fault:
        return fault
    anchors = [op for op in group if isinstance(op, ANCHORS)]
    if len(anchors) > 1:
        return f"{anchors[0].name} and {anchors[1].name} are both anchors"
    if anchors:
        return _epilogue_fault(anchors[0], group)
    reductions = [op for op in group if isinstance(op, Reduce)]
    if reductions:
        return _row_fault(reductions, group)
    return _loop_fault(group)


def _escapes(group: Sequence[Op]) -> str:
    members = set(group)
    for op in group[:-1]:
        if any(user not in members for user in op.result.users):
            return f"the result of {op.name} has a reader outside"
    return ""


def _too_many_inputs(group: Sequence[Op]) -> str:
    members = set(group)
    outside = {v for op in group for v in op.operands if v.producer not in members}
    return f"more than {MAX_INPUTS} inputs" if len(outside) > MAX_INPUTS else ""


def _epilogue_fault(anchor: Op, group: Sequence[Op]) -> str:
    """Behind an anchor stand pointwise ops of its shape; what they read beside it may be computed in the region too."""
    if any(v.producer in group for v in anchor.operands):
        return f"{group[0].name} stands before {anchor.name}"
    behind = {anchor}
    for op in group:
        if op is not anchor and not (op is group[-1] and is_halved(op, anchor)):
            fault = _pointwise_fault(anchor, op, behind)
            if fault:
                return fault
    if anchor.type.dtype.name != "f32":
        return f"kernels of {anchor.name} take epilogues on f32"
    if group[-1].type.dtype.name != "f32" and anchor.operands[0].dtype.is_float and not is_halved(group[-1], anchor):
        return f"kernels of {anchor.name} on f32 store f32, not {group[-1].type.dtype.name}"
    return ""


def is_halved(op: Op, anchor: Op) -> bool:
    """Whether an op is a cast to f16 that the kernel of an anchor does as it stores."""
    stores = isinstance(anchor, HalfConv | HalfMatMul) and anchor.to == f16
    depthwise = type(anchor) is Conv and anchor.is_depthwise
    return isinstance(op, Cast) and (op.x.dtype, op.to) == (f32, f16) and (stores or depthwise)


def _pointwise_fault(anchor: Op, op: Op, behind: set[Op]) -> str:
    if not isinstance(op, Elementwise | Cast):
        return f"{op.name} is no epilogue"
    if isinstance(op, Cast) and op.to.name != "f32":
        return f"a cast to {op.to.name} is no epilogue"
    if isinstance(op, Elementwise) and any(node.primitive in SCALAR for node in nodes_of(op.expression)[0]):
        return f"{op.name} is not for vectors"
    if any(v.producer in behind for v in op.operands):
        behind.add(op)
        if op.type.shape != anchor.type.shape:
            return f"{op.name} changes the shape from {list(anchor.type.shape)} to {list(op.type.shape)}"
        if op.type.physical != anchor.type.physical and not op.type.same_memory(anchor.type.physical):
            return f"{op.name} changes the physical order"
    outside = [v for v in op.operands if v.producer not in behind]
    if any(v.dtype.name not in CARRIED for v in (*outside, op.result)):
        return f"{op.name} works on another element type"
    return ""


def _row_fault(reductions: Sequence[Reduce], group: Sequence[Op]) -> str:
    rows, axes = reductions[0].x.shape, reductions[0].axes
    reduced = reductions[0].type.shape
    for op in group:
        if isinstance(op, Reduce):
            if not op.keepdims:
                return "a reduction that drops dimensions"
            if (op.x.shape, op.axes) != (rows, axes):
                return f"reductions over {list(axes)} of {list(rows)} and over {list(op.axes)} of {list(op.x.shape)}"
            if op.kind == "mean" or (op.type.dtype.name != "f32" and len(group) > 1):
                return f"reduce {op.kind} of {op.type.dtype.name} does not fuse"
        elif not isinstance(op, Elementwise | Cast | Relayout) or op.type.shape not in (rows, reduced):
            return f"{op.name} has shape {list(op.type.shape)}, the rows have {list(rows)}"
        elif any(v.dtype.name not in CARRIED | {"bool"} for v in (*op.operands, op.result)):
            return f"{op.name} works on another element type"
    return ""


def _loop_fault(group: Sequence[Op]) -> str:
    """Pointwise ops fuse unless that would compute a value more often than it has elements."""
    members = set(group)
    space = upper(group[-1].type.size)
    for op in group[:-1]:
        if upper(op.type.size) < space and not _is_cheap_repeat(op, space):
            return f"{op.name} has {op.type.size} elements and would be computed {space} times"
        if upper(op.type.size) > space and _gathered_by(op, members):
            return f"{op.name} computes {op.type.size} elements of which a gather reads {space}"
    return ""


def _is_cheap_repeat(op: Op, space: int) -> bool:
    """Gathers and the interpolation behind them are repeated for a resize."""
    return isinstance(op, Gather | Relayout) or (space <= 4 * upper(op.type.size) and _reads_gather(op.result))


def _reads_gather(value: Value) -> bool:
    op = value.producer
    return op is not None and (isinstance(op, Gather) or any(isinstance(v.producer, Gather) for v in op.operands))


def _gathered_by(op: Op, members: set[Op]) -> bool:
    return any(isinstance(user, Gather) for user in op.result.users if user in members)

"""Our own schedules: what makes code without a search fast on a CPU.

Contractions hold a tile of sums in registers while the reduction runs, windows a few pixels by whole vectors of
channels, row programs keep their stages in cache; everything else runs along memory. Threads share the outermost loops
over the result, so that the bits are the same for any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...ir import TensorType
from ...ir.ops import ArgReduce, Conv, ConvInteger, Pool, Reduce
from .contraction import Sums
from .packages import Tensor, schedules, tvm
from .stages import Stages
from .tiles import Machine

NAME = "main"
PIECES = 16
"""Pieces of work that threads share, if there are as many."""
SHARED_MACS, SHARED_ELEMENTS = 2**18, 2**15
"""A function with fewer multiplications and smaller tensors (some microseconds) runs on one thread."""
UNROLLED_TAPS = 25


def scheduled(stages: Stages) -> Any:
    """The schedule for stages: its `mod` holds the function, its `trace` what was done to it."""
    schedule = schedules.Schedule(workload(stages.function()))
    if stages.sums is not None:
        _contraction(schedule, stages, stages.sums)
    elif stages.rows:
        _rows(schedule, stages)
    else:
        _along_memory(schedule, schedule.get_sblock("result", func_name=NAME), stages)
    return schedule


def workload(function: Any) -> Any:
    """The module of one function that schedules are made for."""
    return tvm.IRModule({NAME: function.with_attr("global_symbol", NAME)})


# --- threads ----------------------------------------------------------------------------------------------------------


def _shared(schedule: Any, loops: Sequence[Any], stages: Stages) -> list[Any]:
    """Let threads share loops over the result: the outermost ones, as few as give enough pieces."""
    pieces, count = 1, 0
    while count < len(loops) and pieces < PIECES:
        pieces *= int(schedule.get(loops[count]).extent)
        count += 1
    if pieces == 1 or not _is_large(stages):
        return list(loops)
    outermost = schedule.fuse(*loops[:count]) if count > 1 else loops[0]
    schedule.parallel(outermost)
    return [outermost, *loops[count:]]


def _is_large(stages: Stages) -> bool:
    region = stages.region
    elements = max(v.type.size for v in (*region.operands, region.result))
    return sum(op.macs() for op in region.ops) >= SHARED_MACS or elements >= SHARED_ELEMENTS


# --- contractions and windows -----------------------------------------------------------------------------------------


def _contraction(schedule: Any, stages: Stages, sums: Sums) -> None:
    """The epilogue's loops, tiled; the sums of a tile inside them."""
    kind, machine, tile = stages.region.result.type, stages.machine, sums.tile
    result, block = (schedule.get_sblock(name, func_name=NAME) for name in ("result", "sums"))
    if sums.tensor.op.input_tensors and any(t.op.name == "panels" for t in sums.tensor.op.input_tensors):
        _innermost(schedule, schedule.get_sblock("panels", func_name=NAME), machine)
    outer, row, column = _axes(stages, schedule.get_loops(result))
    rows = schedule.split(row, [None, tile.rows])
    columns = schedule.split(column, [None, tile.columns])
    order = _order(outer, rows[0], columns[0], sums, machine)
    schedule.reorder(*order, rows[1], columns[1])
    order = _shared(schedule, order, stages)
    schedule.compute_at(block, order[-1], preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    if _extent(stages, kind) % tile.columns == 0:
        _vectors(schedule, columns[1], machine)
    reduction = _around(schedule, block, sums.tensor, machine)
    if sums.parts is not None:
        _parts(schedule, reduction[0], sums.parts, machine)
    if sums.is_window and math.prod(int(a.dom.extent) for a in sums.tensor.op.reduce_axis) <= UNROLLED_TAPS:
        for axis in reduction:
            schedule.unroll(axis)
    schedule.decompose_reduction(block, reduction[0])


def _axes(stages: Stages, loops: Sequence[Any]) -> tuple[list[Any], Any, Any]:
    """The loops over the result: the outer ones, that over rows and that over columns of the sums."""
    kind = stages.region.result.type
    by_axis = dict(zip(kind.physical, loops, strict=True))
    *outer, row, column = _logical_axes(stages, kind)
    return [by_axis[axis] for axis in outer], by_axis[row], by_axis[column]


def _logical_axes(stages: Stages, kind: TensorType) -> tuple[int, ...]:
    """The result's dimensions in the order of those of the sums."""
    spatial = isinstance(stages.region.anchor, Conv | ConvInteger | Pool)
    return (0, 2, 3, 1) if spatial else tuple(range(kind.rank))


def _extent(stages: Stages, kind: TensorType) -> int:
    return kind.shape[_logical_axes(stages, kind)[-1]]


def _order(outer: Sequence[Any], rows: Any, columns: Any, sums: Sums, machine: Machine) -> list[Any]:
    """Weights that a core's cache cannot hold are read once, so their blocks are the outermost loop."""
    if not sums.is_window and sums.weight_bytes > machine.l2_bytes // 2:
        return [columns, *outer, rows]
    return [*outer, columns, rows] if outer and not sums.is_window else [*outer, rows, columns]


def _vectors(schedule: Any, loop: Any, machine: Machine) -> None:
    """Run a loop of known extent by whole vectors, unrolled; one vector where it is shorter."""
    width = math.gcd(int(schedule.get(loop).extent), machine.lanes)
    if width > 1:
        several, lanes = schedule.split(loop, [None, width])
        schedule.vectorize(lanes)
        schedule.unroll(several)


def _parts(schedule: Any, group: Any, parts: Tensor, machine: Machine) -> None:
    """The exact sums of one group, inside the loop over groups."""
    block = schedule.get_sblock("parts", func_name=NAME)
    schedule.compute_at(block, group, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    schedule.decompose_reduction(block, _around(schedule, block, parts, machine)[0])


def _around(schedule: Any, block: Any, tensor: Tensor, machine: Machine) -> list[Any]:
    """Put the reduction around its tile; returns the reduction's loops.

    One vector of weights feeds all rows, one element of a row all vectors.
    """
    loops = schedule.get_loops(block)
    reduced = len(tensor.op.reduce_axis)
    tile, reduction = loops[-reduced - 2 : -reduced], loops[-reduced:]
    schedule.reorder(*reduction, *tile)
    _vectors(schedule, tile[1], machine)
    schedule.unroll(tile[0])
    return list(reduction)


# --- row programs -----------------------------------------------------------------------------------------------------


def _rows(schedule: Any, stages: Stages) -> None:
    """All stages inside the loops over what is kept, so that a row stays in the cache."""
    result = schedule.get_sblock("result", func_name=NAME)
    loops = schedule.get_loops(result)
    kept = _kept_loops(stages)
    around = _shared(schedule, loops[:kept], stages)
    for stage in reversed(stages.rows if kept else []):
        schedule.compute_at(schedule.get_sblock(stage.op.name, func_name=NAME), around[-1], preserve_unit_loops=True)
    for stage in stages.rows:
        _stage(schedule, schedule.get_sblock(stage.op.name, func_name=NAME), stage, stages.machine)
    _innermost(schedule, result, stages.machine)


def _kept_loops(stages: Stages) -> int:
    """How many of the result's outermost loops run over dimensions that every stage keeps."""
    kind = stages.region.result.type
    folds: list[Reduce | ArgReduce] = [*stages.region.reductions, *stages.region.searches]
    reduced = {a for op in folds for a in (op.axes if isinstance(op, Reduce) else (op.axis,))}
    if any(op.type.rank != op.x.rank for op in folds):
        return 0
    kept = [axis not in reduced for axis in kind.physical]
    return kept.index(False) if False in kept else max(0, len(kept) - 1)


def _stage(schedule: Any, block: Any, stage: Any, machine: Machine) -> None:
    """A stage of a row program: vectors of lanes or of what is kept, the reduction around them."""
    reduced = len(getattr(stage.op, "reduce_axis", ()))
    if not reduced:
        _innermost(schedule, block, machine)
        return
    loops = schedule.get_loops(block)
    own = loops[-reduced - 1]
    extent = int(schedule.get(own).extent)
    width = math.gcd(extent, 4 * machine.lanes)
    if width < machine.lanes:
        return
    outer, inner = schedule.split(own, [None, width])
    schedule.reorder(outer, *loops[-reduced:], inner)
    schedule.vectorize(inner)
    schedule.decompose_reduction(block, loops[-reduced])


# --- everything else --------------------------------------------------------------------------------------------------


def _along_memory(schedule: Any, block: Any, stages: Stages) -> None:
    """Vectors along the innermost dimension, threads along the outermost ones."""
    _innermost(schedule, block, stages.machine)
    _shared(schedule, schedule.get_loops(block)[:-1], stages)


def _innermost(schedule: Any, block: Any, machine: Machine) -> None:
    """Vectorize the innermost loop where whole vectors fill it; else LLVM's own vectorizer has it."""
    loops = schedule.get_loops(block)
    if not loops:
        return
    width = math.gcd(int(schedule.get(loops[-1]).extent), 2 * machine.lanes)
    if width >= min(machine.lanes, 4):
        schedule.vectorize(schedule.split(loops[-1], [None, width])[1])

"""Integer contractions whose weights have a scale for each group of what they sum over: a stage of exact sums of the
groups, and one that adds them up in float32, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...ir import Value
from ...ir.ops import GroupedConvInteger, GroupedMatMulInteger
from ...ir.ops.stored import to_rows
from .functions import number
from .packages import Expr, Tensor, te, tirx
from .spelling import fenced
from .tiles import Tile, contraction_tile, divided

if TYPE_CHECKING:
    from .contraction import Builder, Sums

Array = np.ndarray
Grouped = GroupedConvInteger | GroupedMatMulInteger
Term = Callable[[Sequence[Expr], Expr, Expr], Expr]
"""The activation that a weight meets: for a place, its column and the weight's position in the row."""


def grouped_sums(builder: Builder, op: Grouped) -> Sums:
    """The stages of a grouped contraction."""
    return _conv(builder, op) if isinstance(op, GroupedConvInteger) else _product(builder, op)


def _conv(builder: Builder, op: GroupedConvInteger) -> Sums:
    channels, per_group, *window = op.w.shape
    height, width = op.type.shape[2:]
    each = channels // op.groups
    tile = divided(contraction_tile(width, each, builder.machine), each if op.groups > 1 else 0)

    def activation(place: Sequence[Expr], column: Expr, position: Expr) -> Expr:
        n, h, v = place
        tap, channel = tirx.floordiv(position, per_group), tirx.floormod(position, per_group)
        ry, rx = tirx.floordiv(tap, window[1]), tirx.floormod(tap, window[1])
        channel = channel if op.groups == 1 else tirx.floordiv(column, each) * per_group + channel
        return builder.element(op.x, (n, channel, *builder.place(op, h, v, ry, rx, width)), "int32")

    outer = (op.type.shape[0], height, tile.padded_rows(width))
    return _stages(builder, op, op.w, int(op.x_zero), outer, tile, activation)


def _product(builder: Builder, op: GroupedMatMulInteger) -> Sums:
    rows = op.a.shape[-2]
    tile = contraction_tile(rows, op.b.shape[1], builder.machine)

    def activation(place: Sequence[Expr], column: Expr, position: Expr) -> Expr:
        return builder.element(op.a, (*place[:-1], tirx.min(place[-1], rows - 1), position), "int32")

    outer = (*op.type.shape[:-2], tile.padded_rows(rows))
    return _stages(builder, op, op.b, int(op.a_zero), outer, tile, activation)


def _stages(
    builder: Builder, op: Grouped, weights: Value, zero: int, outer: tuple[int, ...], tile: Tile, activation: Term
) -> Sums:  # fmt: skip
    from .contraction import Sums

    rows = to_rows(builder.weights(weights))
    columns, length = rows.shape
    blocks, w = _packed(builder, rows, op.group, tile)
    scale, bias = _factors(builder, op, tile.padded_columns(columns))
    groups, member = blocks.shape[1], te.reduce_axis((0, op.group), "member")

    def exact(*place: Expr) -> Expr:
        *spot, group, column = place
        position = tirx.min(group * op.group + member, length - 1)  # beyond the end weights are zero
        block, lane = tirx.floordiv(column, tile.columns), tirx.floormod(column, tile.columns)
        x = activation(spot, column, position) - tirx.const(zero, "int32")
        return te.sum(x * tirx.Cast("int32", w(block, group, member, lane)), axis=[member])

    parts = te.compute((*outer, groups, tile.padded_columns(columns)), exact, "parts")
    group = te.reduce_axis((0, groups), "group")

    def scaled(*place: Expr) -> Expr:
        *spot, column = place
        part = tirx.Cast("float32", parts(*spot, group, column))
        found = fenced(part * scale(group, column))
        if bias is not None:  # it is the first to be added, whichever of the two comes first
            found = found + tirx.Select(group.var.equal(0), bias(column), number(0.0))
        return te.sum(found, axis=[group])

    total = te.compute((*outer, tile.padded_columns(columns)), scaled, "sums")
    return Sums(total, tile, builder.packed, blocks.nbytes, False, parts)


def _packed(builder: Builder, rows: Array, group: int, tile: Tile) -> tuple[Array, Tensor]:
    """The weights as [columns / tile, groups, group, tile]."""
    columns, length = rows.shape
    groups = -(-length // group)
    wide = np.zeros((tile.padded_columns(columns), groups * group), rows.dtype)
    wide[:columns, :length] = rows
    blocks = wide.reshape(-1, tile.columns, groups, group).transpose(0, 2, 3, 1)
    return blocks, builder.constant(blocks, "weights")


def _factors(builder: Builder, op: Grouped, columns: int) -> tuple[Tensor, Tensor | None]:
    """The scales as [groups, columns], and the bias."""
    assert op.scale is not None
    scale = builder.weights(op.scale)
    wide = np.zeros((scale.shape[1], columns), np.float32)
    wide[:, : len(scale)] = scale.T
    first = None
    if op.bias is not None:
        first = np.zeros(columns, np.float32)
        first[: len(scale)] = builder.weights(op.bias)
    return builder.constant(wide, "scales"), None if first is None else builder.constant(first, "bias")

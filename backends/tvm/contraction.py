"""Convolutions, matrix products and pools as a stage of sums; weights are packed so that vectors read them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ir import Op, Value
from ...ir.ops import (
    Conv,
    ConvInteger,
    GroupedConvInteger,
    GroupedMatMulInteger,
    MatMul,
    MatMulInteger,
    Pool,
    array_of,
)
from .elements import load
from .functions import number
from .groups import grouped_sums
from .packages import Expr, Tensor, kind_of, te, tirx
from .region import Region
from .spelling import DTYPES, literal
from .tiles import Machine, Tile, contraction_tile, divided, window_tile

Array = np.ndarray


@dataclass(frozen=True)
class Sums:
    """The stage of an anchor.

    `tensor` holds the sums [batch..., rows, columns] (of a convolution [N, H, W, C]), rounded up to whole tiles;
    `packed` the constants that it reads in a form of their own, by placeholder; `parts` is the stage of exact sums of
    the groups of a grouped contraction.
    """

    tensor: Tensor
    tile: Tile
    packed: list[tuple[Tensor, Array]]
    weight_bytes: int
    is_window: bool
    parts: Tensor = None


class Builder:
    """Makes the stage of one anchor; `tensors` are the region's operands."""

    def __init__(self, region: Region, tensors: dict[Value, Tensor], machine: Machine) -> None:
        self.region, self.tensors, self.machine = region, tensors, machine
        self.packed: list[tuple[Tensor, Array]] = []

    def build(self, op: Op) -> Sums:
        """The stage of an anchor."""
        if isinstance(op, Pool):
            return self.pool(op)
        if isinstance(op, GroupedConvInteger | GroupedMatMulInteger):
            return grouped_sums(self, op)
        if isinstance(op, Conv | ConvInteger):
            return self.depthwise(op) if op.is_depthwise else self.conv(op)
        assert isinstance(op, MatMul | MatMulInteger)
        return self.product(op)

    def constant(self, array: Array, name: str) -> Tensor:
        """A placeholder for a packed constant."""
        array = np.ascontiguousarray(array)
        dtype = str(array.dtype)
        tensor = te.placeholder(array.shape, dtype, name)
        self.packed.append((tensor, array))
        return tensor

    def element(self, value: Value, index: Sequence[Expr], kind: str) -> Expr:
        """An element of an operand, in the type of the sums."""
        known = self.region.literal(value)
        if known is not None:
            return literal(known, value.dtype) if kind == DTYPES[value.dtype.name] else number(known, kind)
        found = load(self.tensors[value], value.type, index)
        return found if kind_of(found) == kind else tirx.Cast(kind, found)

    # --- convolutions ---------------------------------------------------------------------------------------------

    def conv(self, op: Conv | ConvInteger) -> Sums:
        """Dense and grouped convolutions; weights [C / tile, KH, KW, C/groups, tile]."""
        weights = self.weights(op.w)
        channels, per_group, *window = weights.shape
        height, width = op.type.shape[2:]
        each = channels // op.groups
        tile = divided(contraction_tile(width, each, self.machine), each if op.groups > 1 else 0)
        padded = tile.padded_columns(channels)
        wide = np.zeros((padded, per_group, *window), weights.dtype)
        wide[:channels] = weights
        blocks = wide.reshape(padded // tile.columns, tile.columns, per_group, *window).transpose(0, 3, 4, 2, 1)
        w, kind = self.constant(blocks, "weights"), _sum_type(op)
        ry, rx, rc = (
            te.reduce_axis((0, n), name) for n, name in ((window[0], "ry"), (window[1], "rx"), (per_group, "rc"))
        )

        def term(n: Expr, h: Expr, v: Expr, o: Expr) -> Expr:
            channel = rc if op.groups == 1 else tirx.floordiv(o, each) * per_group + rc
            x = self.element(op.x, (n, channel, *self.place(op, h, v, ry, rx, width)), kind)
            block, lane = tirx.floordiv(o, tile.columns), tirx.floormod(o, tile.columns)
            return te.sum(x * self.cast(w(block, ry, rx, rc, lane), kind), axis=[ry, rx, rc])

        shape = (op.type.shape[0], height, tile.padded_rows(width), padded)
        return Sums(te.compute(shape, term, "sums"), tile, self.packed, blocks.nbytes, False)

    def depthwise(self, op: Conv | ConvInteger) -> Sums:
        """One input channel to each output channel; weights [KH, KW, C]."""
        weights = self.weights(op.w)
        channels, _, *window = weights.shape
        width = op.type.shape[3]
        tile = window_tile(width, channels, self.machine)
        w, kind = self.constant(weights[:, 0].transpose(1, 2, 0), "weights"), _sum_type(op)
        ry, rx = te.reduce_axis((0, window[0]), "ry"), te.reduce_axis((0, window[1]), "rx")

        def term(n: Expr, h: Expr, v: Expr, c: Expr) -> Expr:
            x = self.element(op.x, (n, c, *self.place(op, h, v, ry, rx, width)), kind)
            return te.sum(x * self.cast(w(ry, rx, c), kind), axis=[ry, rx])

        n, _, h, v = op.type.shape
        return Sums(te.compute((n, h, v, channels), term, "sums"), tile, self.packed, 0, True)

    def weights(self, value: Value) -> Array:
        found = array_of(self.region.outer.get(value, value))
        assert found is not None
        return found

    def cast(self, value: Expr, kind: str) -> Expr:
        return value if kind_of(value) == kind else tirx.Cast(kind, value)

    @staticmethod
    def place(op: Any, h: Expr, v: Expr, ry: Expr, rx: Expr, width: int) -> tuple[Expr, Expr]:
        """Where a tap reads; rounded-up columns read the last one again."""
        (stride_h, stride_w), (dilation_h, dilation_w) = op.strides, op.dilations
        inside = tirx.min(v, width - 1)
        return h * stride_h + ry * dilation_h, inside * stride_w + rx * dilation_w

    # --- pools ----------------------------------------------------------------------------------------------------

    def pool(self, op: Pool) -> Sums:
        """Largest element or sum of each window."""
        n, channels, height, width = op.type.shape
        tile = window_tile(width, channels, self.machine)
        kind = DTYPES[op.type.dtype.name]
        ry, rx = (te.reduce_axis((0, k), name) for k, name in zip(op.kernel_shape, ("ry", "rx"), strict=True))
        combine = te.sum if op.kind == "sum" else largest(kind)

        def term(n: Expr, h: Expr, v: Expr, c: Expr) -> Expr:
            return combine(self.element(op.x, (n, c, *self.place(op, h, v, ry, rx, width)), kind), axis=[ry, rx])

        return Sums(te.compute((n, height, width, channels), term, "sums"), tile, self.packed, 0, True)

    # --- products -------------------------------------------------------------------------------------------------

    def product(self, op: MatMul | MatMulInteger) -> Sums:
        """a [..., M, K] by b [..., K, N], which is packed as [..., N / tile, K, tile]."""
        rows, inner = op.a.shape[-2:]
        columns, kind = op.b.shape[-1], _sum_type(op)
        tile = contraction_tile(rows, columns, self.machine)
        packed, size = self.right(op.b, tile)
        k = te.reduce_axis((0, inner), "k")
        batch = op.type.shape[:-2]

        def term(*place: Expr) -> Expr:
            *outer, m, n = place
            a = self.element(op.a, (*_broadcast(op.a, outer), tirx.min(m, rows - 1), k), kind)
            block, lane = tirx.floordiv(n, tile.columns), tirx.floormod(n, tile.columns)
            b = packed(*_broadcast(op.b, outer), block, k, lane)
            return te.sum(a * self.cast(b, kind), axis=[k])

        shape = (*batch, tile.padded_rows(rows), tile.padded_columns(columns))
        return Sums(te.compute(shape, term, "sums"), tile, self.packed, size, False)

    def right(self, b: Value, tile: Tile) -> tuple[Tensor, int]:
        """The packed right operand: a constant, or a stage of its own."""
        array = array_of(self.region.outer.get(b, b))
        depth, columns = b.shape[-2:]
        panels = tile.padded_columns(columns) // tile.columns
        if array is not None:
            wide = np.zeros((*b.shape[:-1], panels * tile.columns), array.dtype)
            wide[..., :columns] = array
            blocks = wide.reshape(*b.shape[:-1], panels, tile.columns).swapaxes(-2, -3)
            return self.constant(blocks, "weights"), blocks.nbytes

        def moved(*place: Expr) -> Expr:
            *outer, block, k, lane = place
            column = tirx.min(block * tile.columns + lane, columns - 1)
            return load(self.tensors[b], b.type, (*outer, k, column))

        return te.compute((*b.shape[:-2], panels, depth, tile.columns), moved, "panels"), 0


def _broadcast(value: Value, outer: Sequence[Expr]) -> list[Expr]:
    """The leading part of an operand's index."""
    count = value.rank - 2
    chosen = outer[len(outer) - count :] if count else []
    return [tirx.const(0, "int32") if n == 1 else i for n, i in zip(value.shape, chosen, strict=False)]


def _sum_type(op: Op) -> str:
    return "int32" if isinstance(op, ConvInteger | MatMulInteger) else DTYPES[op.results[0].dtype.name]


def largest(kind: str) -> Any:
    """A reduction to the largest element; NaN stays."""
    return _chosen(lambda a, b: b < a, least(kind), "largest")


def smallest(kind: str) -> Any:
    """A reduction to the smallest element; NaN stays."""
    return _chosen(lambda a, b: a < b, greatest(kind), "smallest")


def _chosen(wins: Callable[[Expr, Expr], Expr], start: Expr, name: str) -> Any:
    def combined(best: Expr, element: Expr) -> Expr:
        stays = wins(best, element)
        stays = tirx.any(stays, best != best) if kind_of(best).startswith("float") else stays
        return tirx.Select(stays, best, element)

    return te.comm_reducer(combined, lambda _: start, name=name)


def least(kind: str) -> Expr:
    """The least number of a type."""
    return number(-np.inf, kind) if kind.startswith("float") else tirx.min_value(kind)


def greatest(kind: str) -> Expr:
    """The greatest number of a type."""
    return number(np.inf, kind) if kind.startswith("float") else tirx.max_value(kind)


def integer_offset(op: ConvInteger | MatMulInteger, region: Region) -> Array:
    """What is added to the sums of x * w to give those of (x - zero) * w + bias."""
    value = op.w if isinstance(op, ConvInteger) else op.b
    weights = array_of(region.outer.get(value, value))
    assert weights is not None
    axes = tuple(range(1, weights.ndim)) if isinstance(op, ConvInteger) else (0,)
    zero = op.x_zero if isinstance(op, ConvInteger) else op.a_zero
    total = -int(zero) * weights.sum(axis=axes, dtype=np.int64)
    bias = None if op.bias is None else array_of(region.outer.get(op.bias, op.bias))
    return np.asarray(total if bias is None else total + bias, np.int64).astype(np.int32)

"""Calls of the kernels for products of float matrices, one or a batch, and for packing what a run computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...ir.dims import is_open, upper
from ...ir.ops import HalfMatMul, MatMul, PackPanels, PanelMatMul, array_of
from ...ir.ops.stored import to_rows
from ...ir.types import f16
from ...kernels import packing
from ...kernels.table import HALVES, Blocks, Tile, choose_blocks
from ...passes.places import broadcast_strides
from .affine import ZERO, Affine, Index
from .code import Address, Call, Declare, Do, Expression, For, Infix, Literal, Name, Prefix, Statement, size
from .kernel_call import KernelCall
from .kernel_calls import HEADERS, Caller, with_epilogue_apart
from .sizes import signed
from .stored_calls import halved, widened
from .window import Window, conv_tasks


class ProductCaller(Caller):
    """Writes calls for a product of matrices and for the packing of its right operand."""

    def product(self, op: MatMul | PanelMatMul) -> KernelCall:
        """One product for each index of the leading dimensions."""
        a, b = op.operands
        batch, (rows, columns), depth = op.type.shape[:-2], op.type.shape[-2:], a.shape[-1]
        at, to = self.place(a).strides, self.region.target.strides
        x_row, y_row = at[-2] if len(at) > 1 else 0, to[-2]
        if batch and self.rows_merge(op):
            x_row, y_row = self.row_stride(op, at), self.row_stride(op, to)
            rows, batch = rows * math.prod(batch), ()
        weights = array_of(self.outer(b)) if isinstance(op, MatMul) else None
        vectors = 0 if isinstance(op, MatMul) else op.panels.shape[-1] // self.target.lanes
        shape = Window(
            1, 1, 1, rows, columns, depth, (1, 1), (1, 1), (1, 1), (0, 0, x_row), (0, 0, y_row),
        )  # fmt: skip
        shape, tile = self.scheduled(shape, vectors=vectors, matrices=max(1, upper(math.prod(batch))))
        constants = {}
        if weights is not None:
            panel = tile.nv * self.target.lanes
            matrices = weights.astype(np.float32).reshape(-1, *weights.shape[-2:])
            constants["weights"] = np.concatenate([packing.pack_matmul(m, panel).reshape(-1) for m in matrices])
        call = self.batched(op, batch, shape, tile, constants, weights)
        if isinstance(op, HalfMatMul) and weights is not None:
            return halved(call, op, to_rows(weights), 1, tile.nv * self.target.lanes)
        return widened(call, self.outer(b), 1, tile.nv * self.target.lanes)

    def batched(
        self,
        op: MatMul | PanelMatMul,
        batch: tuple[int, ...],
        shape: Window,
        tile: Tile,
        constants: dict[str, np.ndarray],
        weights: np.ndarray | None,
    ) -> KernelCall:
        loops = [(f"b{i}", extent) for i, extent in enumerate(batch) if extent != 1]
        index = tuple(Affine.variable(f"b{i}") if extent != 1 else ZERO for i, extent in enumerate(batch))
        a, b = op.operands
        outer_a = a.shape[:-2] if batch else ()
        x = Address(self.pointers[a], self.batch_offset(index, outer_a, self.place(a).strides[:-2], batch))
        if weights is not None:
            per_matrix = constants["weights"].size // max(1, math.prod(weights.shape[:-2]))
            strides = _dense(weights.shape[:-2], per_matrix)
            w = Address("weights", self.batch_offset(index, weights.shape[:-2] if batch else (), strides, batch))
        else:
            place = self.place(b)
            outer_b = b.shape[:-3] if batch else ()
            w = Address(self.pointers[b], self.batch_offset(index, outer_b, place.strides[:-3], batch))
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-2], batch))
        seen = (lambda n, h, w, c: (*index, w, c)) if batch else self.row_index(op)
        epilogue, context = self.epilogue(seen, [name for name, _ in loops])
        shape = replace(with_epilogue_apart(shape, epilogue), halves=self.region.result.dtype == f16)
        inner = conv_tasks(shape, tile, self.target.lanes)
        each = loops and not is_open(inner) and inner > 1  # a task is a part of a matrix
        part = Infix("%", Name("task"), size(inner))
        begin: Expression = Name("begin") if not loops else size(0)
        end: Expression = Name("end") if not loops else size(inner)
        if each:
            begin, end = part, Infix("+", part, size(1))
        args = (
            x, w, Name("NULL"), y, Prefix("&", Name("shape")), Literal(tile.mr, "int32_t"), Literal(tile.nv, "int32_t"),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], begin, end,
        )  # fmt: skip
        body: list[Statement] = [*context[0], Do(Call("ec_conv_f32", args))]
        for name, extent in reversed(loops[1:]):
            body = [For(name, size(0), size(extent), size(1), body)]
        tasks = loops[0][1] if loops else inner
        if each:
            matrix = Declare("size_t", loops[0][0], Infix("/", Name("task"), size(inner)))
            body, tasks = [For("task", Name("begin"), Name("end"), size(1), [matrix, *body])], tasks * inner
        elif loops:
            body = [For(loops[0][0], Name("begin"), Name("end"), size(1), body)]
        whole = [shape.declare("shape"), *body]
        return KernelCall("matmul", whole, tasks, HEADERS["conv"], f"{tile.mr}x{tile.nv}", epilogue, constants)

    def batch_offset(
        self, index: Index, shape: tuple[int, ...], strides: Sequence[int], batch: tuple[int, ...]
    ) -> Affine:
        """Where a broadcast operand's matrix starts."""
        total = ZERO
        wide = broadcast_strides(shape, tuple(strides[: len(shape)]), batch) if shape else (0,) * len(batch)
        for position, stride in zip(index, wide, strict=True):
            total = total + position * stride
        return total

    def pack(self, op: PackPanels) -> KernelCall:
        batch = op.b.shape[:-2]
        depth, columns = op.b.shape[-2:]
        place = self.place(op.b)
        loops = [(f"b{i}", extent) for i, extent in enumerate(batch) if extent != 1]
        index = tuple(Affine.variable(f"b{i}") if extent != 1 else ZERO for i, extent in enumerate(batch))
        source = Address(self.pointers[op.b], self.batch_offset(index, batch, place.strides[:-2], batch))
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-3], batch))
        args: tuple[Expression, ...] = (
            source, y, size(depth), size(columns), *map(signed, place.strides[-2:]),
            Literal(op.panel // self.target.lanes, "int32_t"),
        )  # fmt: skip
        body: list[Statement] = [Do(Call("ec_pack_panels_f32", args))]
        for name, extent in reversed(loops[1:]):
            body = [For(name, size(0), size(extent), size(1), body)]
        first = loops[0] if loops else ("b", 1)
        body = [For(first[0], Name("begin"), Name("end"), size(1), body)]
        return KernelCall("pack", body, first[1], HEADERS["pack"])


class HalfCaller(ProductCaller):
    """Writes calls for products of f16: their tiles and schedules are others."""

    family = "conv_f16"

    def scheduled(self, shape: Window, flat: bool = False, vectors: int = 0, matrices: int = 1) -> tuple[Window, Tile]:
        return super().scheduled(replace(shape, number=HALVES.number), flat, vectors, matrices)

    @staticmethod
    def blocks(tile: Tile, out_h: int, out_w: int, out_c: int, k: int, *others: int) -> Blocks:
        return choose_blocks(tile, out_h, out_w, out_c, -(-k // 2), *others)  # weights are half as large


def _dense(shape: tuple[int, ...], inner: int) -> tuple[int, ...]:
    strides, step = [], inner
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))

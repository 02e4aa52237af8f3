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

Loop = tuple[str, int]
"""A variable and how many values it has, from 0."""


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
        """A product for each index of `batch`; a task is a matrix, or a part of one where each has several."""
        loops, index = _batch_loops(batch)
        x, w = self._operands(op, batch, index, constants, weights)
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-2], batch))
        seen = (lambda n, h, w, c: (*index, w, c)) if batch else self.row_index(op)
        epilogue, context = self.epilogue(seen, [name for name, _ in loops])
        shape = replace(with_epilogue_apart(shape, epilogue), halves=self.region.result.dtype == f16)
        inner = conv_tasks(shape, tile, self.target.lanes)
        args = (
            x, w, Name("NULL"), y, Prefix("&", Name("shape")), Literal(tile.mr, "int32_t"), Literal(tile.nv, "int32_t"),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], *_part(loops, inner),
        )  # fmt: skip
        body, tasks = _shared([*context[0], Do(Call("ec_conv_f32", args))], loops, inner)
        whole = [shape.declare("shape"), *body]
        return KernelCall("matmul", whole, tasks, HEADERS["conv"], f"{tile.mr}x{tile.nv}", epilogue, constants)

    def _operands(
        self,
        op: MatMul | PanelMatMul,
        batch: tuple[int, ...],
        index: Index,
        constants: dict[str, np.ndarray],
        weights: np.ndarray | None,
    ) -> tuple[Address, Address]:
        """Where the left matrix of an index starts, and the panels of the right one."""
        a, b = op.operands
        outer = a.shape[:-2] if batch else ()
        x = Address(self.pointers[a], self.batch_offset(index, outer, self.place(a).strides[:-2], batch))
        if weights is None:
            outer = b.shape[:-3] if batch else ()
            return x, Address(self.pointers[b], self.batch_offset(index, outer, self.place(b).strides[:-3], batch))
        per_matrix = constants["weights"].size // max(1, math.prod(weights.shape[:-2]))
        outer, strides = weights.shape[:-2] if batch else (), _dense(weights.shape[:-2], per_matrix)
        return x, Address("weights", self.batch_offset(index, outer, strides, batch))

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
        loops, index = _batch_loops(batch)
        source = Address(self.pointers[op.b], self.batch_offset(index, batch, place.strides[:-2], batch))
        y = Address("y", self.batch_offset(index, batch, self.region.target.strides[:-3], batch))
        args: tuple[Expression, ...] = (
            source, y, size(depth), size(columns), *map(signed, place.strides[-2:]),
            Literal(op.panel // self.target.lanes, "int32_t"),
        )  # fmt: skip
        first, *inner = loops or [("b", 1)]
        body = _nested([Do(Call("ec_pack_panels_f32", args))], inner)
        return KernelCall("pack", [_tasks_loop(first[0], body)], first[1], HEADERS["pack"])


def _batch_loops(batch: tuple[int, ...]) -> tuple[list[Loop], Index]:
    """A loop for each leading dimension that is not 1, and the index of a matrix in their variables."""
    loops = [(f"b{i}", extent) for i, extent in enumerate(batch) if extent != 1]
    index = tuple(Affine.variable(f"b{i}") if extent != 1 else ZERO for i, extent in enumerate(batch))
    return loops, index


def _has_parts(inner: int) -> bool:
    return not is_open(inner) and inner > 1


def _part(loops: Sequence[Loop], inner: int) -> tuple[Expression, Expression]:
    """Which of the `inner` tasks of a matrix are done where the kernel is called."""
    if not loops:
        return Name("begin"), Name("end")
    if not _has_parts(inner):
        return size(0), size(inner)
    part = Infix("%", Name("task"), size(inner))
    return part, Infix("+", part, size(1))


def _shared(body: list[Statement], loops: Sequence[Loop], inner: int) -> tuple[list[Statement], int]:
    """The loops over matrices of `inner` tasks around what does one, and how many tasks there are."""
    if not loops:
        return body, inner
    (name, extent), *others = loops
    body = _nested(body, others)
    if not _has_parts(inner):
        return [_tasks_loop(name, body)], extent
    matrix = Declare("size_t", name, Infix("/", Name("task"), size(inner)))
    return [_tasks_loop("task", [matrix, *body])], extent * inner


def _nested(body: list[Statement], loops: Sequence[Loop]) -> list[Statement]:
    for name, extent in reversed(loops):
        body = [For(name, size(0), size(extent), size(1), body)]
    return body


def _tasks_loop(name: str, body: list[Statement]) -> For:
    return For(name, Name("begin"), Name("end"), size(1), body)


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

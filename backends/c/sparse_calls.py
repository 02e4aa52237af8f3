"""Calls of the sparse kernel, where its expected time is less than that of the dense one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ...ir import Op, Value
from ...ir.ops import Conv, HalfConv, HalfMatMul, MatMul, Stored, array_of
from ...kernels.packing_sparse import pack_sparse, starts_of
from ...kernels.schedules import Question, Schedule
from ...kernels.table import choose_tile, estimate, get_isa
from ...kernels.table_sparse import (
    GAIN,
    SparseSize,
    SparseTile,
    choose_sparse,
    dense_vector_cycles,
    sparse_cycles,
    vector_cycles,
    vector_tile,
)
from .code import Call, Do, Expression, Literal, Name, Prefix, Statement, Structure
from .kernel_call import KernelCall
from .kernel_calls import Caller
from .window import Window

DENSE_ENOUGH = 0.9
"""Weights of which a larger part is not zero are not worth a word."""


@dataclass(frozen=True)
class _Product:
    """A product that the sparse kernel can do: its weights [k, n], its input, its shape and its cost when dense."""

    x: Value
    weights: np.ndarray
    shape: Window
    dense_cycles: float

    @property
    def size(self) -> SparseSize:
        pixels = self.shape.batch * self.shape.out_h * self.shape.out_w
        inputs, outputs = self.weights.shape
        return SparseSize(pixels, inputs, outputs, int(np.count_nonzero(self.weights)))


@dataclass(frozen=True)
class SparseSpace:
    """Whether zeros among the weights are left out."""

    question: Question
    expected: bool

    def default(self) -> Schedule:
        return (int(self.expected),)

    def fits(self, schedule: Schedule) -> bool:
        return schedule in ((0,), (1,))

    def candidates(self) -> list[Schedule]:
        return [(1 - int(self.expected),)]

    def variations(self, best: Schedule) -> list[Schedule]:
        return []


class SparseCaller(Caller):
    """Writes calls for products with constant weights, many of which are zero."""

    @property
    def core(self) -> str:
        """None: what the sparse kernel takes is not modelled for single cores either."""
        return ""

    def instead(self, dense: KernelCall) -> KernelCall:
        """The call of the sparse kernel if it is expected to be faster, else the dense one; a note says why."""
        product = self.product_of(self.anchor)
        if product is None or product.size.weights > DENSE_ENOUGH * product.weights.size:
            return dense
        isa, size = get_isa(self.target.isa, self.target.registers), product.size
        vector = size.pixels == 1
        tile = vector_tile(size) if vector else choose_sparse(isa, size)
        cycles = vector_cycles(isa, size) if vector else sparse_cycles(isa, tile, size)
        gain = self.dense_cycles(product) / max(cycles, 1.0)
        density = product.size.weights / max(product.weights.size, 1)
        about = f"{density:.0%} of the weights are not zero, a sparse kernel is expected to be {gain:.1f}x as fast"
        numbers = (size.pixels, size.in_c, size.out_c, size.weights)
        space = SparseSpace(Question("sparse_f32", numbers, epilogue=self.fused_names()), gain >= GAIN)
        schedule = self.book.choose(space)
        if not schedule[0]:
            asked = [*dense.asked, (space.question, schedule)]
            return replace(dense, note=f"dense kept: {about}", asked=asked)
        return replace(self.sparse(product, tile), note=f"sparse: {about}", asked=[(space.question, schedule)])

    def dense_cycles(self, product: _Product) -> float:
        if product.size.pixels > 1:
            return product.dense_cycles
        isa = get_isa(self.target.isa, self.target.registers)
        return dense_vector_cycles(isa, product.dense_cycles, product.weights.nbytes, self.target.l2_bytes)

    def product_of(self, op: Op) -> _Product | None:
        if isinstance(op, Conv | MatMul) and isinstance(self.outer(op.operands[1]).producer, Stored):
            return None
        if op.type.is_open or isinstance(op, HalfConv | HalfMatMul):
            return None
        if isinstance(op, Conv):
            return self.pointwise(op)
        return self.matrix(op) if isinstance(op, MatMul) else None

    def pointwise(self, op: Conv) -> _Product | None:
        """A 1x1 convolution in one group."""
        weights = array_of(self.outer(op.w))
        if weights is None or op.groups > 1 or weights.ndim != 4 or weights.dtype != np.float32:
            return None
        shape = self.window(op.x, weights.shape[2:], op, 1, weights.shape[0], weights.shape[1])
        if shape.kernel != (1, 1):
            return None
        flat = self.flattened(shape, op)
        matrix = weights.reshape(weights.shape[:2]).T
        return _Product(op.x, matrix, shape, flat.batch * flat.out_h * self.row_cost(flat))

    def matrix(self, op: MatMul) -> _Product | None:
        """Several rows times one matrix."""
        weights, rows = array_of(self.outer(op.b)), math.prod(op.type.shape[:-1])
        if weights is None or weights.ndim != 2 or weights.dtype != np.float32:
            return None
        if not self.rows_merge(op):
            return None
        at, to = (self.row_stride(op, place.strides) for place in (self.place(op.a), self.region.target))
        isa, (k, n) = self.target.isa, weights.shape
        shape = Window(1, 1, 1, rows, n, k, (1, 1), (1, 1), (1, 1), (0, 0, at), (0, 0, to))
        tile = choose_tile(isa, rows, n, k, self.target.registers)
        return _Product(op.a, weights, shape, estimate(get_isa(isa, self.target.registers), tile, rows, n, k))

    def sparse(self, product: _Product, tile: SparseTile) -> KernelCall:
        constants = self.packed(product, tile)
        weights = tuple(map(Name, constants))
        if isinstance(self.anchor, Conv):
            self.add_bias(constants, self.anchor, lambda bias: bias)
        bias = Name("bias" if "bias" in constants else "NULL")
        epilogue, context = self.epilogue(
            self.row_index(self.anchor) if isinstance(self.anchor, MatMul) else self.image_index(product.shape)
        )
        vectors = (Literal(tile.nv, "int32_t"),) if tile.nv else ()
        args: tuple[Expression, ...] = (
            Name(self.pointers[product.x]), *weights, bias, Name("y"), Prefix("&", Name("shape")), *vectors,
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], Name("begin"), Name("end"),
        )  # fmt: skip
        call = Do(Call("ec_sparse_f32" if tile.nv else "ec_sparse_vector_f32", args))
        body: list[Statement] = [_declare(product.shape, tile), *context[0], call]
        text = f"{tile.nv}x{tile.block_k}x{tile.block_c}" if tile.nv else "vector"
        tasks = self.tasks(product, tile)
        return KernelCall("sparse", body, tasks, "ec_sparse_f32.h", text, epilogue, constants)

    def packed(self, product: _Product, tile: SparseTile) -> dict[str, np.ndarray]:
        """The arrays of weights in the order in which the kernel takes them."""
        packed = pack_sparse(product.weights, tile.block_k, tile.block_c)
        arrays = {f"weights_{name}": array for name, array in packed._asdict().items()}
        return arrays if tile.nv else {**arrays, "weights_starts": starts_of(product.weights, tile.block_c)}

    def tasks(self, product: _Product, tile: SparseTile) -> int:
        """What the kernel's function of tasks returns."""
        if not tile.nv:
            return -(-product.size.out_c // tile.block_c)
        shape = product.shape
        return shape.batch * -(-shape.out_h * shape.out_w // (tile.nv * self.target.lanes))


def _declare(shape: Window, tile: SparseTile) -> Structure:
    (down, right), (x_n, x_h, x_w), (y_n, y_h, y_w) = shape.strides, shape.x, shape.y
    numbers = {
        "batch": shape.batch, "out_h": shape.out_h, "out_w": shape.out_w, "in_c": shape.in_c, "out_c": shape.out_c,
        "x_n": x_n, "x_h": x_h * down, "x_w": x_w * right, "y_n": y_n, "y_h": y_h, "y_w": y_w,
        "block_k": tile.block_k, "block_c": tile.block_c,
    }  # fmt: skip
    return Structure("const ec_sparse_shape", "shape", tuple((k, Literal(v, "int32_t")) for k, v in numbers.items()))

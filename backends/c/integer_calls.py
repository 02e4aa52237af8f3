"""Calls of the 8-bit kernels: integer convolutions and products, pooling of bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...errors import ModelError
from ...ir import Value
from ...ir.dims import upper
from ...ir.ops import ConvInteger, MatMulInteger, Pool, array_of
from ...ir.ops.quantize import Requantizing
from ...kernels import packing_i8 as packing
from ...kernels.table import Tile
from ...kernels.table_i8 import (
    IntegerIsa,
    choose_blocks_i8,
    choose_tile_i8,
    depthwise_pixels_i8,
    estimate_i8,
    get_isa_i8,
    useful_tiles_i8,
)
from .affine import Affine, Index, address
from .code import Address, Call, Do, Expression, For, Infix, Literal, Name, Prefix, Statement, Structure, size
from .elements import Elements
from .kernel_call import KernelCall
from .kernel_calls import Caller
from .ranges import exact_interval
from .window import Window, conv_tasks

KINDS = {"u8": "EC_U8", "i8": "EC_S8", "i16": "EC_S16", "f32": "EC_F32"}
PACKED_KINDS = {"u8": "u8", "i8": "s8"}
STORABLE = 2.0**30
"""The largest number that EC_REQUANTIZED takes."""


class IntegerCaller(Caller):
    """Writes calls for anchors on 8-bit tensors."""

    family = "conv_i8"

    def conv_integer(self, op: ConvInteger) -> KernelCall:
        weights = self.constant(op.w)
        shape = self.window(op.x, weights.shape[2:], op, op.groups, weights.shape[0] // op.groups, weights.shape[1])
        bias = self.bias(op, op.x, weights, op.x_zero)
        if op.is_depthwise:
            return self.depthwise_integer(op, weights, bias)
        shape, tile = self.scheduled(shape, self.flattens(shape, op))
        panel = tile.nv * self.target.lanes
        merged = packing.merges_taps(shape.kernel[1], shape.dilations[1], shape.x[2], shape.in_c)
        constants = {
            "weights": packing.pack_conv_i8(weights, op.groups, panel, merged),
            "bias": packing.pack_bias_i8(bias, op.groups, panel),
        }
        return self.integer_call(op.x, shape, tile, constants, self.image_index(shape))

    def depthwise_integer(self, op: ConvInteger, weights: np.ndarray, bias: np.ndarray) -> KernelCall:
        shape = self.window(op.x, weights.shape[2:], op, op.groups, 1, 1)
        target = self.target
        tile = Tile(self.byte_pixels(shape), 1, target.lanes)
        rows = packing.depthwise_rows(target.isa, target.features)
        constants = {
            "weights": packing.pack_depthwise_i8(weights, target.lanes, rows),
            "bias": packing.pack_bias_i8(bias, 1, self.target.lanes),
        }
        epilogue, context = self.epilogue(self.image_index(shape))
        args = (
            Name(self.pointers[op.x]), Name("weights"), Name("bias"), Name("y"), Prefix("&", Name("shape")),
            Literal(tile.mr, "int32_t"), *self.kinds(op.x), Name(epilogue.name if epilogue else "ec_epilogue_none"),
            context[1], Name("begin"), Name("end"),
        )  # fmt: skip
        body = [self.agreement(op.x, "ROWS_"), shape.declare("shape"), *context[0], Do(Call("ec_depthwise_i8", args))]
        return KernelCall(
            "depthwise_i8", body, shape.batch * shape.out_h, "ec_depthwise_i8.h", f"{tile.mr}x1", epilogue, constants
        )  # fmt: skip

    def product_integer(self, op: MatMulInteger) -> KernelCall:
        """One product over the rows of all batches."""
        weights = self.constant(op.b)
        batch = () if self.rows_merge_under(op.a, op) else op.type.shape[:-2]
        rows = op.a.shape[-2] if batch else op.a.type.size // op.a.shape[-1]
        strides = (self.place(op.a).strides, self.region.target.strides)
        at, to = (s[-2] if batch else self.row_stride(op, s) for s in strides)
        shape = Window(
            1, 1, 1, rows, op.type.shape[-1], op.a.shape[-1], (1, 1), (1, 1), (1, 1), (0, 0, at), (0, 0, to)
        )  # fmt: skip
        shape, tile = self.scheduled(shape)
        panel = tile.nv * self.target.lanes
        bias = self.bias(op, op.a, np.ascontiguousarray(weights.T), op.a_zero)
        constants = {
            "weights": packing.pack_matmul_i8(weights, panel),
            "bias": packing.pack_bias_i8(bias, 1, panel),
        }
        if batch:
            return self.batched_integer(op, batch, shape, tile, constants)
        return self.integer_call(op.a, shape, tile, constants, self.row_index(op))

    def batched_integer(
        self,
        op: MatMulInteger,
        batch: tuple[int, ...],
        shape: Window,
        tile: Tile,
        constants: dict[str, np.ndarray],
    ) -> KernelCall:
        """One product for each index of the leading dimensions; tasks are the outermost of them."""
        names = [f"b{i}" for i in range(len(batch))]
        index = tuple(map(Affine.variable, names))
        call = self.integer_call(op.a, shape, tile, constants, lambda n, h, w, c: (*index, w, c), names)
        x = Address(self.pointers[op.a], address(index, self.place(op.a).strides[:-2]))
        y = Address("y", address(index, self.region.target.strides[:-2]))
        *before, last = call.body
        assert isinstance(last, Do)
        assert isinstance(last.expression, Call)
        args = list(last.expression.args)
        args[0], args[3], args[-2], args[-1] = x, y, size(0), size(call.tasks)
        static = [s for s in before if not _is_context(s)]
        inner: list[Statement] = [*filter(_is_context, before), Do(Call(last.expression.function, tuple(args)))]
        for name, extent in reversed(list(zip(names, batch, strict=True))[1:]):
            inner = [For(name, size(0), size(extent), size(1), inner)]
        body = [*static, For(names[0], Name("begin"), Name("end"), size(1), inner)]
        return replace(call, body=body, tasks=batch[0])

    def integer_call(
        self, x: Value, shape: Window, tile: Tile, constants: dict[str, np.ndarray],
        index: Callable[[Affine, Affine, Affine, Affine], Index], outer: Sequence[str] = (),
    ) -> KernelCall:  # fmt: skip
        epilogue, context = self.epilogue(index, outer)
        args = (
            Name(self.pointers[x]), Name("weights"), Name("bias"), Name("y"), Prefix("&", Name("shape")),
            Literal(tile.mr, "int32_t"), Literal(tile.nv, "int32_t"), *self.kinds(x),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], *shape.tasks(),
        )  # fmt: skip
        body = [self.agreement(x), shape.declare("shape"), *context[0], Do(Call("ec_conv_i8", args))]
        tasks = conv_tasks(shape, tile, self.target.lanes)
        return KernelCall("conv_i8", body, tasks, "ec_conv_i8.h", f"{tile.mr}x{tile.nv}", epilogue, constants)

    def pool_integer(self, op: Pool) -> KernelCall:
        """The largest byte of each window as it is, or the sum of a window through an epilogue."""
        shape = self.window(op.x, op.kernel_shape, op, op.type.shape[1], 1, 1)
        places = (Name(self.pointers[op.x]), Name("y"), Prefix("&", Name("shape")))
        if op.kind == "max":
            args = (*places, self.kinds(op.x)[0], Name("begin"), Name("end"))
            body: list[Statement] = [shape.declare("shape"), Do(Call("ec_pool_i8_max", args))]
            return KernelCall("pool_i8", body, shape.batch * shape.out_h, "ec_pool_i8.h")
        epilogue, context = self.epilogue(self.image_index(shape))
        name = Name(epilogue.name if epilogue else "ec_epilogue_none")
        call = Call("ec_pool_i8_sum", (*places, *self.kinds(op.x), name, context[1], Name("begin"), Name("end")))
        body = [shape.declare("shape"), *context[0], Do(call)]
        return KernelCall("pool_i8", body, shape.batch * shape.out_h, "ec_pool_i8.h", "", epilogue)

    def byte_pixels(self, shape: Window) -> int:
        """The pixels of a depthwise tile."""
        target, taps, width = self.target, math.prod(shape.kernel), upper(shape.out_w)
        return depthwise_pixels_i8(
            target.isa, target.features, target.registers, taps, width, shape.strides[1], self.core
        )

    def tile(self, shape: Window, vectors: int = 0, matrices: int = 1) -> Tile:
        target = self.target
        width, channels, depth = map(upper, (shape.out_w, shape.out_c, shape.depth))
        return choose_tile_i8(target.isa, target.features, width, channels, depth, target.registers, self.core)

    @property
    def integer_isa(self) -> IntegerIsa:
        return get_isa_i8(self.target.isa, self.target.features, self.target.registers, self.core)

    def useful(self, shape: Window, vectors: int = 0) -> Iterator[Tile]:
        return useful_tiles_i8(self.integer_isa, shape.out_w, shape.out_c)

    def cost_of(self, shape: Window, tile: Tile) -> float:
        return estimate_i8(self.integer_isa, tile, *map(upper, (shape.out_w, shape.out_c, shape.depth)))

    blocks = staticmethod(choose_blocks_i8)

    def kinds(self, x: Value) -> tuple[Expression, Expression]:
        """How x is read and how the result is stored."""
        kind = Name(KINDS[self.region.result.dtype.name])
        last = self.requantized()
        if last is None:
            return Name(KINDS[x.dtype.name]), kind
        zero = self.region.literal(last.zero)
        assert zero is not None
        return Name(KINDS[x.dtype.name]), Call("EC_REQUANTIZED", (kind, Literal(int(zero), "int32_t")))

    def requantized(self) -> Requantizing | None:
        """The op that ends the region, where the kernel's store can round, shift and saturate in its place."""
        last = self.region.result.producer
        if not isinstance(last, Requantizing) or last.to.name not in PACKED_KINDS:
            return None
        return last if self.region.literal(last.zero) is not None else None

    def result(self, elements: Elements, index: Index) -> Expression:
        """What an epilogue returns: for kernels that round themselves numbers that are not too large for it."""
        last = self.requantized()
        if last is None:
            return super().result(elements, index)
        value = elements.exact(last, index)
        low, high = exact_interval(self.region, last)
        if low >= -STORABLE and high <= STORABLE:
            return value
        bounds = [Call("ec_f32_set", (Literal(bound),)) for bound in (-STORABLE, STORABLE)]
        return Call("ec_f32_min", (bounds[1], Call("ec_f32_max", (value, bounds[0]))))

    def offset(self, x: Value, depthwise: bool) -> int:
        """What the kernel adds to each x; the bias makes up for it."""
        of = packing.depthwise_offset if depthwise else packing.x_offset
        return of(self.target.isa, self.target.features, PACKED_KINDS[x.dtype.name])

    def agreement(self, x: Value, family: str = "") -> Statement:
        """Refuse to compile with flags under which the kernel would shift x by another offset than the bias assumes."""
        macro = f"EC_I8_{family}OFFSET_{PACKED_KINDS[x.dtype.name].upper()}"
        equal = Infix("==", Name(macro), Literal(self.offset(x, bool(family)), "int32_t"))
        return Do(Call("_Static_assert", (equal, Name('"the weights were packed for other compiler flags"'))))

    def bias(self, op: ConvInteger | MatMulInteger, x: Value, weights: np.ndarray, zero: int) -> np.ndarray:
        """The bias with the zero point of x folded in; weights by output channel."""
        given = np.zeros(len(weights), np.int32) if op.bias is None else self.constant(op.bias)
        offset = self.offset(x, isinstance(op, ConvInteger) and op.is_depthwise)
        try:
            return packing.fold_into_bias(given, weights, zero, offset)
        except ValueError as error:
            raise ModelError(f"{op.name}: {error}", where=op.where) from None

    def constant(self, value: Value) -> np.ndarray:
        array = array_of(self.outer(value))
        if array is None:
            raise ModelError(f"{self.anchor.name}: weights and bias must be constants", where=self.anchor.where)
        return array


def _is_context(statement: Statement) -> bool:
    """Whether a statement gathers what the epilogue reads, which differs from one batch to the next."""
    return isinstance(statement, Structure) and statement.ctype == "const ec_context"

"""Calls of the kernels for 16-bit values: integer convolutions and products, pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...ir import Value
from ...ir.dims import upper
from ...ir.ops import ConvInteger, MatMulInteger, Pool
from ...kernels import packing_i8
from ...kernels import packing_i16 as packing
from ...kernels.table import Tile
from ...kernels.table_i8 import IntegerIsa
from ...kernels.table_i16 import choose_tile_i16, depthwise_pixels_i16, estimate_i16, get_isa_i16
from .affine import Affine, Index
from .code import Call, Do, Literal, Name, Prefix, Statement
from .integer_calls import IntegerCaller
from .kernel_call import KernelCall
from .window import Window, conv_tasks

Array = np.ndarray


class WordCaller(IntegerCaller):
    """Writes the calls of IntegerCaller for anchors on i16 tensors."""

    family = "conv_i16"

    def integer_call(
        self, x: Value, shape: Window, tile: Tile, constants: dict[str, Array],
        index: Callable[[Affine, Affine, Affine, Affine], Index], outer: Sequence[str] = (),
    ) -> KernelCall:  # fmt: skip
        weights, panel = self.by_output(), tile.nv * self.target.lanes
        merged = packing_i8.merges_taps(shape.kernel[1], shape.dilations[1], shape.x[2], shape.in_c)
        packed = packing.pack_conv_i16(weights, shape.groups, panel, merged)
        wide = packing.needs_wide_sums(weights, self.folded_bias(weights))
        epilogue, context = self.epilogue(index, outer)
        args = (
            Name(self.pointers[x]), Name("weights"), Name("bias"), Name("y"), Prefix("&", Name("shape")),
            Literal(tile.mr, "int32_t"), Literal(tile.nv, "int32_t"), Literal(int(wide), "int32_t"), self.kinds(x)[1],
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], *shape.tasks(),
        )  # fmt: skip
        body: list[Statement] = [shape.declare("shape"), *context[0], Do(Call("ec_conv_i16", args))]
        tasks = conv_tasks(shape, tile, self.target.lanes)
        found = {"weights": packed, "bias": constants["bias"]}
        return KernelCall("conv_i16", body, tasks, "ec_conv_i16.h", f"{tile.mr}x{tile.nv}", epilogue, found)

    def depthwise_integer(self, op: ConvInteger, weights: Array, bias: Array) -> KernelCall:
        """By the depthwise kernel, or as a convolution of many groups where 32 bits do not hold every sum."""
        shape = self.window(op.x, weights.shape[2:], op, op.groups, 1, 1)
        lanes = self.target.lanes
        if packing.needs_wide_sums(weights, bias):
            tile = self.tile(shape)
            packed = {"bias": packing_i8.pack_bias_i8(bias, op.groups, tile.nv * lanes)}
            return self.integer_call(op.x, self.blocked(shape, tile), tile, packed, self.image_index(shape))
        pixels = min(depthwise_pixels_i16(self.target.registers), shape.out_w)
        epilogue, context = self.epilogue(self.image_index(shape))
        args = (
            Name(self.pointers[op.x]), Name("weights"), Name("bias"), Name("y"), Prefix("&", Name("shape")),
            Literal(pixels, "int32_t"), self.kinds(op.x)[1], Name(epilogue.name if epilogue else "ec_epilogue_none"),
            context[1], Name("begin"), Name("end"),
        )  # fmt: skip
        body: list[Statement] = [shape.declare("shape"), *context[0], Do(Call("ec_depthwise_i16", args))]
        constants = {
            "weights": packing.pack_depthwise_i16(weights, lanes),
            "bias": packing_i8.pack_bias_i8(bias, 1, lanes),
        }
        tasks = shape.batch * shape.out_h
        return KernelCall("depthwise_i16", body, tasks, "ec_depthwise_i16.h", f"{pixels}x1", epilogue, constants)

    def pool_integer(self, op: Pool) -> KernelCall:
        """The largest number or the sum of each window, through an epilogue."""
        shape = self.window(op.x, op.kernel_shape, op, op.type.shape[1], 1, 1)
        epilogue, context = self.epilogue(self.image_index(shape))
        args = (
            Name(self.pointers[op.x]), Name("y"), Prefix("&", Name("shape")), Literal(int(op.kind == "sum"), "int32_t"),
            self.kinds(op.x)[1], Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], Name("begin"),
            Name("end"),
        )  # fmt: skip
        body: list[Statement] = [shape.declare("shape"), *context[0], Do(Call("ec_pool_i16", args))]
        return KernelCall("pool_i16", body, shape.batch * shape.out_h, "ec_pool_i16.h", "", epilogue)

    def by_output(self) -> Array:
        """The weights of the anchor, [outputs, inputs, kernel height, kernel width]."""
        weights = self.constant(self.anchor.operands[1])
        return weights if isinstance(self.anchor, ConvInteger) else weights.T[:, :, None, None]

    def folded_bias(self, weights: Array) -> Array:
        """What the sums start with."""
        op = self.anchor
        assert isinstance(op, ConvInteger | MatMulInteger)
        return self.bias(op, op.operands[0], weights, op.x_zero if isinstance(op, ConvInteger) else op.a_zero)

    def tile(self, shape: Window, vectors: int = 0, matrices: int = 1) -> Tile:
        target = self.target
        width, channels, depth = map(upper, (shape.out_w, shape.out_c, shape.depth))
        return choose_tile_i16(target.isa, target.features, width, channels, depth, target.registers)

    @property
    def integer_isa(self) -> IntegerIsa:
        return get_isa_i16(self.target.isa, self.target.features, self.target.registers)

    def cost_of(self, shape: Window, tile: Tile) -> float:
        return estimate_i16(self.integer_isa, tile, shape.out_w, shape.out_c, shape.depth)

    def offset(self, x: Value, depthwise: bool) -> int:
        """Every ISA multiplies signed 16-bit numbers as they are."""
        return 0

"""Calls of the integer kernel for weights of 4 bits, which may have scales in groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...ir import Op, Value
from ...ir.ops import ConvInteger, GroupedConvInteger, GroupedMatMulInteger, MatMulInteger, array_of
from ...ir.ops.stored import to_rows
from ...kernels import packing_weights
from ...kernels.packing import pack_bias
from ...kernels.table import Tile
from .affine import Affine, Index
from .code import Call, Do, Expression, Literal, Name, Statement, Structure, size
from .integer_calls import IntegerCaller
from .kernel_call import KernelCall
from .region import Region
from .stored_calls import runs_of
from .window import Window

GROUPED = (GroupedConvInteger, GroupedMatMulInteger)
POINTERS = {"bias": "bias", "scale": "scales", "sums": "sums"}
"""The arrays behind the pointers of ec_i4_weights."""
Array = np.ndarray


def has_four_bits(region: Region, anchor: Op) -> bool:
    """Whether the weights of an integer contraction fit into 4 bits, and its kernel takes such."""
    if isinstance(anchor, GROUPED):
        return True
    if not isinstance(anchor, ConvInteger | MatMulInteger) or getattr(anchor, "is_depthwise", False):
        return False
    weights = array_of(region.outer.get(anchor.operands[1], anchor.operands[1]))
    return weights is not None and anchor.operands[0].dtype.bits == 8 and packing_weights.fits_four_bits(weights)


class FourBitCaller(IntegerCaller):
    """Writes the calls of IntegerCaller with weights packed by two."""

    family = "conv_i4"

    def integer_call(
        self, x: Value, shape: Window, tile: Tile, constants: dict[str, Array],
        index: Callable[[Affine, Affine, Affine, Affine], Index], outer: Sequence[str] = (),
    ) -> KernelCall:  # fmt: skip
        rows = np.ascontiguousarray(to_rows(self.constant(self.anchor.operands[1])))
        group = self.anchor.group if isinstance(self.anchor, GROUPED) else rows.shape[1]
        panel = tile.nv * self.target.lanes
        runs = runs_of(shape) if isinstance(self.anchor, ConvInteger) else 1
        packed = packing_weights.pack_four_bits_i8(rows, shape.groups, panel, runs, group)
        found = {"weights": packed, **self.scalings(x, rows, shape, panel, constants)}
        call = super().integer_call(x, shape, tile, found, index, outer)
        fields: dict[str, Expression] = {
            "data": Name("weights"), **{name: Name(array) for name, array in POINTERS.items() if array in found},
            "scaled": Literal(int("scales" in found), "int32_t"), "shift": Literal(self.shift(x), "int32_t"),
            "group": size(group),
            "groups": size(-(-rows.shape[1] // group)), "panel": size(packed.shape[1]),
        }  # fmt: skip
        declared = Structure("const ec_i4_weights", "packed", tuple(fields.items()))
        start = Name("start" if "start" in found else "NULL")
        body = [declared, *(_reading(s, start) for s in call.body)]
        name = "conv_i4 grouped" if "scales" in found else "conv_i4"
        return replace(call, kernel=name, body=body, header="ec_conv_i4.h")

    def scalings(
        self, x: Value, rows: Array, shape: Window, panel: int, constants: dict[str, Array]
    ) -> dict[str, Array]:
        """The bias, or for grouped contractions the scales and sums of weights, and what results start with."""
        op = self.anchor
        if not isinstance(op, GROUPED):
            return {"bias": constants["bias"]}
        assert op.scale is not None
        cuts = range(0, rows.shape[1], op.group)
        sums = np.stack([rows[:, k : k + op.group].sum(1, dtype=np.int16) for k in cuts], axis=1)
        start = np.zeros(len(rows), np.float32) if op.bias is None else self.constant(op.bias)
        return {
            "sums": packing_weights.pack_scales(sums, shape.groups, panel),
            "scales": packing_weights.pack_scales(self.constant(op.scale), shape.groups, panel),
            "start": pack_bias(start, shape.groups, panel),
        }

    def shift(self, x: Value) -> int:
        """What each x is too large by where the kernel multiplies it; 0 where the bias makes up for it."""
        op = self.anchor
        if not isinstance(op, GROUPED):
            return 0
        return (op.x_zero if isinstance(op, GroupedConvInteger) else op.a_zero) + self.offset(x, False)

    def bias(self, op: ConvInteger | MatMulInteger, x: Value, weights: Array, zero: int) -> Array:
        """As for 8 bits; nothing for grouped contractions, whose groups have one each."""
        return np.zeros(len(weights), np.int32) if isinstance(op, GROUPED) else super().bias(op, x, weights, zero)


def _reading(statement: Statement, start: Name) -> Statement:
    """The same statement with the call reading the packed weights."""
    if not isinstance(statement, Do) or not isinstance(statement.expression, Call):
        return statement
    call = statement.expression
    if call.function != "ec_conv_i8":
        return statement
    return Do(Call("ec_conv_i4", (call.args[0], Name("packed"), start, *call.args[3:])))

"""Calls of the kernel for convolutions on transformed tiles."""

from __future__ import annotations

from dataclasses import replace

from ...errors import EdgecError
from ...ir.ops import WinogradConv, array_of
from ...kernels import packing
from ...kernels.table_winograd import Layer, Machine, WinogradPlan, plan_winograd
from .code import Call, Do, Expression, Literal, Name, Prefix, size
from .kernel_call import KernelCall, winograd_question
from .kernel_calls import Caller


class WinogradCaller(Caller):
    """Writes the call for one convolution."""

    def winograd(self, op: WinogradConv) -> KernelCall:
        weights = array_of(self.outer(op.w))
        assert weights is not None
        plan = self.plan(op)
        self.asked.append((winograd_question(op), (plan.edge, plan.block)))
        panel, (out_c, in_c) = plan.tile.panel, weights.shape[:2]
        shape = replace(self.window(op.x, (3, 3), op, 1, out_c, in_c), block_h=plan.block, block_c=plan.panels)
        constants = {"weights": packing.pack_conv(weights, 1, panel)}
        self.add_bias(constants, op, lambda bias: packing.pack_bias(bias, 1, panel))
        epilogue, context = self.epilogue(self.image_index(shape))
        args: tuple[Expression, ...] = (
            Name(self.pointers[op.x]), Name("weights"), Name("bias" if "bias" in constants else "NULL"), Name("y"),
            Name("scratch"), Prefix("&", Name("shape")),
            *(Literal(n, "int32_t") for n in (plan.edge, plan.tile.mr, plan.tile.nv)),
            Name(epilogue.name if epilogue else "ec_epilogue_none"), context[1], size(plan.tasks), Name("begin"),
            Name("end"),
        )  # fmt: skip
        body = [shape.declare("shape"), *context[0], Do(Call("ec_winograd_f32", args))]
        tile = f"F{plan.edge} {plan.tile.mr}x{plan.tile.nv}"
        return KernelCall("winograd", body, plan.tasks, "ec_winograd_f32.h", tile, epilogue, constants)

    def plan(self, op: WinogradConv) -> WinogradPlan:
        """What the pass planned; it must have been for this target."""
        n, out_c, h, w = op.type.shape
        layer = Layer(n, h, w, out_c, op.w.shape[1])
        machine = Machine(self.target.isa, self.target.registers, self.target.l2_bytes, self.target.l3_bytes)
        plan = plan_winograd(machine, layer, op.edge, op.block or layer.tiles(op.edge))
        if plan.scratch > op.scratch:
            what = f"scratch is {op.scratch} bytes, the kernel needs {plan.scratch} on {self.target.name}"
            raise EdgecError(what, where=op.where, hint="let the pass `winograd` choose for this target")
        return plan

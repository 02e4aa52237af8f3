"""Calls of the kernels of recurrent layers."""

from __future__ import annotations

import numpy as np

from ...ir import Value
from ...ir.dims import upper
from ...ir.ops import Recurrent, RecurrentInteger, array_of
from ...ir.ops.recurrent import GATES
from ...kernels.table import choose_recurrent
from .code import Call, Do, Expression, Literal, Name, Prefix, Statement, Structure
from .kernel_call import KernelCall
from .kernel_calls import Caller
from .sizes import number

OPERANDS = ("scale", "bias", "peephole", "hidden", "memory", "lengths")


class RecurrentCaller(Caller):
    """Writes the call for a recurrent layer."""

    def recurrent(self, op: Recurrent) -> KernelCall:
        rows = 1 if op.lengths is not None else upper(op.x.shape[1])
        gates = GATES[op.cell]
        tile = choose_recurrent(self.target.isa, rows, op.size, gates, self.target.registers)
        constants: dict[str, np.ndarray] = {}
        fields = [("weights", self.pointer(op.weight, "weights", constants))]
        for name in OPERANDS:
            value = getattr(op, name, None)
            fields.append(
                (
                    "scales" if name == "scale" else name,
                    Name("NULL") if value is None else self.pointer(value, name, constants),
                )
            )
        operands = Structure("const ec_recurrent_operands", "operands", tuple(fields))
        args = (
            self.pointer(op.x, "x", constants), Prefix("&", Name("operands")), Name("y"), Prefix("&", Name("shape")),
            Literal(tile.mr, "int32_t"), Literal(op.panel // self.target.lanes, "int32_t"), Name("begin"), Name("end"),
        )  # fmt: skip
        body: list[Statement] = [_shape(op), operands, Do(Call("ec_recurrent", args))]
        tasks = -(-op.x.shape[1] // tile.mr)
        label = f"{tile.mr}x{op.panel // self.target.lanes}"
        return KernelCall("recurrent", body, tasks, "ec_recurrent.h", label, constants=constants)

    def pointer(self, value: Value, name: str, constants: dict[str, np.ndarray]) -> Expression:
        """The pointer to an operand; a constant of one element, which has none, is stored under a name of its own."""
        if value in self.pointers:
            return Name(self.pointers[value])
        array = array_of(self.outer(value))
        assert array is not None
        constants[name] = array
        return Name(name)


def _shape(op: Recurrent) -> Structure:
    steps, batch, _ = op.x.shape
    numbers = {
        "steps": steps, "batch": batch, "hidden": op.size, "reverse": int(op.reverse),
        "linear_before_reset": int(op.linear_before_reset), "input_forget": int(op.input_forget),
    }  # fmt: skip
    fields: list[tuple[str, Expression]] = [("cell", Name(f"EC_{op.cell.upper()}"))]
    fields += [(name, number(value)) for name, value in numbers.items()]
    fields.append(("clip", Literal(op.clip)))
    if isinstance(op, RecurrentInteger):
        fields += [("integer", Literal(1, "int32_t")), ("memory_unit", Literal(op.memory_unit))]
    exact = "EXACT_" if isinstance(op, RecurrentInteger) else ""
    for name, kind, alpha, beta in zip("fgh", op.activations, op.alphas, op.betas, strict=False):
        whole = (Name(f"EC_{exact}{kind.upper()}"), Literal(alpha), Literal(beta))
        fields.append((name, Call("EC_ACTIVATION", whole)))
    return Structure("const ec_recurrent_shape", "shape", tuple(fields))

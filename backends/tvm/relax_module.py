"""The program as a Relax module: what a TVM user can go on from, and what TVM's virtual machine runs."""

from __future__ import annotations

from typing import Any

from .packages import relax
from .program import Argument, Program, Slot

MAIN = "main"


def relax_module(program: Program, kernels: dict[str, Any] | None = None) -> Any:
    """`main` takes the inputs, then the constants in the order of `Program.constants`; one function for each kernel."""
    builder = relax.BlockBuilder()
    inputs = [_variable(slot, f"input_{i}") for i, slot in enumerate(program.inputs)]
    weights = [_variable(slot, f"weight_{i}") for i, slot in enumerate(program.constants)]
    known: dict[Slot, Any] = dict(zip([*program.inputs, *program.constants], [*inputs, *weights], strict=True))
    functions = kernels or program.kernels
    names = {
        name: builder.add_func(functions[name].without_attr("global_symbol"), name)
        for name in dict.fromkeys(call.kernel for call in program.calls)
    }
    with builder.function(MAIN, [*inputs, *weights], {"num_input": len(inputs)}):
        with builder.dataflow():
            for call in program.calls:
                arguments = [_shown(builder, known, a) for a in call.arguments[:-1]]
                kind = relax.TensorType(call.result.shape, call.result.dtype)
                known[call.result] = builder.emit(relax.call_tir(names[call.kernel], arguments, kind))
            outputs = [builder.emit_output(_shown(builder, known, a)) for a in program.outputs]
        builder.emit_func_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
    return builder.finalize()


def _variable(slot: Slot, name: str) -> Any:
    return relax.Var(name, relax.TensorType(slot.shape, slot.dtype))


def _shown(builder: Any, known: dict[Slot, Any], argument: Argument) -> Any:
    """A tensor under the shape that a reader wants: a view, which costs nothing."""
    value = known[argument.slot]
    if argument.shape == argument.slot.shape:
        return value
    return builder.emit(relax.op.reshape(value, argument.shape))

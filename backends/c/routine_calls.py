"""Calls of the functions that compute routines: pointers in the order of operands and results, then their numbers."""

from __future__ import annotations

from ...ir import DType
from ...ir.ops.routine import Number, Routine
from .code import Call, Do, Expression, Listed, Literal, Name, Prefix, Statement, Structure


def routine_call(op: Routine, operands: tuple[Expression, ...]) -> list[Statement]:
    """Statements that call the function of an op over tasks begin .. end."""
    name = f"ec_{op.name.replace('-', '_')}"
    fields = tuple((field, _number(field, number)) for field, number in op.numbers().items())
    args = (*operands, Prefix("&", Name("shape")), Name("begin"), Name("end"))
    return [Structure(f"const {name}_shape", "shape", fields), Do(Call(name, args))]


def _number(field: str, number: Number) -> Expression:
    if isinstance(number, tuple):
        return Listed(tuple(Literal(n, "int32_t") for n in number))
    if isinstance(number, float):
        return Literal(number, "double")
    if isinstance(number, int):
        return Literal(number, "int32_t")
    choice = number.name if isinstance(number, DType) else number.replace("-", "_")
    return Name(f"EC_{field.rpartition('_')[2]}_{choice}".upper())

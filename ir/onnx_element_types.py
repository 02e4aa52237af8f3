"""Which element types ONNX has an operator for."""

from __future__ import annotations

from functools import cache

import onnx

from .types import DTYPES, DType

SPELLED = {
    "float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "bool": "bool", "int4": "i4", "uint4": "u4",
    "float8e4m3fn": "f8e4m3fn", "float8e4m3fnuz": "f8e4m3fnuz", "float8e5m2": "f8e5m2", "float8e5m2fnuz": "f8e5m2fnuz",
} | {f"{sign}int{bits}": f"{'u' if sign else 'i'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}  # fmt: skip


@cache
def element_types(op_type: str, opset: int) -> tuple[DType, ...]:
    """The element types of the first operand of an operator, in the order of the IR's types."""
    schema = onnx.defs.get_schema(op_type, opset)
    names = {SPELLED.get(kind.removeprefix("tensor(").removesuffix(")")) for kind in schema.inputs[0].types}
    return tuple(kind for name, kind in DTYPES.items() if name in names)

"""The bits of integers, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from ...errors import ModelError
from .. import scalar as s
from ..op import Op, arg, operator
from ..scalar import Scalar
from ..types import DType, TensorType, i8, i32, i64, u8, u64
from ..value import Value
from .arithmetic import Binary


class Bits(Binary):
    """Operands are integers."""

    kinds: ClassVar[tuple[DType, ...]] = (u8, i8, i32, i64, u64)

    def check(self, *types: TensorType) -> None:
        super().check(*types)
        if not all(t.dtype.is_integer for t in types):
            raise ModelError(f"operands must be integers, are {types[0].dtype.name}")

    @classmethod
    def samples(cls) -> Any:
        count, make = len(cls.operand_fields()), cast(Callable[..., Op], cls)
        yield from (make(*(arg(kind, 2, 9) for _ in range(count))) for kind in cls.kinds)


@operator("bit-and", onnx="BitwiseAnd")
class BitAnd(Bits):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("bitand", *operands)


@operator("bit-or", onnx="BitwiseOr")
class BitOr(Bits):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("bitor", *operands)


@operator("bit-xor", onnx="BitwiseXor")
class BitXor(Bits):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("bitxor", *operands)


@operator("bit-not", onnx="BitwiseNot")
class BitNot(Bits):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("bitnot", *operands)


@operator("shift-left")
class ShiftLeft(Bits):
    """x * 2^y, without the bits that do not fit; 0 where y is negative or as large as the width."""

    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("shl", *operands)


@operator("shift-right")
class ShiftRight(Bits):
    """x / 2^y, rounded down; a y that is negative or as large as the width leaves the sign alone."""

    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("shr", *operands)

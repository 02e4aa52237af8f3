"""Arithmetic, comparison and logic, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from .. import scalar as s
from ..op import EXACT, Array, arg, operator
from ..scalar import Scalar
from ..types import TensorType, boolean, broadcast, f32
from ..value import Value
from .elementwise import Elementwise


class Binary(Elementwise):
    """Two operands of one element type."""

    tolerance = EXACT


class Predicate(Binary):
    """Two operands of one element type, a bool result."""

    is_predicate = True


@operator("add", onnx="Add")
class Add(Binary):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x + y


@operator("sub", onnx="Sub")
class Sub(Binary):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x - y


@operator("mul", onnx="Mul")
class Mul(Binary):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x * y


@operator("div", onnx="Div")
class Div(Binary):
    """Division; of integers it truncates towards zero."""

    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x / y


@operator("pow")
class Pow(Elementwise):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.power(*operands)


@operator("fmod")
class Fmod(Elementwise):
    """Remainder with the sign of the dividend, as C's fmod and %."""

    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.remainder(*operands)


@operator("min")
class Min(Binary):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.minimum(*operands)


@operator("max")
class Max(Binary):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.maximum(*operands)


@operator("equal", onnx="Equal")
class Equal(Predicate):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.equal(*operands)


@operator("less", onnx="Less")
class Less(Predicate):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x < y


@operator("less-equal", onnx="LessOrEqual")
class LessEqual(Predicate):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        x, y = operands
        return x <= y


class Logic(Predicate):
    """Operands and result are bool."""

    def check(self, *types: TensorType) -> None:
        if any(t.dtype != boolean for t in types):
            raise ModelError("operands must be bool")

    @classmethod
    def samples(cls) -> Any:
        yield cls(*(arg(boolean, 2, 5) for _ in cls.operand_fields()))


@operator("and", onnx="And")
class And(Logic):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.logical_and(*operands)


@operator("or", onnx="Or")
class Or(Logic):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.logical_or(*operands)


@operator("xor", onnx="Xor")
class Xor(Logic):
    x: Value
    y: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.apply("xor", *operands)


@operator("not", onnx="Not")
class Not(Logic):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.logical_not(*operands)


@operator("where", onnx="Where")
class Where(Elementwise):
    """`x` where the condition holds, `y` elsewhere."""

    condition: Value
    x: Value
    y: Value
    tolerance = EXACT
    takes_text = True

    def infer(self, *types: TensorType) -> TensorType:
        condition, x, y = types
        if condition.dtype != boolean:
            raise ModelError("the condition must be bool")
        if x.dtype != y.dtype:
            raise ModelError(f"operands have different element types: {x.dtype.name}, {y.dtype.name}")
        return TensorType(x.dtype, broadcast(condition.shape, x.shape, y.shape))

    def evaluate(self, *arrays: Array) -> Array:
        return np.where(*arrays)

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.select(*operands)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(boolean, 5), arg(f32, 3, 5), arg(f32, 3, 1))

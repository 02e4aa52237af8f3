"""Functions of one operand: the elementary ones and the activations of neural networks."""

from __future__ import annotations

from ...errors import ModelError
from .. import scalar as s
from ..op import EXACT, operator
from ..scalar import Scalar
from ..types import TensorType
from ..value import Value
from .elementwise import Elementwise


class Unary(Elementwise):
    """One operand, element type kept."""


@operator("neg", onnx="Neg")
class Neg(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return -operands[0]


@operator("abs", onnx="Abs")
class Abs(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.absolute(*operands)


@operator("sqrt", onnx="Sqrt")
class Sqrt(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.sqrt(*operands)


@operator("reciprocal", onnx="Reciprocal")
class Reciprocal(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return 1.0 / operands[0]


@operator("exp", onnx="Exp")
class Exp(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.exp(*operands)


@operator("log", onnx="Log")
class Log(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.log(*operands)


@operator("sin", onnx="Sin")
class Sin(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.sin(*operands)


@operator("cos", onnx="Cos")
class Cos(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.cos(*operands)


@operator("asin", onnx="Asin")
class Asin(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.asin(*operands)


@operator("acos", onnx="Acos")
class Acos(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.acos(*operands)


@operator("atan", onnx="Atan")
class Atan(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.atan(*operands)


@operator("erf", onnx="Erf")
class Erf(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.erf(*operands)


@operator("floor", onnx="Floor")
class Floor(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.floor(*operands)


@operator("ceil", onnx="Ceil")
class Ceil(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.ceil(*operands)


@operator("round", onnx="Round")
class Round(Unary):
    """To the nearest integer, halves to even."""

    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.round_even(*operands)


@operator("sign", onnx="Sign")
class Sign(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < 0.0, -1.0, s.select(x > 0.0, 1.0, x))


@operator("relu", onnx="Relu")
class Relu(Unary):
    x: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.maximum(0.0, operands[0])


@operator("clip")
class Clip(Unary):
    """Values limited to `low` .. `high`, which are numbers of the operand's element type where that is of integers."""

    x: Value
    low: float
    high: float
    tolerance = EXACT

    def check(self, *types: TensorType) -> None:
        """Refuse bounds that an element of an integer type cannot be."""
        dtype = types[0].dtype
        wrong = [name for name in ("low", "high") if dtype.is_integer and not dtype.has(getattr(self, name))]
        if wrong:
            what = f"bound {wrong[0]}={getattr(self, wrong[0]):g} is no {dtype.name}"
            raise ModelError(what, hint="take the least or largest number of the type, or max or min alone")

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.minimum(self.high, s.maximum(self.low, operands[0]))

    @classmethod
    def samples(cls):  # type: ignore[no-untyped-def]
        from ..op import arg
        from ..types import f32

        yield cls(arg(f32, 2, 3, 5), 0.0, 6.0)


@operator("leaky-relu", onnx="LeakyRelu")
class LeakyRelu(Unary):
    x: Value
    alpha: float = 0.01
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < 0.0, x * self.alpha, x)


@operator("prelu", onnx="PRelu")
class PRelu(Elementwise):
    """Leaky relu with a slope per channel."""

    x: Value
    slope: Value
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        x, slope = operands
        return s.select(x < 0.0, x * slope, x)


@operator("elu", onnx="Elu")
class Elu(Unary):
    x: Value
    alpha: float = 1.0

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < 0.0, (s.exp(s.minimum(0.0, x)) - 1.0) * self.alpha, x)


@operator("selu", onnx="Selu")
class Selu(Unary):
    x: Value
    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < 0.0, (s.exp(s.minimum(0.0, x)) - 1.0) * self.alpha, x) * self.gamma


@operator("celu", onnx="Celu")
class Celu(Unary):
    x: Value
    alpha: float = 1.0

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < 0.0, (s.exp(s.minimum(0.0, x) / self.alpha) - 1.0) * self.alpha, x)


@operator("thresholded-relu", onnx="ThresholdedRelu")
class ThresholdedRelu(Unary):
    x: Value
    alpha: float = 1.0
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(self.alpha < x, x, 0.0)


@operator("shrink", onnx="Shrink")
class Shrink(Unary):
    x: Value
    bias: float = 0.0
    lambd: float = 0.5
    tolerance = EXACT

    def check(self, *types: TensorType) -> None:
        """Refuse integers, of which the attributes would be cut off."""
        if not types[0].dtype.is_float:
            raise ModelError(f"shrinks floats, not {types[0].dtype.name}", hint="cast it")

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.select(x < -self.lambd, x + self.bias, s.select(self.lambd < x, x - self.bias, 0.0))


@operator("sigmoid", onnx="Sigmoid")
class Sigmoid(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.sigmoid(*operands)


@operator("tanh", onnx="Tanh")
class Tanh(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.tanh(*operands)


@operator("hard-sigmoid", onnx="HardSigmoid")
class HardSigmoid(Unary):
    x: Value
    alpha: float = 0.2
    beta: float = 0.5
    tolerance = EXACT

    def scalar(self, *operands: Scalar) -> Scalar:
        return s.minimum(1.0, s.maximum(0.0, operands[0] * self.alpha + self.beta))


@operator("hard-swish", onnx="HardSwish")
class HardSwish(Unary):
    """x * clip(x / 6 + 1 / 2, 0, 1)."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return x * s.minimum(1.0, s.maximum(0.0, x * (1 / 6) + 0.5))


@operator("silu")
class Silu(Unary):
    """x * sigmoid(x), also called swish."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return x * s.sigmoid(x)


@operator("gelu", onnx="Gelu")
class Gelu(Unary):
    """Gaussian error linear unit; `approximate="tanh"` is the cheaper form."""

    x: Value
    approximate: str = "none"

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        if self.approximate == "tanh":
            return 0.5 * x * (1.0 + s.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))
        return 0.5 * x * (1.0 + s.erf(x * 0.7071067811865476))


@operator("softplus", onnx="Softplus")
class Softplus(Unary):
    """log(1 + exp(x)), without overflow."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return s.maximum(0.0, x) + s.log(1.0 + s.exp(-s.absolute(x)))


@operator("softsign", onnx="Softsign")
class Softsign(Unary):
    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return x / (1.0 + s.absolute(x))


@operator("mish", onnx="Mish")
class Mish(Unary):
    """x * tanh(softplus(x))."""

    x: Value

    def scalar(self, *operands: Scalar) -> Scalar:
        (x,) = operands
        return x * s.tanh(s.maximum(0.0, x) + s.log(1.0 + s.exp(-s.absolute(x))))

"""Operators of one's own, as a model calls them in the domain `com.example`.

python -m edgec compile model.onnx --plugin docs/examples/activations.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgec.errors import ModelError
from edgec.ir import Op, TensorType, Tolerance, Value, arg, f32, operator, scalar
from edgec.ir.ops import Elementwise, Mul, Sigmoid, Slice

Array = NDArray[np.float32]


@operator("snake", onnx="Snake", domain="com.example")
class Snake(Elementwise):
    """x + sin(alpha * x)^2 / alpha: one expression, from which numpy and C both come."""

    x: Value
    alpha: float = 1.0

    def scalar(self, *operands: scalar.Scalar) -> scalar.Scalar:
        (x,) = operands
        wave = scalar.sin(x * self.alpha)
        return x + wave * wave * (1 / self.alpha)

    @classmethod
    def samples(cls) -> Iterator[Snake]:
        yield cls(arg(f32, 2, 3, 5))
        yield cls(arg(f32, 7), alpha=0.5)


@operator("gated", onnx="Gated", domain="com.example")
class Gated(Op):
    """The first half of the channels times the sigmoid of the second: no elementwise op, so it says how it expands."""

    x: Value
    tolerance = Tolerance(2e-6, 2e-6)

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2 or x.shape[1] % 2:
            raise ModelError(f"needs an even number of channels, has {x}", hint="channels are the second dimension")
        return x.with_shape((x.shape[0], x.shape[1] // 2, *x.shape[2:]))

    def evaluate(self, x: Array) -> Array:
        kept, gate = np.split(x, 2, axis=1)
        return kept / (1 + np.exp(-gate))

    def expand(self) -> Value:
        sizes = self.type.shape
        first, second = (0,) * len(sizes), (0, sizes[1], *[0] * (len(sizes) - 2))
        kept, gate = (Slice(self.x, starts, sizes).result for starts in (first, second))
        return Mul(kept, Sigmoid(gate).result).result

    @classmethod
    def samples(cls) -> Iterator[Gated]:
        yield cls(arg(f32, 1, 6, 3))

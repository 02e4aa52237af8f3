"""Softmax and normalizations: one op each for recognition, all of them spelled out in simpler ops by `expand`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, f32, normal_axis
from ..value import Value
from .arithmetic import Add, Div, Mul, Sub
from .constant import constant, like
from .functions import Exp, Log, Reciprocal, Sqrt
from .reduction import Reduce
from .view import Reshape, channelwise

NORMALIZED = Tolerance(1e-5, 1e-5)


@operator("softmax")
class Softmax(Op):
    """exp(x) over its sum along an axis, or the logarithm of that."""

    x: Value
    axis: int = -1
    log: bool = False
    tolerance = NORMALIZED

    def infer(self, x: TensorType) -> TensorType:
        self.axis = normal_axis(self.axis, x.rank)
        return x.with_order(())

    def evaluate(self, x: Array) -> Array:
        shifted = x - x.max(axis=self.axis, keepdims=True)
        total = np.exp(shifted).sum(axis=self.axis, keepdims=True)
        return np.asarray(shifted - np.log(total) if self.log else np.exp(shifted) / total, x.dtype)

    def expand(self) -> Value:
        axes = (self.axis,)
        shifted = Sub(self.x, Reduce(self.x, "max", axes).result).result
        exponential = Exp(shifted).result
        total = Reduce(exponential, "sum", axes).result
        if self.log:
            return Sub(shifted, Log(total).result).result
        return Mul(exponential, Reciprocal(total).result).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 37))
        yield cls(arg(f32, 2, 5, 7), 1)
        yield cls(arg(f32, 2, 9), 1, True)


@operator("batch-norm")
class BatchNorm(Op):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias along axis 1, statistics given."""

    x: Value
    scale: Value
    bias: Value
    mean: Value
    variance: Value
    epsilon: float = 1e-5
    tolerance = NORMALIZED

    def infer(self, x: TensorType, *statistics: TensorType) -> TensorType:
        channels = (x.shape[1],) if x.rank > 1 else (1,)
        if any(t.shape != channels for t in statistics):
            shapes = ", ".join(str(list(t.shape)) for t in statistics)
            raise ModelError(f"scale, bias, mean and variance must be {list(channels)}, are {shapes}")
        return x.with_order(())

    def evaluate(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
        column = (-1,) + (1,) * (x.ndim - 2)
        factor = (scale / np.sqrt(variance + variance.dtype.type(self.epsilon))).reshape(column)
        return np.asarray((x - mean.reshape(column)) * factor + bias.reshape(column), x.dtype)

    def expand(self) -> Value:
        spread = Sqrt(Add(self.variance, like(self.variance, self.epsilon)).result).result
        factor = Div(self.scale, spread).result
        offset = Sub(self.bias, Mul(self.mean, factor).result).result
        rank = self.x.rank
        return Add(Mul(self.x, channelwise(factor, rank)).result, channelwise(offset, rank)).result

    @classmethod
    def samples(cls) -> Any:
        scale, bias, mean, variance = (constant(a, f32) for a in ([1, 2, 3], [0, 1, -1], [0, 1, 2], [1, 2, 4]))
        yield cls(arg(f32, 2, 3, 4, 5), scale, bias, mean, variance)


@operator("layer-norm")
class LayerNorm(Op):
    """Normalization over the dimensions from `axis` on, then scale and optional bias.

    `centered=False` leaves the mean in (RMS normalization).
    """

    x: Value
    scale: Value | None = None
    bias: Value | None = None
    axis: int = -1
    epsilon: float = 1e-5
    centered: bool = True
    tolerance = NORMALIZED

    def infer(self, x: TensorType, scale: TensorType | None, bias: TensorType | None) -> TensorType:
        self.axis = normal_axis(self.axis, x.rank)
        return x.with_order(())

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(self.axis, self.x.rank))

    def evaluate(self, x: Array, scale: Array | None, bias: Array | None) -> Array:
        axes = self._axes()
        centered = x - x.mean(axis=axes, keepdims=True) if self.centered else x
        variance = (centered * centered).mean(axis=axes, keepdims=True)
        found = centered / np.sqrt(variance + x.dtype.type(self.epsilon))
        found = found if scale is None else found * scale
        return np.asarray(found if bias is None else found + bias, x.dtype)

    def expand(self) -> Value:
        axes, x = self._axes(), self.x
        if self.centered:
            x = Sub(x, Reduce(x, "mean", axes).result).result
        variance = Reduce(Mul(x, x).result, "mean", axes).result
        spread = Sqrt(Add(variance, like(x, self.epsilon)).result).result
        found = Mul(x, Reciprocal(spread).result).result
        found = found if self.scale is None else Mul(found, self.scale).result
        return found if self.bias is None else Add(found, self.bias).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 5, 33), arg(f32, 33), arg(f32, 33))
        yield cls(arg(f32, 3, 4, 5), axis=1)
        yield cls(arg(f32, 4, 19), arg(f32, 19), centered=False)


@operator("instance-norm")
class InstanceNorm(Op):
    """Normalization of every channel of every sample over its spatial dimensions, in groups of channels.

    `groups` = 0 gives every channel its own statistics. `scale` and `bias` have one entry per channel.
    """

    x: Value
    scale: Value
    bias: Value
    groups: int = 0
    epsilon: float = 1e-5
    tolerance = NORMALIZED

    def infer(self, x: TensorType, scale: TensorType, bias: TensorType) -> TensorType:
        if x.rank < 3 or scale.shape != (x.shape[1],) or bias.shape != (x.shape[1],):
            count = x.shape[1] if x.rank > 1 else "?"
            raise ModelError(f"scale and bias need {count} entries, have {list(scale.shape)}")
        if self.groups and x.shape[1] % self.groups:
            raise ModelError(f"{x.shape[1]} channels do not divide into {self.groups} groups")
        return x.with_order(())

    def evaluate(self, x: Array, scale: Array, bias: Array) -> Array:
        groups = self.groups or x.shape[1]
        rows = x.reshape(x.shape[0], groups, -1)
        centered = rows - rows.mean(axis=2, keepdims=True)
        variance = (centered * centered).mean(axis=2, keepdims=True)
        found = (centered / np.sqrt(variance + x.dtype.type(self.epsilon))).reshape(x.shape)
        column = (-1,) + (1,) * (x.ndim - 2)
        return np.asarray(found * scale.reshape(column) + bias.reshape(column), x.dtype)

    def expand(self) -> Value:
        shape, rank = self.x.shape, self.x.rank
        if self.groups in (0, shape[1]):
            found = LayerNorm(self.x, axis=2, epsilon=self.epsilon).result
        else:
            rows = Reshape(self.x, (shape[0], self.groups, self.x.type.size // (shape[0] * self.groups))).result
            found = Reshape(LayerNorm(rows, epsilon=self.epsilon).result, shape).result
        scaled = Mul(found, channelwise(self.scale, rank)).result
        return Add(scaled, channelwise(self.bias, rank)).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 4, 5, 3), arg(f32, 4), arg(f32, 4))
        yield cls(arg(f32, 2, 4, 5, 3), arg(f32, 4), arg(f32, 4), groups=2)


@operator("lrn", onnx="LRN")
class Lrn(Op):
    """Local response normalization across channels (Krizhevsky et al. 2012)."""

    x: Value
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0
    tolerance = NORMALIZED

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2 or self.size < 1:
            raise ModelError("needs a channel axis and a positive size")
        return x.with_order(())

    def evaluate(self, x: Array) -> Array:
        before, after = (self.size - 1) // 2, self.size // 2
        squares = np.pad(x * x, [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(self.size))
        return np.asarray(x / np.power(self.bias + self.alpha / self.size * total, self.beta), x.dtype)

    def expand(self) -> Value:
        from .arithmetic import Pow
        from .assembly import Pad
        from .view import Slice

        x, rank = self.x, self.x.rank
        pads = (0, (self.size - 1) // 2, *[0] * (rank - 2), 0, self.size // 2, *[0] * (rank - 2))
        padded = Pad(Mul(x, x).result, pads).result
        parts = [Slice(padded, (0, i, *[0] * (rank - 2)), x.shape).result for i in range(self.size)]
        total = parts[0]
        for part in parts[1:]:
            total = Add(total, part).result
        scaled = Add(Mul(total, like(x, self.alpha / self.size)).result, like(x, self.bias)).result
        return Mul(x, Pow(scaled, like(x, -self.beta)).result).result

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 1, 7, 3, 4), 5)

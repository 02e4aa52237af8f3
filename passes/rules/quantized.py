"""What rules ask about quantized values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir import DType, Op, Value
from ...ir.ops import Dequantize, Quantize, array_of, constant, uniform


@dataclass(frozen=True)
class Scaling:
    """One scale and one zero point for a whole tensor."""

    scale: float
    zero: int
    dtype: DType

    def dequantized(self, x: Value) -> Value:
        return Dequantize(x, constant(np.float32(self.scale)), constant(self.zero, self.dtype)).result


def scaling_of(op: Op | None) -> Scaling | None:
    """The scaling of a quantize or dequantize with a single scale and zero point, both known."""
    if not isinstance(op, Quantize | Dequantize):
        return None
    scale, zero = uniform(op.scale), uniform(op.zero)
    if scale is None or zero is None:
        return None
    dtype = op.to if isinstance(op, Quantize) else op.x.dtype
    return Scaling(scale, int(zero), dtype)


def dequantized(value: Value | None) -> tuple[Dequantize, Scaling] | None:
    """The dequantize behind a value and its scaling, where it is one with a single scale."""
    op = value.producer if value is not None else None
    found = scaling_of(op)
    return (op, found) if isinstance(op, Dequantize) and found is not None else None


def weights(value: Value, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Integers (i8, zero point 0) and the scale of each channel along an axis, behind a dequantize of constants."""
    op = value.producer
    if not isinstance(op, Dequantize):
        return None
    integers, scale, zero = (array_of(v) for v in (op.x, op.scale, op.zero))
    if integers is None or scale is None or zero is None or integers.dtype != np.int8 or zero.any():
        return None
    if not integers.size:
        return None
    wide = np.broadcast_to(scale, np.broadcast_shapes(scale.shape, (1,) * value.rank))
    if any(extent != 1 for i, extent in enumerate(wide.shape) if i != axis % value.rank):
        return None
    channels = value.shape[axis]
    return integers, np.broadcast_to(wide.reshape(-1), (channels,)).astype(np.float64)


def known(value: Value | None) -> np.ndarray | None:
    """The array of a constant, or of a dequantize of constants."""
    op = value.producer if value is not None else None
    if isinstance(op, Dequantize):
        arrays = [array for v in op.operands if (array := array_of(v)) is not None]
        return np.asarray(op.evaluate(*arrays)) if len(arrays) == len(op.operands) else None
    return array_of(value)

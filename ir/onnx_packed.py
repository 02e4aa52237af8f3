"""Numbers of 2 and 4 bits, several to a byte, the first in the lowest bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from .types import DTYPES, DType

Array = np.ndarray


@dataclass(frozen=True)
class Packed:
    """An element type of ONNX that is stored packed."""

    dtype: DType

    def bytes(self, count: int) -> int:
        """How many bytes hold `count` numbers."""
        return -(-count * self.dtype.bits // 8)

    def read(self, stored: Array, count: int) -> Array:
        """The numbers of a row of bytes, one a byte."""
        numbers = unpacked(stored, self.dtype.bits)[:count]
        if self.dtype.name.startswith("i"):
            sign = 1 << (self.dtype.bits - 1)
            numbers = ((numbers ^ sign).astype(np.int8) - np.int8(sign)).view(np.uint8)
        return np.asarray(numbers.view(self.dtype.numpy))


_NAMES = {"INT4": "i4", "UINT4": "u4", "INT2": "i2", "UINT2": "u2", "FLOAT4E2M1": "f4e2m1"}
PACKED = {code: Packed(DTYPES[_NAMES[name]]) for name, code in TensorProto.DataType.items() if name in _NAMES}
"""The packed element types by ONNX's number of them."""


def unpacked(stored: Array, bits: int) -> Array:
    """Unsigned numbers of 1, 2, 4 or 8 bits from bytes, along the last dimension."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (stored[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(numbers.reshape(*stored.shape[:-1], -1), np.uint8)

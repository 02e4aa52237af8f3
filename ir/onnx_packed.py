"""Integers of 2 and 4 bits, several to a byte, the first in the lowest bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from .types import DType, i8, u8

Array = np.ndarray


@dataclass(frozen=True)
class Packed:
    """An element type of ONNX that is stored packed: the type that holds its numbers here, and its bits."""

    dtype: DType
    bits: int

    def bytes(self, count: int) -> int:
        """How many bytes hold `count` numbers."""
        return -(-count * self.bits // 8)

    def read(self, stored: Array, count: int) -> Array:
        """The numbers of a row of bytes; their dtype remembers how many bits they had (see `bits_of`)."""
        numbers = unpacked(stored, self.bits)[:count]
        if self.dtype == i8:
            sign = 1 << (self.bits - 1)
            numbers = (numbers ^ sign).astype(np.int8) - np.int8(sign)
        marked: Any = np.dtype(self.dtype.numpy, metadata={"bits": self.bits})
        return numbers.astype(marked)


_NAMES = {"INT4": Packed(i8, 4), "UINT4": Packed(u8, 4), "INT2": Packed(i8, 2), "UINT2": Packed(u8, 2)}
PACKED: dict[int, Packed] = {code: _NAMES[name] for name, code in TensorProto.DataType.items() if name in _NAMES}
"""The packed element types by ONNX's number of them."""


def unpacked(stored: Array, bits: int) -> Array:
    """Unsigned numbers of 1, 2, 4 or 8 bits from bytes, along the last dimension."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (stored[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.asarray(numbers.reshape(*stored.shape[:-1], -1), np.uint8)


def bits_of(array: Array) -> int:
    """How many bits the numbers of an array had in the model."""
    marks: Mapping[str, Any] = array.dtype.metadata or {}
    return int(marks.get("bits", array.itemsize * 8))

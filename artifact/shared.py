"""Arrays that are an input and an output of a model at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir import TensorType
from ..ir.aliases import Alias

Array = np.ndarray


def part_of(buffer: Array, shape: Sequence[int]) -> Array:
    """The tensor of a shape that a buffer begins with, along each dimension."""
    return buffer[tuple(slice(extent) for extent in shape)] if shape else buffer


def copy_in(aliases: Sequence[Alias], inputs: list[Array], outputs: Sequence[Array]) -> None:
    """Copy inputs into the buffers of the outputs that they share, and put these in their place."""
    for alias in aliases:
        part_of(outputs[alias.output], inputs[alias.input].shape)[...] = inputs[alias.input]
    put_in(aliases, inputs, outputs)


def put_in(aliases: Sequence[Alias], inputs: list[Array], outputs: Sequence[Array]) -> None:
    """Put the buffers of outputs in the place of the inputs that share them."""
    for alias in aliases:
        inputs[alias.input] = outputs[alias.output]


def buffer_behind(array: Array, kind: TensorType) -> Array | None:
    """The buffer of a type at whose beginning an array lies, along each dimension; None where there is none."""
    wanted = tuple(s * kind.dtype.bytes for s in kind.strides)
    same = all(n <= 1 or s == t for n, s, t in zip(array.shape, array.strides, wanted, strict=True))
    memory = _memory(array)
    if not same or memory is None or not array.flags.writeable or not array.flags.aligned:
        return None
    start = array.ctypes.data - memory.ctypes.data
    if start < 0 or start + kind.bytes > memory.nbytes:
        return None
    return memory.reshape(-1).view(np.uint8)[start : start + kind.bytes].view(kind.dtype.numpy).reshape(kind.shape)


def _memory(array: Array) -> Array | None:
    """The array that owns the memory of a view; None where that has gaps."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array if array.flags.c_contiguous and array.ndim else None

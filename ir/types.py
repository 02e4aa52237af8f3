"""Element types, dimensions, physical orders and tensor types."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import ModelError
from .dim_text import parse_dim, split_dims
from .dims import Symbol, at, is_open, lower, symbols_of, upper


@dataclass(frozen=True)
class DType:
    """An element type: its name in the text form, its numpy type and its width in bits."""

    name: str
    numpy: np.dtype
    bits: int

    @property
    def bytes(self) -> int:
        """Size of one element in memory."""
        return (self.bits + 7) // 8

    @property
    def is_narrow(self) -> bool:
        """Whether elements are moved and cast alone: arithmetic on them is that of their `wide` type, rounded."""
        return self.name in WIDE

    @property
    def wide(self) -> DType:
        """The type to compute in: that of 32 bits for narrow floats, of 8 bits for narrower integers."""
        return DTYPES[WIDE[self.name]] if self.is_narrow else self

    @property
    def is_float(self) -> bool:
        return self.name.startswith(("f", "bf"))

    @property
    def is_integer(self) -> bool:
        return self.name[0] in "iu"

    def has(self, number: float) -> bool:
        """Whether a number is one that an integer type has."""
        least = -(1 << self.bits - 1) if self.name[0] == "i" else 0
        return least <= number < least + (1 << self.bits) and number == int(number)

    @property
    def is_text(self) -> bool:
        """Whether elements are strings."""
        return self.name.startswith("text")

    def __repr__(self) -> str:
        return self.name


def _dtypes(**names: Any) -> dict[str, DType]:
    kinds = {name: np.dtype(kind) for name, kind in names.items()}
    return {name: DType(name, kind, BITS.get(name, kind.itemsize * 8)) for name, kind in kinds.items()}


BITS = {"i4": 4, "u4": 4, "i2": 2, "u2": 2, "f4e2m1": 4}
"""Types of which a byte in memory holds one element, as numpy has it; only files hold several."""

WIDE = dict.fromkeys(
    ("f16", "bf16", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz", "f8e8m0", "f4e2m1"), "f32"
) | {"i4": "i8", "i2": "i8", "u4": "u8", "u2": "u8"}  # fmt: skip
"""The type in which numbers of a narrow type are computed."""

DTYPES = _dtypes(
    f32="float32", f64="float64", f16="float16", i8="int8", i16="int16", i32="int32", i64="int64",
    u8="uint8", u16="uint16", u32="uint32", u64="uint64", bool="bool", bf16=ml_dtypes.bfloat16,
    f8e4m3fn=ml_dtypes.float8_e4m3fn, f8e4m3fnuz=ml_dtypes.float8_e4m3fnuz, f8e5m2=ml_dtypes.float8_e5m2,
    f8e5m2fnuz=ml_dtypes.float8_e5m2fnuz, f8e8m0=ml_dtypes.float8_e8m0fnu, f4e2m1=ml_dtypes.float4_e2m1fn,
    i4=ml_dtypes.int4, u4=ml_dtypes.uint4, i2=ml_dtypes.int2, u2=ml_dtypes.uint2,
)  # fmt: skip
f32, f64, f16 = DTYPES["f32"], DTYPES["f64"], DTYPES["f16"]
i8, i16, i32, i64 = DTYPES["i8"], DTYPES["i16"], DTYPES["i32"], DTYPES["i64"]
u8, u16, u32, u64 = DTYPES["u8"], DTYPES["u16"], DTYPES["u32"], DTYPES["u64"]
bf16, i4, u4, i2, u2 = (DTYPES[name] for name in ("bf16", "i4", "u4", "i2", "u2"))
boolean = DTYPES["bool"]
_BY_NUMPY = {d.numpy: d for d in DTYPES.values()}
TEXT_BYTES = 64
"""Bytes that a string has room for where the user says nothing else."""
MOST_TEXT = 1 << 12
"""Bytes that a string may have room for."""


def text(size: int) -> DType:
    """The element type of strings of up to so many bytes of UTF-8; what is left of them is filled with zeros."""
    if not 1 <= size <= MOST_TEXT:
        raise ModelError(f"strings of {size} bytes", hint=f"1 to {MOST_TEXT}")
    return DType(f"text{size}", np.dtype(f"S{size}"), 8 * size)


def dtype_named(name: str) -> DType | None:
    """The element type of a name in the text form, None where there is none."""
    strings = re.fullmatch(r"text([1-9]\d{0,3})", name)
    if strings is not None and int(strings[1]) <= MOST_TEXT:
        return text(int(strings[1]))
    return DTYPES.get(name)


def dtype_of(array: np.ndarray | np.dtype) -> DType:
    """The element type of a numpy array or dtype; `ModelError` for one that the IR does not have."""
    kind = array.dtype if isinstance(array, np.ndarray) else np.dtype(array)
    if kind.kind == "S" and kind.itemsize:
        return text(kind.itemsize)
    found = _BY_NUMPY.get(kind.newbyteorder("="))
    if found is None:
        raise ModelError(f"element type {kind} is not supported", hint=f"known: {', '.join(DTYPES)}")
    return found


Order = tuple[int, ...]
"""Physical order of the logical dimensions, outermost first: (0, 2, 3, 1) stores an NCHW tensor as NHWC."""

TYPE_HINT = "write it like f32[1,3,8,8]"
CHANNELS_LAST: Order = (0, 2, 3, 1)


def row_major(rank: int) -> Order:
    """The order in which logical and physical dimensions agree."""
    return tuple(range(rank))


@dataclass(frozen=True)
class TensorType:
    """Element type, logical shape and physical order (empty: row-major) of a value.

    A dimension is a number or, where it is known only at run time, a `dims.Dim`, which to a type checker is one too.
    """

    dtype: DType
    shape: tuple[int, ...]
    order: Order = ()

    def __post_init__(self) -> None:
        if self.order == row_major(len(self.shape)):
            object.__setattr__(self, "order", ())

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of a dense tensor of this type."""
        return self.size * self.dtype.bytes

    @property
    def is_open(self) -> bool:
        """Whether a dimension is known only at run time."""
        return any(map(is_open, self.shape))

    @property
    def symbols(self) -> dict[str, Symbol]:
        """The open sizes that the shape is made of, by name."""
        return {s.name: s for s in symbols_of(self.shape)}

    def at(self, sizes: Mapping[str, int]) -> TensorType:
        """The type with numbers put in for open sizes."""
        return replace(self, shape=tuple(at(d, sizes) for d in self.shape)) if self.is_open else self

    @property
    def most_bytes(self) -> int:
        """Bytes at the upper bounds of all open sizes."""
        return upper(self.bytes)

    @property
    def physical(self) -> Order:
        """The physical order, spelled out."""
        return self.order or row_major(self.rank)

    @property
    def strides(self) -> tuple[int, ...]:
        """Element strides of a dense tensor of this type, by logical dimension."""
        strides, step = [0] * self.rank, 1
        for axis in reversed(self.physical):
            strides[axis], step = step, step * self.shape[axis]
        return tuple(strides)

    def same_memory(self, order: Order) -> bool:
        """Whether storing this type in `order` puts every element where it is now (dimensions of 1 do not count)."""
        return [a for a in self.physical if self.shape[a] != 1] == [a for a in order if self.shape[a] != 1]

    def with_order(self, order: Order) -> TensorType:
        return replace(self, order=order)

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """The same element type in another shape, row-major."""
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return replace(self, dtype=dtype)

    def __str__(self) -> str:
        layout = "" if not self.order else "{" + ",".join(map(str, self.order)) + "}"
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]{layout}"

    @staticmethod
    def parse(text: str, symbols: Mapping[str, Symbol] | None = None) -> TensorType:
        """Read `f32[1,3,8,8]{0,2,3,1}`, or `f32[batch,seq*2]` with the bounds of the open sizes in `symbols`."""
        found = re.fullmatch(r"(\w+)\[([^\[\]{}]*)\](?:\{([\d,\s]+)\})?", text.strip())
        dtype = dtype_named(found[1]) if found else None
        if not found or dtype is None:
            raise ModelError(f"'{text.strip()}' is not a tensor type", hint=TYPE_HINT)
        try:
            shape = tuple(parse_dim(part, symbols or {}) for part in split_dims(found[2]))
        except ModelError as error:
            hint = error.hint if symbols else TYPE_HINT
            raise ModelError(f"'{text.strip()}' is not a tensor type", hint=hint) from None
        if any(lower(d) < 0 for d in shape):
            raise ModelError(f"'{text.strip()}' is not a tensor type", hint=TYPE_HINT)
        order = tuple(int(n) for n in (found[3] or "").split(",") if n.strip())
        return TensorType(dtype, shape, order)


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The numpy broadcast of shapes; `ModelError` naming them when they do not fit."""
    rank = max(map(len, shapes), default=0)
    aligned = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    result = tuple(next((d for d in dims if d != 1), 1) for dims in zip(*aligned, strict=True))
    if any(d not in (1, r) for s in aligned for d, r in zip(s, result, strict=True)):
        raise ModelError(f"shapes {' and '.join(str(list(s)) for s in shapes)} do not broadcast")
    return result


def normal_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as 0 <= axis < rank."""
    if not -rank <= axis < rank:
        raise ModelError(f"axis {axis} is outside a tensor of rank {rank}")
    return axis % rank


def normal_axes(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Axes as sorted non-negative numbers; no axes means all of them."""
    chosen = sorted(normal_axis(a, rank) for a in (axes or range(rank)))
    if len(set(chosen)) != len(chosen):
        raise ModelError(f"axes {list(axes)} name a dimension twice")
    return tuple(chosen)

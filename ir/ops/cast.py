"""Numbers, or their bits, in another element type."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ...errors import ModelError
from ..op import EXACT, Array, Op, arg, as_wide, operator
from ..types import DTYPES, DType, TensorType, bf16, boolean, f16, f32, f64, i4, i8, i16, i32, i64
from ..value import Value

SATURATING = ("f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz")
POWER_OF_TWO = DTYPES["f8e8m0"]
ROUNDINGS = ("up", "down", "nearest")


@operator("cast")
class Cast(Op):
    """The same numbers in another element type; floats are truncated towards zero, bool is `!= 0`.

    Narrower floats round to the nearest, halves to even. What is too large becomes the largest number of an 8-bit type
    with `saturate`, else infinity or NaN; `rounding` (up, down or nearest) is that of powers of two (f8e8m0).
    """

    x: Value
    to: DType
    saturate: bool = True
    rounding: str = "up"
    tolerance = EXACT
    moves = True

    def infer(self, x: TensorType) -> TensorType:
        if self.rounding not in ROUNDINGS:
            raise ModelError(f"unknown rounding '{self.rounding}'", hint=f"known: {', '.join(ROUNDINGS)}")
        if self.to.is_text:
            raise ModelError("numbers are not written as text", hint="give strings as an input")
        return TensorType(self.to, x.shape)

    def evaluate(self, x: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            if self.to == POWER_OF_TWO and x.dtype != self.to.numpy:
                return powers_of_two(as_wide(x), self.saturate, self.rounding)
            if self.saturate and self.to.name in SATURATING:
                about: Any = ml_dtypes.finfo(self.to.numpy)  # type: ignore[no-untyped-call]
                return np.asarray(np.clip(as_wide(x), float(about.min), float(about.max)).astype(self.to.numpy))
            return x.astype(self.to.numpy)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 2, 5), to=i32)
        yield cls(arg(i64, 7), to=f32)
        yield cls(arg(f32, 7), to=boolean)
        for kind in (f16, bf16, i4, *(DTYPES[name] for name in (*SATURATING, "f4e2m1", "u4", "i2", "u2"))):
            yield cls(arg(f32, 3, 5), to=kind)
            yield cls(arg(kind, 17), to=f32)
        yield cls(arg(f64, 9), to=f16)
        yield cls(arg(bf16, 9), to=boolean)
        yield cls(arg(f32, 9), to=DTYPES["f8e5m2"], saturate=False)
        yield from (cls(arg(f32, 9), to=POWER_OF_TWO, rounding=how) for how in ROUNDINGS)


def powers_of_two(x: Array, saturate: bool, rounding: str) -> Array:
    """The exponents of floats: the sign is dropped, infinities and NaN are NaN."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    exponent, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    half = 0x400000
    nearest = (fraction > half) | ((fraction == half) & (exponent > 0))
    ways = {"up": fraction > 0, "down": fraction < 0, "nearest": nearest}
    grows = ways[rounding] & (exponent < (0xFE if saturate else 0xFF))
    return np.asarray((exponent + grows).astype(np.uint8).view(POWER_OF_TWO.numpy))


@operator("bit-cast")
class BitCast(Op):
    """The same bits read as another element type of the same width."""

    x: Value
    to: DType
    tolerance = EXACT
    moves = True

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype.bits != self.to.bits:
            raise ModelError(f"{x.dtype.name} has {x.dtype.bits} bits, {self.to.name} has {self.to.bits}")
        return TensorType(self.to, x.shape)

    def evaluate(self, x: Array) -> Array:
        found: Array = np.ascontiguousarray(x).view(self.to.numpy).reshape(x.shape)
        if self.to.bits < 8 and self.to.is_integer:
            return np.asarray((found.view(np.uint8) & (2**self.to.bits - 1)).view(self.to.numpy))
        return np.asarray(found.view(np.uint8) != 0) if self.to == boolean else np.asarray(found)

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(f32, 3, 5), to=i32)
        yield cls(arg(i64, 5), to=f64)
        yield cls(arg(i16, 9), to=bf16)
        yield cls(arg(i4, 9), to=DTYPES["u4"])
        yield cls(arg(i8, 9), to=DTYPES["f8e5m2"])

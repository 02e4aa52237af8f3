"""Index expressions: sums of loop variables with constant factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Affine:
    """constant + sum of factor * variable; terms are sorted by variable and have no zero factors.

    Factors and the constant may be open sizes.
    """

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def variable(name: str, factor: int = 1) -> Affine:
        return Affine(0, ((name, factor),))

    def __add__(self, other: Affine | int) -> Affine:
        if not isinstance(other, Affine):
            return Affine(self.constant + other, self.terms)
        factors = dict(self.terms)
        for name, factor in other.terms:
            factors[name] = factors.get(name, 0) + factor
        return Affine(self.constant + other.constant, tuple(sorted((n, f) for n, f in factors.items() if f != 0)))

    def __mul__(self, factor: int) -> Affine:
        return Affine(self.constant * factor, tuple((n, f * factor) for n, f in self.terms) if factor != 0 else ())

    def factor(self, name: str) -> int:
        """The factor of a variable, 0 where it does not occur."""
        return dict(self.terms).get(name, 0)


ZERO = Affine()
Index = tuple[Affine, ...]


def address(index: Sequence[Affine], strides: Sequence[int]) -> Affine:
    """The element offset of an index under strides."""
    total = ZERO
    for position, stride in zip(index, strides, strict=True):
        total = total + position * stride
    return total

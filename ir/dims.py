"""Dimensions that are known only at run time: polynomials over named sizes with bounds.

A `Dim` answers like an int as far as its bounds decide, and raises `Undecided` where they do not; it never turns into a
number by itself. Normal forms are unique for sums, products and exact quotients, so that `==` says that two dimensions
are the same whatever the sizes are. It says nothing of luck: `batch == 1` is False although a run may have a batch of
one, and a named size never broadcasts.

Shapes are annotated with `int` throughout: to the type checker a dimension is a number, and code that needs one of a
graph whose sizes are open asks for `upper`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from ..errors import ModelError
from .polynomials import Terms, is_multilinear, ordered, product, quotient, span, total, written

Size = int | tuple[int, int] | str
"""What a dimension is to be: a number, bounds between which it stays open (both inclusive), or made of others."""

EACH = 1024
"""A polynomial of one size is tried at every one of up to so many values."""


class Undecided(ModelError):
    """The bounds of the sizes do not decide a question."""


@dataclass(frozen=True)
class Symbol:
    """A size that is known only at run time, within bounds (both inclusive)."""

    name: str
    low: int
    high: int

    def bounds(self) -> tuple[int, int]:
        return self.low, self.high

    def at(self, sizes: Mapping[str, int]) -> int:
        return sizes.get(self.name, symbol(self))

    def symbols(self) -> Iterator[Symbol]:
        yield self

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Operation:
    """What no polynomial expresses: a quotient rounded down (`//`), or the `min` or `max` of two dimensions."""

    kind: str
    left: int
    right: int

    def bounds(self) -> tuple[int, int]:
        (a, b), (c, d) = bounds(self.left), bounds(self.right)
        if self.kind == "//":
            corners = [n // m for n in (a, b) for m in (c, d)]
            return min(corners), max(corners)
        choose = min if self.kind == "min" else max
        return choose(a, c), choose(b, d)

    def at(self, sizes: Mapping[str, int]) -> int:
        left, right = at(self.left, sizes), at(self.right, sizes)
        return left // right if self.kind == "//" else _choose(self.kind, left, right)

    def symbols(self) -> Iterator[Symbol]:
        yield from symbols_of((self.left, self.right))

    def __str__(self) -> str:
        if self.kind == "//":
            return f"({_grouped(self.left)}//{_grouped(self.right)})"
        return f"{self.kind}({self.left}, {self.right})"


Atom = Symbol | Operation


class Dim:
    """A sum of products of atoms with whole factors; made by arithmetic on `symbol`s, never a plain number."""

    __slots__ = ("_bounds", "_hash", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = ordered(terms)
        self._hash = hash(tuple(self.terms.items()))
        self._bounds: tuple[int, int] | None = None

    # --- identity -------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._hash == other._hash and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return written(self.terms)

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    # --- arithmetic -----------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return _made(total([*self.terms.items(), *_terms(other).items()]))

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return _made(product(self.terms, _terms(other)))

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + other * -1 if isinstance(other, int | Dim) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Any) -> Any:
        return _quotient(self, other) if isinstance(other, int | Dim) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Any:
        return _quotient(other, self)

    def __mod__(self, other: Any) -> Any:
        return self - _quotient(self, other) * other if isinstance(other, int | Dim) else NotImplemented

    def __rmod__(self, other: Any) -> Any:
        return other - _quotient(other, self) * self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    # --- questions ------------------------------------------------------------------------------------------------

    def __lt__(self, other: Any) -> bool:
        return _less(self, other, "<")

    def __gt__(self, other: Any) -> bool:
        return _less(other, self, "<")

    def __le__(self, other: Any) -> bool:
        return not _less(other, self, "<")

    def __ge__(self, other: Any) -> bool:
        return not _less(self, other, "<")

    def __bool__(self) -> bool:
        low, high = self.bounds()
        if low > 0 or high < 0:
            return True
        raise Undecided(f"whether {described(self)} is zero depends on the run", hint="raise the lower bound")

    def __index__(self) -> NoReturn:
        raise Undecided(f"{described(self)} is known only at run time; a number is needed here")

    def _divided(self, other: object) -> NoReturn:
        raise Undecided(f"a part of {described(self)} is known only at run time")

    __int__ = __float__ = __index__
    __truediv__ = __rtruediv__ = _divided

    def bounds(self) -> tuple[int, int]:
        """The least and the largest number that it can be; wider than the truth in rare cases, never narrower."""
        if self._bounds is None:
            self._bounds = _bounds(self.terms)
        return self._bounds


def symbol(named: Symbol) -> int:
    """A named size as a dimension; the number itself where the bounds leave one."""
    return named.low if named.low == named.high else cast(int, Dim({(named,): 1}))


def bounds(size: int) -> tuple[int, int]:
    """The least and the largest number that a dimension can be."""
    return size.bounds() if isinstance(size, Dim) else (size, size)


def upper(size: int) -> int:
    """The largest number that a dimension can be."""
    return bounds(size)[1]


def lower(size: int) -> int:
    """The least number that a dimension can be."""
    return bounds(size)[0]


def magnitude(size: int) -> int:
    """The largest absolute value that a dimension can have."""
    return max(map(abs, bounds(size)))


def at(size: int, sizes: Mapping[str, int]) -> int:
    """A dimension with numbers put in for the symbols that have one."""
    if not isinstance(size, Dim):
        return size
    products = (math.prod(atom.at(sizes) for atom in monomial) * factor for monomial, factor in size.terms.items())
    return sum(products)


def is_open(size: object) -> bool:
    """Whether a dimension is known only at run time."""
    return isinstance(size, Dim)


def symbols_of(sizes: Iterable[int]) -> Iterator[Symbol]:
    """The symbols of dimensions, some of them more than once."""
    monomials = itertools.chain.from_iterable(map(_terms, sizes))
    for atom in itertools.chain.from_iterable(monomials):
        yield from atom.symbols()


def known(question: Callable[[], Any]) -> bool:
    """Whether the answer to a question is yes for all sizes; where the bounds do not decide, it is not."""
    try:
        return bool(question())
    except Undecided:
        return False


def least(a: int, b: int) -> int:
    """The smaller of two dimensions, at run time where the bounds do not decide."""
    return _extreme("min", a, b)


def greatest(a: int, b: int) -> int:
    """The larger of two dimensions, at run time where the bounds do not decide."""
    return _extreme("max", a, b)


def described(size: object) -> str:
    """A dimension with its bounds, for messages."""
    if not isinstance(size, Dim):
        return str(size)
    named = ", ".join(f"{s.name}={s.low}..{s.high}" for s in dict.fromkeys(symbols_of((cast(int, size),))))
    return f"{size} ({named})"


def _choose(kind: str, a: int, b: int) -> int:
    if isinstance(a, Dim) or isinstance(b, Dim):
        return _extreme(kind, a, b)
    return min(a, b) if kind == "min" else max(a, b)


def _extreme(kind: str, a: int, b: int) -> int:
    low, high = bounds(a - b)
    if low >= 0 or high <= 0:
        return (b if low >= 0 else a) if kind == "min" else (a if low >= 0 else b)
    return _atom(Operation(kind, *sorted((a, b), key=str)))


def _atom(atom: Atom) -> int:
    return cast(int, Dim({(atom,): 1}))


def _terms(size: Any) -> Terms:
    return size.terms if isinstance(size, Dim) else {(): size}


def _made(terms: Terms) -> int:
    """The dimension of terms without zeros; a number where it needs no atom."""
    return terms.get((), 0) if set(terms) <= {()} else cast(int, Dim(terms))


def _grouped(size: int) -> str:
    text = str(size)
    return text if text.isalnum() else f"({text})"


def _less(a: Any, b: Any, sign: str) -> bool:
    low, high = bounds(b - a)
    if low > 0 or high <= 0:
        return low > 0
    raise Undecided(f"whether {described(a)} {sign} {described(b)} depends on the run", hint="narrow the bounds")


def _bounds(terms: Terms) -> tuple[int, int]:
    """What depends on a single size in a way that has its extremes anywhere is tried at each of its values."""
    sizes = set(symbols_of(cast("tuple[int, ...]", (Dim(terms),))))
    atoms = dict.fromkeys(atom for monomial in terms for atom in monomial)
    if len(sizes) == 1 and not (is_multilinear(terms) and set(atoms) <= sizes):
        (one,) = sizes
        if one.high - one.low <= EACH:
            return _tried_once(Dim(terms), one)
    return span(terms, {atom: atom.bounds() for atom in atoms})


@functools.lru_cache(1 << 14)
def _tried_once(dim: Dim, one: Symbol) -> tuple[int, int]:
    values = [at(cast(int, dim), {one.name: size}) for size in range(one.low, one.high + 1)]
    return min(values), max(values)


# --- quotients ----------------------------------------------------------------------------------------------------


def _quotient(n: Any, d: Any) -> int:
    """n // d: exact where the division is, else with what is left under one `//`; d must be positive."""
    if isinstance(d, Dim):
        exact = quotient(total(_terms(n).items()), d.terms)
        return _made(exact) if exact is not None else _rounded(n, cast(int, d))
    if d <= 0:
        raise Undecided(f"{described(n)} is divided by {d}")
    whole = _made(total((m, f // d if f > 0 else -(-f // d)) for m, f in _terms(n).items()))
    return whole + _rounded(n - whole * d, d)


def _rounded(n: int, d: int) -> int:
    if not isinstance(n, Dim) and not isinstance(d, Dim):
        return n // d
    if lower(d) <= 0:
        raise Undecided(f"{described(n)} is divided by {described(d)}, which can be 0")
    low, high = bounds(n)
    if low >= 0 and bounds(d - n)[0] > 0:
        return 0
    if high <= 0:  # -floor(-n / d), in numbers that are not negative
        return -_rounded(-n + d - 1, d)
    return _atom(Operation("//", n, d))

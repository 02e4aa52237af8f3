"""Open sizes in C: how dimensions are spelled, and which of them a function reads.

A run gets its sizes as an array of `size_t`, one for each symbol of the graph. A function that needs some of them is
given the array behind its pointers and declares `dim_NAME` for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...artifact.support.open_sizes import field
from ...errors import Unsupported, UnsupportedNode
from ...ir.dims import Dim, Operation, Symbol, bounds, symbols_of
from .affine import Affine
from .code import Convert, Declare, Element, Expression, Index, Literal, Name, Statement

PREFIX = "dim_"
ARRAY = "sizes"


def number(value: int, ctype: str = "int32_t") -> Expression:
    """A number as a constant, or as an expression of open sizes."""
    return Index(Affine(value)) if isinstance(value, Dim) else Literal(value, ctype)


def signed(value: int) -> Expression:
    """A stride, which is signed."""
    return Convert("ptrdiff_t", number(value)) if isinstance(value, Dim) else number(value)


def spelled(size: int, prefix: str = PREFIX) -> str:
    """A dimension in C, of type size_t; `prefix` stands before the name of a size."""
    if not isinstance(size, Dim):
        return str(size)
    text = ""
    for monomial, factor in sorted(size.terms.items(), key=lambda term: term[1] < 0):
        parts = [_atom(atom, prefix) for atom in monomial]
        parts += [str(abs(factor))] if abs(factor) != 1 or not parts else []
        sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
        text += sign + " * ".join(parts)
    return text


def _atom(atom: Symbol | Operation, prefix: str) -> str:
    if isinstance(atom, Symbol):
        return prefix + (atom.name if prefix == PREFIX else field(atom.name))
    if min(bounds(atom.left)[0], bounds(atom.right)[0]) < 0:
        node = UnsupportedNode("", "size", f"{atom} of a number that can be negative", nearest="narrower bounds")
        raise Unsupported([node])
    left, right = spelled(atom.left, prefix), spelled(atom.right, prefix)
    return f"(({left}) / ({right}))" if atom.kind == "//" else f"ec_{atom.kind}_size({left}, {right})"


def names_in(code: Any) -> dict[str, None]:
    """The names of the sizes that statements, expressions or functions read, in order."""
    return {s.name: None for size in _dims_in(code) for s in symbols_of((size,))}


def _dims_in(code: Any) -> Iterator[int]:
    if isinstance(code, Dim):
        yield code  # type: ignore[misc]
    elif isinstance(code, tuple | list):
        for part in code:
            yield from _dims_in(part)
    elif dataclasses.is_dataclass(code):
        for field in dataclasses.fields(code):
            yield from _dims_in(getattr(code, field.name))


def declared(names: Iterable[str], symbols: Sequence[str]) -> list[Statement]:
    """The declarations of the sizes that a function reads."""
    return [
        Declare("size_t", PREFIX + name, Element(ARRAY, Affine(symbols.index(name))))
        for name in sorted(names, key=list(symbols).index)
    ]


def named(name: str) -> Name:
    """A size as a variable."""
    return Name(PREFIX + name)

"""Polynomials with whole factors, over atoms of any kind that have a text.

A polynomial is a table of its terms: the factor of each product of atoms, where the product of none is 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

Monomial = tuple[Any, ...]
"""A product of atoms, sorted by their text."""
Terms = Mapping[Monomial, int]
Range = tuple[int, int]

CORNERS = 6
"""Up to so many atoms of one polynomial are tried at both ends of their ranges."""


def ordered(terms: Terms) -> dict[Monomial, int]:
    """The terms in the order in which they are written, higher degrees first, as in `a*b+a+1`."""
    return dict(sorted(terms.items(), key=lambda term: (-len(term[0]), [str(atom) for atom in term[0]])))


def total(terms: Iterable[tuple[Monomial, int]]) -> dict[Monomial, int]:
    """A sum of terms, each product in it once and none of them 0 times."""
    found: dict[Monomial, int] = {}
    for monomial, factor in terms:
        found[monomial] = found.get(monomial, 0) + factor
    return {monomial: factor for monomial, factor in found.items() if factor}


def product(a: Terms, b: Terms) -> dict[Monomial, int]:
    """The product of two polynomials."""
    pairs = itertools.product(a.items(), b.items())
    return total((tuple(sorted((*m, *n), key=str)), f * g) for (m, f), (n, g) in pairs)


def quotient(n: Terms, d: Terms) -> dict[Monomial, int] | None:
    """n / d where nothing is left, None otherwise: long division by the leading term."""
    lead, factor = next(iter(ordered(d).items()))
    found: dict[Monomial, int] = {}
    left = ordered(n)
    while left:
        fitting = ((m, f) for m, f in left.items() if f % factor == 0 and _holds(m, lead))
        monomial, times = next(fitting, (None, 0))
        if monomial is None or len(next(iter(left))) < len(lead):
            return None
        term = {_without(monomial, lead): times // factor}
        found = total([*found.items(), *term.items()])
        left = ordered(total([*left.items(), *((m, -f) for m, f in product(d, term).items())]))
        if len(left) > len(n) + len(d):
            return None
    return found


def span(terms: Terms, ranges: Mapping[Any, Range]) -> Range:
    """The least and the largest value over ranges of the atoms; perhaps wider than the truth, never narrower.

    At the corners where extremes lie there (no atom twice, or one sign) and are not too many; else by intervals.
    """
    signs = {factor > 0 for monomial, factor in terms.items() if monomial}
    monotone = len(signs) == 1 and all(low >= 0 for low, _ in ranges.values())
    if len(ranges) <= CORNERS and (monotone or is_multilinear(terms)):
        corners = [dict(zip(ranges, corner, strict=True)) for corner in itertools.product(*ranges.values())]
        values = [sum(math.prod(c[a] for a in m) * f for m, f in terms.items()) for c in corners]
        return min(values), max(values)
    spans = [_scaled([ranges[a] for a in monomial], factor) for monomial, factor in terms.items()]
    return sum(low for low, _ in spans), sum(high for _, high in spans)


def is_multilinear(terms: Terms) -> bool:
    """Whether no product has an atom twice."""
    return all(len(set(monomial)) == len(monomial) for monomial in terms)


def written(terms: Terms) -> str:
    """The text of a polynomial, `a*b*2-a+1`."""
    return "+".join(_term_text(monomial, factor) for monomial, factor in terms.items()).replace("+-", "-")


def _term_text(monomial: Monomial, factor: int) -> str:
    names = "*".join(map(str, monomial))
    if not monomial:
        return str(factor)
    return names if factor == 1 else f"-{names}" if factor == -1 else f"{names}*{factor}"


def _holds(monomial: Monomial, part: Monomial) -> bool:
    return all(monomial.count(atom) >= part.count(atom) for atom in set(part))


def _without(monomial: Monomial, gone: Monomial) -> Monomial:
    left = list(monomial)
    for atom in gone:
        left.remove(atom)
    return tuple(left)


def _scaled(ranges: Iterable[Range], factor: int) -> Range:
    low = high = factor
    for a, b in ranges:
        corners = [low * a, low * b, high * a, high * b]
        low, high = min(corners), max(corners)
    return low, high

"""Open dimensions: arithmetic in normal form, answers from bounds, loud where bounds do not decide."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir.dim_text import parse_dim, split_dims
from edgec.ir.dims import Symbol, Undecided, at, bounds, greatest, known, least, magnitude, symbol, upper

SYMBOLS = {s.name: s for s in (Symbol("b", 1, 8), Symbol("s", 2, 512), Symbol("p", 0, 511))}
B, S, P = (symbol(s) for s in SYMBOLS.values())


def test_a_size_with_one_value_is_a_number() -> None:
    assert symbol(Symbol("x", 3, 3)) == 3
    assert isinstance(B - B + 4, int)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (math.prod((B, S, 3)) // (B * S), 3),
        ((P + 1) * B * 64 // (P + 1), B * 64),
        (B * S * 64 % S, 0),
        ((S * 64 + 63) // 64, S),
        (-(-S // 4), (S + 3) // 4),
        (S + B - S, B),
        ((B + S) * (B - S), B * B - S * S),
        (least(S, S + 1), S),
        (least(7, P + 600), 7),
        (greatest(0, P), P),
    ],
)
def test_equal_dimensions_have_one_form(found: int, wanted: int) -> None:
    assert found == wanted
    assert hash(found) == hash(wanted)


def test_no_size_equals_a_number_by_chance() -> None:
    assert B != 1
    assert S != B


def random_dim(random: np.random.Generator) -> int:
    found: int = (B, S, P)[random.integers(3)]
    combine: list[Callable[[int, int], int]] = [operator.add, operator.sub, operator.mul, least, greatest]
    for _ in range(4):
        other = (B, S, P, int(random.integers(1, 9)))[random.integers(4)]
        found = combine[random.integers(len(combine))](found, other)
        found = (found + 9) // int(random.integers(1, 5)) if random.random() < 0.3 else found
    return found


def test_random_dimensions_are_what_their_numbers_are() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        dim = random_dim(random)
        assert parse_dim(str(dim), SYMBOLS) == dim, str(dim)
        low, high = bounds(dim)
        for _ in range(5):
            sizes = {s.name: int(random.integers(s.low, s.high + 1)) for s in SYMBOLS.values()}
            value = at(dim, sizes)
            assert value == eval(str(dim), {**sizes, "min": min, "max": max}), str(dim)
            assert low <= value <= high, f"{dim} of {sizes}"


def test_bounds_answer_comparisons() -> None:
    assert B < 9
    assert S >= 2
    assert B * S >= S
    assert (B - 1) * (B - 1) >= 0
    assert bool(S)
    assert upper(P + 1) == 512
    assert magnitude(P * -8) == 4088


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (lambda: B < 5, r"whether b \(b=1..8\) < 5 depends on the run"),
        (lambda: bool(P), r"whether p \(p=0..511\) is zero depends on the run"),
        (lambda: range(S), r"s \(s=2..512\) is known only at run time; a number is needed here"),
        (lambda: 1 / S, r"a part of s \(s=2..512\) is known only at run time"),
        (lambda: B // P, r"b \(b=1..8\) is divided by p \(p=0..511\), which can be 0"),
        (lambda: B // -2, r"b \(b=1..8\) is divided by -2"),
    ],
)
def test_what_bounds_do_not_decide_is_an_error(question: Callable[[], object], text: str) -> None:
    with pytest.raises(Undecided, match=text):
        question()
    assert not known(question)


@pytest.mark.parametrize("text", ["", "x", "b+", "b.real", "b**2", "abs(b)", "min(b)", "b/2", "b//0", "[b]", "1.5"])
def test_what_is_no_dimension(text: str) -> None:
    with pytest.raises(ModelError, match=r"is no dimension|is not declared"):
        parse_dim(text, SYMBOLS)


def test_lists_are_cut_at_their_own_commas() -> None:
    assert list(split_dims("b, min(s, 3),4")) == ["b", " min(s, 3)", "4"]

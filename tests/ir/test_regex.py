"""Regular expressions as automata, against Python's own on strings that are drawn from their letters."""

from __future__ import annotations

import itertools
import random
import re
import time

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir.automaton import Automaton, automaton, utf8
from edgec.ir.ops import TextMatch
from edgec.ir.regex import NoPattern

E_ACUTE, CJK, FACE = "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "\N{GRINNING FACE}"


def matches(found: Automaton, text: str | bytes) -> bool:
    raw = text if isinstance(text, bytes) else text.encode()
    return TextMatch._ends(raw, found.classes, found.steps, found.accepts)


def strings(letters: str, seed: int = 0) -> list[str]:
    """All short strings of some letters, and longer ones that are drawn."""
    short = ["".join(one) for n in range(4) for one in itertools.product(letters[:6], repeat=n)]
    drawn = random.Random(seed)
    return short + ["".join(drawn.choices(letters, k=drawn.randrange(12))) for _ in range(400)]


GREEK = "\N{GREEK SMALL LETTER ALPHA}-\N{GREEK SMALL LETTER OMEGA}"
BETA = "\N{GREEK SMALL LETTER BETA}"
SPELLED = {
    "(?i)aB(?-i)c|(?i:d)e": "(?i:aB)c|(?i:d)e",
    "x{,2}y{a}": r"x\{,2\}y\{a\}",
    r"\Aa(?:ab?)+\z": r"\Aa(?:ab?)+\Z",
    "^a$|b^|$c": r"^a\Z|b^|\Zc",
    "(?P<name>a)(?<other>b)": "(?P<name>a)(?P<other>b)",
    "(?s)a.b|(?-s)a.c": "(?s:a.b)|a.c",
    r"\x41\x{42}\101\t\Q.*\E\.": r"\x41B\101\t\.\*\.",
    "[[:alpha:]][[:^digit:]][[:punct:][:space:]]": r"[a-zA-Z][^0-9][!-/:-@\[-`{-~\s]",
    r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)": r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|\Z)",
}
"""How Python spells what RE2 spells otherwise."""


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        ("", "ab"), ("a|b|", "abc"), ("(a|ab)(c|bcd)(d*)", "abcd"), ("a*b+?c??", "abc"), ("(a{2,3}b?){1,2}", "ab"),
        ("a{0}b{1}c{1,}", "abc"), ("[a-c]x[^a-c\\d]", "abcx1d"), ("[]a]+[^]a]?", "]ab"), ("[-a]b[a-]", "-ab"),
        (r"[\w.-]+@[\d\s]\D\W", "a_.-@1 !"), (r"\bab\b.\Bb?", "ab -"), ("a.b", "ab\n" + E_ACUTE),
        (f"[{E_ACUTE}-{CJK}]{FACE}?[^a{CJK}]", "ab" + E_ACUTE + CJK + FACE),
        (f"(?i){E_ACUTE}[{GREEK}]", E_ACUTE + E_ACUTE.upper() + BETA + BETA.upper()),
        (r"www\.[\w.-]+\.\bcom\b", "w.com"),
        *((pattern, "abcABCdDeE\n\tx{,2}y1._*@") for pattern in SPELLED),
    ],
)  # fmt: skip
def test_they_match_what_python_matches(pattern: str, letters: str) -> None:
    found = automaton(pattern)
    wanted = re.compile(SPELLED.get(pattern, pattern), re.ASCII if pattern.isascii() else 0)
    samples = [*strings(letters), "www.a.com", "x@gmail.com", " me@yahoo.com!", "x{,2}y{a}", "ABA\t.*.", "a\nb", "aab"]
    for text in samples:
        assert matches(found, text) == bool(wanted.fullmatch(text)), repr(text)


def test_broken_utf8_matches_nothing() -> None:
    found = automaton("(?s).*")
    assert matches(found, CJK + FACE)
    for raw in (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80"):
        assert not matches(found, raw)


def test_all_characters_have_their_bytes() -> None:
    spans = list(utf8(0, 0x10FFFF))
    count = sum(int(np.prod([b - a + 1 for a, b in one])) for one in spans)
    assert (count, len(spans)) == (0x110000 - 0x800, 9)


def test_states_that_nothing_tells_apart_are_joined() -> None:
    assert automaton("(a|b)*").steps.tolist() == [[1, 0, 0, 1], [1, 1, 1, 1]]
    assert len(automaton("a{3}|aaa|aa(a)").steps) == 5


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "a ( that nothing closes"), ("a)", "a ) too many"), ("*a", "a repetition of nothing"),
        ("a**", "a repetition of a repetition"), ("a{2}{3}", "a repetition of a repetition"),
        ("a{3,2}", "a repetition of 3 to 2 times"), ("a{1001}", "a repetition of 1001"), ("[a", "the end of the text"),
        ("[b-a]", "a range that is none"), ("[[:letter:]]", "an unknown class"), ("\\", "the end of the text"),
        (r"\y", r"an unknown escape \y"), (r"(a)\1", r"a reference \1"), (r"\x{110000}", "no character"),
        ("(?<=a)b", "(?<"), ("(?=a)b", "(?="), ("(?P<>a)", "a group without a name"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        automaton(pattern)
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"\pL+", r"has \p"), ("(?m)^a$", "flag m"), ("(" * 120 + ")" * 120, "nested"),
        ("((a{1000}){1000}){1000}", "more than 16384 places"), ("(a|b)*a(a|b){20}", "too many states"),
        ("[ab]{0,900}a[ab]{0,900}", "too many states"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_in_time(pattern: str, words: str) -> None:
    start = time.process_time()
    with pytest.raises(NoPattern, match=re.escape(words).replace("too\\ many", "(too many|more than 4096)")):
        automaton(pattern)
    assert time.process_time() - start < 20

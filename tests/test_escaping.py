"""Names from a model never break what they are printed into."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.escaping import comment, escape

NASTY = st.text(st.sampled_from("a*/\\?'\"\n\r\0\u2028\u202e\U0001f600\ud800 x"), max_size=40)
UNLIMITED = 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stem/conv1", "stem/conv1"),
        ("", ""),
        ("a\nb\r\t\0", "a\\nb\\r\\t\\x00"),
        ('it\'s "x"', 'it\\\'s \\"x\\"'),
        ("a*/b/*c", "a*\\x2fb/\\x2ac"),
        ("*/*", "*\\x2f\\x2a"),
        ("??/", "?\\x3f/"),
        ("back\\", "back\\x5c"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\U0001f600\ud800", "\\U0001f600\\ud800"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_long_names_keep_both_ends_and_tell_their_length() -> None:
    short = escape("head" + "x" * 5000 + "tail")
    assert len(short) <= 120
    assert short.startswith("headx")
    assert short.endswith("xtail (5008 characters)")


@given(st.text() | NASTY)
def test_escape_is_one_safe_line_that_turns_back(text: str) -> None:
    safe = escape(text, UNLIMITED)
    assert safe.isascii()
    assert safe.isprintable() or not safe
    assert not any(breaker in safe for breaker in ("*/", "/*", "??"))
    assert not safe.endswith("\\")
    assert safe.encode().decode("unicode_escape") == text


@given(st.text() | NASTY, st.integers(32, 60))
def test_escape_keeps_to_the_limit(text: str, limit: int) -> None:
    safe = escape(text * 3, limit)
    assert len(safe) <= limit
    assert not any(breaker in safe for breaker in ("*/", "/*", "??"))


@given(st.text(), st.text())
def test_different_names_look_different(one: str, other: str) -> None:
    assert (escape(one, UNLIMITED) == escape(other, UNLIMITED)) == (one == other)


@given(NASTY)
def test_comment_closes_where_the_author_closes_it(text: str) -> None:
    for source in (f"/*{comment(text)}*/", f"/* {comment(text)} */"):
        assert source.index("*/", 2) == len(source) - 2
        assert "/*" not in source[2:]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_comments_compile_without_a_warning() -> None:
    names = ["*/ int a", "/", "*", "x\\", "x??/", "??", "a\nint b;", "\u2028", "/*", "//", "\\\\", "'", '"', "\\u0000"]
    lines = [f"/*{comment(name)}*/ // {comment(name)}\nint v{number};" for number, name in enumerate(names)]
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-x", "c", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

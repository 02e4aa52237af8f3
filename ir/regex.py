"""Regular expressions in the syntax of RE2: text to a tree.

Everything is there that decides whether a whole string matches, but for Unicode classes (`\\pL`) and flag `m`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ModelError

MOST_CODE = 0x10FFFF
MOST_TIMES = 1000
"""The largest number in a repetition, as in RE2."""
MOST_DEPTH = 100
CASED = range(0x1E944)
"""Where letters have another case."""

Ranges = tuple[tuple[int, int], ...]
"""Code points from .. to, both inclusive, in order and apart."""


class NoPattern(Exception):
    """A sound expression that is not served."""


@dataclass(frozen=True)
class Characters:
    """One of a set of characters."""

    ranges: Ranges


@dataclass(frozen=True)
class Place:
    """A place between characters: `begin`, `end`, `edge` of a word, or `inside` (none)."""

    kind: str


@dataclass(frozen=True)
class Series:
    """One part after another."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of several."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part again and again, without bound where `most` is None."""

    part: Node
    least: int
    most: int | None


Node = Characters | Place | Series | Choice | Repeat


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in order, joined where they touch."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return tuple(found)


def others(ranges: Ranges) -> Ranges:
    """All characters that are in none of the ranges."""
    starts = [0, *(high + 1 for _, high in ranges)]
    ends = [*(low - 1 for low, _ in ranges), MOST_CODE]
    return tuple((low, high) for low, high in zip(starts, ends, strict=True) if low <= high)


def _of(*spans: str) -> Ranges:
    return united((ord(span[0]), ord(span[-1])) for span in spans)


WORD = _of("09", "AZ", "_", "az")
PERL = {"d": _of("09"), "w": WORD, "s": _of("\t\n", "\f\r", " ")}
POSIX = {
    "alnum": _of("09", "AZ", "az"), "alpha": _of("AZ", "az"), "ascii": ((0, 127),), "blank": _of("\t", " "),
    "cntrl": ((0, 31), (127, 127)), "digit": _of("09"), "graph": _of("!~"), "lower": _of("az"), "print": _of(" ~"),
    "punct": _of("!/", ":@", "[`", "{~"), "space": _of("\t\r", " "), "upper": _of("AZ"), "word": WORD,
    "xdigit": _of("09", "AF", "af"),
}  # fmt: skip
PLACES = {"A": "begin", "z": "end", "b": "edge", "B": "inside"}
CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
REPETITIONS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@functools.cache
def _cases() -> dict[int, tuple[int, ...]]:
    """The characters that are one letter in different cases, for each that has such."""
    groups: dict[str, list[int]] = {}
    for code in CASED:
        upper = chr(code).upper()
        groups.setdefault((upper if len(upper) == 1 else chr(code)).lower(), []).append(code)
    return {code: tuple(group) for group in groups.values() if len(group) > 1 for code in group}


def in_any_case(ranges: Ranges) -> Ranges:
    """Ranges with all letters in all cases."""
    more = (other for low, high in ranges for code, group in _cases().items() if low <= code <= high for other in group)
    return united([*ranges, *((code, code) for code in more)])


def parse(pattern: str) -> Node:
    """The tree of an expression; `ModelError` where it is not one, `NoPattern` where it is not served."""
    parser = _Parser(pattern)
    tree = parser.choice()
    if parser.at < len(pattern):
        raise parser.fail("a ) too many")
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.fold = self.dot_all = False

    def fail(self, what: str) -> ModelError:
        return ModelError(f"its pattern is no regular expression: {what} at character {self.at}")

    def take(self, word: str) -> bool:
        found = self.text.startswith(word, self.at)
        self.at += len(word) * found
        return found

    def next(self) -> str:
        if self.at == len(self.text):
            raise self.fail("the end of the text")
        self.at += 1
        return self.text[self.at - 1]

    @property
    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise NoPattern(f"its pattern is nested more than {MOST_DEPTH} deep")
        flags, parts = (self.fold, self.dot_all), [self.sequence()]
        while self.take("|"):
            parts.append(self.sequence())
        self.fold, self.dot_all = flags
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.peek and self.peek not in "|)":
            part = self.atom()
            if part is not None:
                parts.append(self.repeated(part))
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def repeated(self, part: Node) -> Node:
        """A part with the repetition that stands behind it; whether it is lazy decides nothing."""
        times = self.times()
        if times is None:
            return part
        self.take("?")
        if self.times() is not None:
            raise self.fail("a repetition of a repetition")
        least, most = times
        if max(least, most or 0) > MOST_TIMES or (most is not None and most < least):
            raise self.fail(f"a repetition of {least} to {most} times")
        return Repeat(part, least, most)

    def times(self) -> tuple[int, int | None] | None:
        if self.peek and self.peek in REPETITIONS:
            return REPETITIONS[self.next()]
        start = self.at
        if self.take("{") and (least := self.digits()):
            most = least if not self.take(",") else self.digits()
            if self.take("}"):
                return int(least), int(most) if most else None
        self.at = start  # a brace that begins no repetition is a character
        return None

    def digits(self) -> str:
        start = self.at
        while self.peek and self.peek in "0123456789":
            self.at += 1
        return self.text[start : self.at][:6]

    def atom(self) -> Node | None:
        """A part without repetition; None for flags, which stand for nothing."""
        one = self.next()
        if one == "(":
            return self.group()
        if one == "[":
            return self.set()
        if one == ".":
            return Characters(others(() if self.dot_all else _of("\n")))
        if one in "^$":
            return Place("begin" if one == "^" else "end")
        if one == "\\":
            return self.escape()
        if one in REPETITIONS:
            raise self.fail("a repetition of nothing")
        return self.characters(((ord(one), ord(one)),))

    def characters(self, ranges: Ranges) -> Characters:
        return Characters(in_any_case(ranges) if self.fold else ranges)

    def group(self) -> Node | None:
        if self.take("?") and not self.named():
            flags = self.fold, self.dot_all
            if self.flags():
                return None
            inside = self.choice()
            self.fold, self.dot_all = flags
        else:
            inside = self.choice()
        if not self.take(")"):
            raise self.fail("a ( that nothing closes")
        return inside

    def named(self) -> bool:
        """Whether a group has a name, which is read."""
        if not (self.take("P<") or (self.peek == "<" and self.text[self.at + 1 : self.at + 2] not in ("=", "!"))):
            return False
        self.take("<")
        end = self.text.find(">", self.at)
        if end < 0 or not self.text[self.at : end].replace("_", "a").isalnum():
            raise self.fail("a group without a name")
        self.at = end + 1
        return True

    def flags(self) -> bool:
        """Read `i-s:` or `i-s)`; whether the group ends here, so that they hold for what follows."""
        on = True
        while (one := self.next()) not in ":)":
            if one == "-" and on:
                on = False
            elif one == "i":
                self.fold = on
            elif one == "s":
                self.dot_all = on
            elif one == "m" and on:
                raise NoPattern("its pattern has flag m")
            elif one not in "mU":
                raise self.fail(f"(?{one}")
        return one == ")"

    def escape(self) -> Node:
        one = self.next()
        if one in PLACES:
            return Place(PLACES[one])
        if one == "Q":
            end = self.text.find("\\E", self.at)
            quoted = self.text[self.at : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            return Series(tuple(self.characters(((ord(c), ord(c)),)) for c in quoted))
        self.at -= 1
        return self.characters(self.escaped())

    def escaped(self) -> Ranges:
        """What an escape stands for, inside of [] too."""
        one = self.next()
        if one.lower() in PERL:
            return PERL[one] if one.islower() else others(PERL[one.lower()])
        if one in "pPC":
            raise NoPattern(f"its pattern has \\{one}")
        code = self.code(one)
        return ((code, code),)

    def code(self, one: str) -> int:
        if one in CONTROLS:
            return CONTROLS[one]
        if one == "x":
            return self.hexadecimal()
        if one in "01234567":
            return self.octal(one)
        if one.isascii() and one.isalnum():
            raise self.fail(f"an unknown escape \\{one}")
        return ord(one)

    def octal(self, first: str) -> int:
        digits = first
        while len(digits) < 3 and self.peek and self.peek in "01234567":
            digits += self.next()
        if first != "0" and len(digits) == 1:
            raise self.fail(f"a reference \\{first} to a group")
        return int(digits, 8)

    def hexadecimal(self) -> int:
        digits = self.braced() if self.take("{") else self.next() + self.next()
        if not digits or any(d not in "0123456789abcdefABCDEF" for d in digits) or int(digits, 16) > MOST_CODE:
            raise self.fail(f"no character \\x{digits}")
        return int(digits, 16)

    def braced(self) -> str:
        end = self.text.find("}", self.at)
        digits = self.text[self.at : end] if end >= 0 else ""
        self.at = end + 1
        return digits[:9]

    def set(self) -> Characters:
        negated, found, first = self.take("^"), list[tuple[int, int]](), True
        while first or self.peek != "]":
            found += self.member()
            first = False
        self.at += 1
        ranges = self.characters(united(found)).ranges
        return Characters(others(ranges) if negated else ranges)

    def member(self) -> Sequence[tuple[int, int]]:
        """A class, a character or a range of these inside of []."""
        if self.take("[:"):
            return self.posix()
        low = self.end_of_range()
        if len(low) > 1 or low[0][0] != low[0][1] or self.peek != "-" or self.text[self.at + 1 : self.at + 2] == "]":
            return low
        self.at += 1
        high = self.end_of_range()
        if len(high) > 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
            raise self.fail("a range that is none")
        return ((low[0][0], high[0][0]),)

    def end_of_range(self) -> Ranges:
        one = self.next()
        return self.escaped() if one == "\\" else ((ord(one), ord(one)),)

    def posix(self) -> Ranges:
        negated, end = self.take("^"), self.text.find(":]", self.at)
        name = self.text[self.at : end] if end >= 0 else ""
        if name not in POSIX:
            raise self.fail("an unknown class")
        self.at = end + 2
        return others(POSIX[name]) if negated else POSIX[name]

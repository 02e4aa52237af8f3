"""Make text from a stranger safe to print: in an error, a report, a C comment."""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "'": "\\'", '"': '\\"'}
_BREAKERS = {"*/", "/*", "??"}


def escape(text: str, limit: int = 120) -> str:
    """Return `text` as one line of printable ASCII of at most `limit` characters (32 or more).

    The result holds no bare quote, no `*/`, `/*` or trigraph and never ends in a backslash. Python's `unicode_escape`
    codec turns it back, unless it was too long: then the middle is left out and the length of `text` stands at the end.
    """
    if len(text) <= limit:
        whole = "".join(_escaped_pieces(text))
        if len(whole) <= limit:
            return whole
    return _shortened(text, max(limit, 32))


def comment(text: str, limit: int = 120) -> str:
    """Return `text` safe inside `/* */` and behind `//`, whatever the author puts around it."""
    safe = escape(text, limit)
    return safe[:-1] + "\\x2f" if safe.endswith("/") else safe


def _escaped_pieces(text: str) -> list[str]:
    return [_escape_one(previous, character) for previous, character in zip(("", *text), text, strict=False)]


def _escape_one(previous: str, character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if " " <= character <= "~" and character != "\\" and previous + character not in _BREAKERS:
        return character
    return _numeric_escape(ord(character))


def _numeric_escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shortened(text: str, limit: int) -> str:
    size = f" ({len(text)} characters)"
    room = limit - len(size) - len("...")
    head = _take(_escaped_pieces(text[:room]), (room + 1) // 2)
    tail = _take(_escaped_pieces(text[-room:])[::-1], room // 2)
    return "".join(head) + "..." + "".join(reversed(tail)) + size


def _take(pieces: list[str], room: int) -> list[str]:
    """Return the first pieces that fit into `room` characters."""
    for count, piece in enumerate(pieces):
        room -= len(piece)
        if room < 0:
            return pieces[:count]
    return pieces

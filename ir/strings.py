"""Strings as elements of tensors: UTF-8 in a fixed number of bytes, what is left filled with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ModelError
from .types import DType, TensorType

Array = np.ndarray
CASED = 1 << 11
"""Code points that take one or two bytes in UTF-8: Latin, Greek, Cyrillic, Armenian and more."""


def stored(strings: Any, kind: DType) -> Array:
    """Strings (text or bytes, of any shape) as elements of a type; `ModelError` for what does not fit it."""
    array = np.asarray(strings) if isinstance(strings, np.ndarray) else np.array(strings, object)
    found = np.zeros(array.shape, kind.numpy)
    for place in np.ndindex(array.shape):
        found[place] = _bytes_of(array[place], kind)
    return found


def _bytes_of(one: Any, kind: DType) -> bytes:
    if not isinstance(one, str | bytes):
        raise ModelError(f"a {type(one).__name__} is no string")
    try:
        raw = one if isinstance(one, bytes) else one.encode("utf-8")
    except UnicodeEncodeError:
        raise ModelError("a string cannot be written in UTF-8") from None
    if b"\0" in raw:
        raise ModelError("a string holds a zero byte")
    if len(raw) > kind.bytes:
        raise ModelError(
            f"a string of {len(raw)} bytes, there is room for {kind.bytes}", hint=f"--text-bytes {len(raw)}"
        )
    return raw


def as_numbers(array: Array) -> Array:
    """What can be compared number by number: strings as their bytes [..., N], everything else as it is."""
    if array.dtype.kind != "S":
        return array
    size = array.dtype.itemsize
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(*array.shape, size)


def case_table(upper: bool) -> Array:
    """The capital or small letter of each of the first 2048 code points, itself where that is not one of these."""
    mapped = [chr(code).upper() if upper else chr(code).lower() for code in range(CASED)]
    pairs = ((code, ord(one) if len(one) == 1 else code) for code, one in enumerate(mapped))
    return np.array([to if to < CASED else code for code, to in pairs], np.uint16)


def cased(raw: bytes, table: Array) -> bytes:
    """UTF-8 with the letters that a table maps replaced; everything else, broken UTF-8 too, stays."""
    made, at = bytearray(), 0
    while at < len(raw):
        step, code = 1, raw[at]
        if 0xC2 <= code < 0xE0 and at + 1 < len(raw) and raw[at + 1] & 0xC0 == 0x80:
            step, code = 2, (code & 0x1F) << 6 | raw[at + 1] & 0x3F
        known = code < 0x80 or step == 2
        made += chr(int(table[code])).encode() if known else raw[at : at + 1]
        at += step
    return bytes(made)


def words(kind: TensorType, random: np.random.Generator) -> Array:
    """Random strings of a few letters, one of which takes two bytes."""
    letters = ["a", "b", "B", " ", "\N{LATIN SMALL LETTER E WITH ACUTE}"]
    most = min(6, kind.dtype.bytes // 2)
    drawn = ["".join(random.choice(letters, random.integers(0, most + 1))) for _ in range(kind.size)]
    return stored(drawn, kind.dtype).reshape(kind.shape)

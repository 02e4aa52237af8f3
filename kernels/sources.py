"""The texts of the C headers, and which of them a kernel needs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_INCLUDE = re.compile(r'^\s*#include "([^"]+)"', re.MULTILINE)
_ISA_INCLUDE = re.compile(r"defined\((EC_ISA_\w+)\)\n#include \"([^\"]+)\"")
SELECTORS = ("ec_simd.h", "ec_simd_i8.h", "ec_simd_i16.h")


def headers() -> tuple[str, ...]:
    """The names of all headers, relative to the include folder, sorted."""
    return tuple(sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.h")))


def read(header: str) -> str:
    """The text of one header."""
    return (FOLDER / header).read_text(encoding="utf-8")


def needed(names: Iterable[str], isa: str) -> dict[str, str]:
    """The texts of the named headers and of all that they include, only `isa` of the vector headers; sorted."""
    texts: dict[str, str] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in texts:
            texts[name] = read(name)
            todo += _includes(name, texts[name], isa)
    return dict(sorted(texts.items()))


def _includes(name: str, text: str, isa: str) -> list[str]:
    included = _INCLUDE.findall(text)
    if name in SELECTORS:
        by_isa = dict(_ISA_INCLUDE.findall(text))
        included = [other for other in included if other not in by_isa.values()] + [by_isa[f"EC_ISA_{isa.upper()}"]]
    # An include is looked for beside the header first, as the C compiler does.
    beside = (posixpath.normpath(posixpath.join(posixpath.dirname(name), other)) for other in included)
    return [path if (FOLDER / path).is_file() else other for path, other in zip(beside, included, strict=True)]

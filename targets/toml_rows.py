"""Read a folder of TOML files: one row a file, named after the file."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..escaping import escape

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent


def row_names(folder: str) -> tuple[str, ...]:
    """Return the sorted names of all rows in a folder beside this file."""
    return tuple(sorted(path.stem for path in (FOLDER / folder).glob("*.toml")))


@functools.cache
def read_row(folder: str, name: str) -> dict[str, Any]:
    """Return one row; callers must not change it."""
    row: dict[str, Any] = tomllib.loads((FOLDER / folder / f"{name}.toml").read_text(encoding="utf-8"))
    return row


def unknown(thing: str, name: str, known: Iterable[str], hint: str = "", of: str = "") -> UsageError:
    """Return the error for a name that does not exist: it lists the known names and the nearest one."""
    choices = list(known)
    nearest = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.5)
    nearest += [choice for choice in choices if name and name.lower() in choice]
    suggestion = hint or (f"did you mean '{nearest[0]}'?" if nearest else "")
    listed = ", ".join(choices) or "none"
    return UsageError(f"unknown {thing} '{escape(name)}'{of}; known: {listed}", hint=suggestion)

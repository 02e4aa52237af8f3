"""What the writers of parts share: where they are listed, and how tables and code are written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS: dict[str, Callable[[], str]] = {}


def part(write: Callable[[], str]) -> Callable[[], str]:
    """Make a function the writer of the part that has its name."""
    PARTS[write.__name__.replace("_", "-")] = write
    return write


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars inside cells are escaped."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(body: str, language: str = "") -> str:
    return f"```{language}\n{body.rstrip()}\n```"


def sentence(documented: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())

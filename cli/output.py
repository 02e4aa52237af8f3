"""What commands print: facts on stdout as text or JSON, errors in three lines on stderr or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import EdgecError, Unsupported

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200


def print_error(error: EdgecError, as_json: bool) -> int:
    """Print an error and return its exit status."""
    if not as_json:
        print(error, file=sys.stderr)
        return error.exit_code
    described: dict[str, Any] = {"what": error.what, "where": error.where, "hint": error.hint}
    described |= {"exit_code": error.exit_code, "kind": type(error).__name__, "details": list(error.details)}
    if isinstance(error, Unsupported):
        described["nodes"] = unsupported_rows(error)
    print_json({"error": described})
    return error.exit_code


def print_json(facts: Any) -> None:
    """Print facts as JSON in ASCII; what is not a finite number becomes null."""
    print(json.dumps(_finite(facts), indent=2))


def unsupported_rows(error: Unsupported) -> list[dict[str, Any]]:
    """Return the nodes of an error as JSON holds them."""
    return [asdict(node) for node in error.nodes]


def console() -> Console:
    """Return a console on stdout that prints text from models as it is, without markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(markup=False, highlight=False, emoji=False, soft_wrap=True, width=width)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """Print rows under their columns; those in `right` are aligned to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print one line a fact, names in a column of their own."""
    listed = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        print(f"  {name:<{width}}  {value}")


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value

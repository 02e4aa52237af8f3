"""What commands print: facts on stdout as text or JSON, errors in three lines on stderr or as JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import EdgecError, Unsupported, UsageError
from ..escaping import escape


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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """Print rows under their columns; those in `right` are aligned to the right."""
    listed = [tuple(columns), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for row in listed:
        cells = zip(row, widths, columns, strict=True)
        print("  ".join(f"{cell:>{w}}" if name in right else f"{cell:<{w}}" for cell, w, name in cells).rstrip())


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print one line a fact, names in a column of their own."""
    listed = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        print(f"  {name:<{width}}  {value}")


def check_writable(*paths: Path | None) -> None:
    """UsageError for a file that no folder is there for, before any work is done."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"cannot write '{escape(str(path))}': there is no such folder")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file all at once, into a device such as /dev/stdout directly; UsageError where that is impossible."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise UsageError(f"cannot write '{escape(str(path))}': {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


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

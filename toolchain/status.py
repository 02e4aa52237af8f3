"""What this machine has for each target: compiler, emulator, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ToolchainError
from ..targets import Target, get_target, target_names
from .compiler import Compiler
from .emulator import cannot_run, find_emulator, runs_natively
from .find import find_compiler


@dataclass(frozen=True)
class TargetStatus:
    """One target on this machine; `missing` holds a sentence for each thing that is not here."""

    target: Target
    compiler: Compiler | None
    runs: str
    missing: tuple[str, ...]


def describe(names: Sequence[str] = ()) -> tuple[TargetStatus, ...]:
    """Return the status of the named targets, or of all."""
    return tuple(_status(get_target(name)) for name in names or target_names())


def table(statuses: Sequence[TargetStatus]) -> str:
    """Return the statuses as text with one line a target, and below it what is missing."""
    rows = [("target", "isa", "compiler", "runs"), *map(_cells, statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{status.target.name}: {text}" for status in statuses for text in status.missing]
    return "\n".join(lines)


def _status(target: Target) -> TargetStatus:
    try:
        compiler, missing = find_compiler(target), ()
    except ToolchainError as error:
        return TargetStatus(target, None, _runs(target), (f"{error.what}: {error.hint}", *_missing_emulator(target)))
    return TargetStatus(target, compiler, _runs(target), (*missing, *_missing_emulator(target)))


def _runs(target: Target) -> str:
    if runs_natively(target):
        return "natively"
    emulator = find_emulator(target)
    return emulator.version if emulator else "no"


def _missing_emulator(target: Target) -> tuple[str, ...]:
    reason = cannot_run(target)
    return (reason,) if reason else ()


def _cells(status: TargetStatus) -> tuple[str, str, str, str]:
    target = status.target
    name = f"{target.name} ({target.row})" if target.name != target.row else target.name
    compiler = status.compiler.version if status.compiler else "none"
    return name, target.isa, compiler, status.runs

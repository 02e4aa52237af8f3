"""Run another program: no shell, messages in English, errors that name the command."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolchainError
from ..escaping import escape

_SHOWN_LINES = 12
_SHOWN_WIDTH = 300


@dataclass(frozen=True)
class Finished:
    """A program that ended: its command, exit status, output and wall time in seconds."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


def execute(
    command: Sequence[str],
    cwd: Path | None = None,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run `command` to its end, whatever its exit status; raises ToolchainError if it cannot start or hangs."""
    variables = {**os.environ, "LC_ALL": "C", **(environment or {})}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            list(command), cwd=cwd, env=variables, timeout=timeout, stdin=subprocess.DEVNULL, capture_output=True
        )
    except subprocess.TimeoutExpired as error:
        hint = "raise the timeout, or look for an endless loop"
        raise ToolchainError(f"no end after {timeout:g} seconds", spell(command), hint) from error
    except OSError as error:
        raise ToolchainError(f"cannot start '{command[0]}': {error.strerror}", spell(command)) from error
    stdout, stderr = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
    return Finished(tuple(command), done.returncode, stdout, stderr, time.perf_counter() - start)


def check(finished: Finished, what: str, hint: str = "") -> Finished:
    """Return `finished` if it succeeded, else raise ToolchainError with the command and what it printed first."""
    if finished.returncode == 0:
        return finished
    printed = first_lines(finished.stderr or finished.stdout)
    raise ToolchainError(f"{what} (exit status {finished.returncode})", spell(finished.command), hint, printed)


def spell(command: Sequence[str]) -> str:
    """Return `command` as one line that a shell takes."""
    return shlex.join(command)


def first_lines(text: str) -> tuple[str, ...]:
    """Return the lines of `text` that an error shows, each safe to print."""
    lines = [line for line in text.splitlines() if line.strip()]
    more = len(lines) - _SHOWN_LINES
    shown = [_printable(line) for line in lines[:_SHOWN_LINES]]
    return (*shown, f"... {more} more lines") if more > 0 else tuple(shown)


def _printable(line: str) -> str:
    """Keep what compilers quote as it stands, except for what a terminal might obey."""
    return "".join(letter if " " <= letter <= "~" else escape(letter) for letter in line.expandtabs()[:_SHOWN_WIDTH])

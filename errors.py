"""The errors a user can meet: what went wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .escaping import escape

EXIT_OK = 0
EXIT_INTERNAL = 70


class EdgecError(Exception):
    """Base of all errors meant for the user; `str()` is the text to print, `exit_code` the status of the process.

    Names that come from a model must have passed through `escape` before they get here.
    """

    exit_code = EXIT_INTERNAL

    def __init__(self, what: str, where: str = "", hint: str = "", details: Iterable[str] = ()) -> None:
        self.what, self.where, self.hint, self.details = what, where, hint, tuple(details)
        super().__init__(what, where, hint, self.details)

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        lines += [f"  at {self.where}"] if self.where else []
        lines += [f"    {detail}" for detail in self.details]
        lines += [f"  hint: {self.hint}"] if self.hint else []
        return "\n".join(lines)


class Mismatch(EdgecError):
    """Two things that must compute the same do not."""

    exit_code = 1


class UsageError(EdgecError):
    """The command line or a call asks for something that does not exist or make sense."""

    exit_code = 2


class ModelError(EdgecError):
    """The model or the data is malformed."""

    exit_code = 3


@dataclass(frozen=True)
class UnsupportedNode:
    """One node that cannot be compiled: which one, why not, and the nearest thing that works.

    `name`, `op` and `domain` are raw text from the model; they are escaped when printed.
    `shapes` holds one entry for each operand, as printed (`1x3x224x224`).
    """

    name: str
    op: str
    reason: str
    domain: str = ""
    opset: int | None = None
    shapes: tuple[str, ...] = ()
    nearest: str = ""

    def __str__(self) -> str:
        op = f"{self.domain}::{self.op}" if self.domain else self.op
        text = f"{escape(op)} '{escape(self.name)}'"
        text += f" (opset {self.opset})" if self.opset is not None else ""
        text += f" [{escape(', '.join(self.shapes))}]" if self.shapes else ""
        text += f": {self.reason}"
        return text + (f"; works: {self.nearest}" if self.nearest else "")


class Unsupported(EdgecError):
    """The model is sound, but some of its nodes cannot be compiled; `nodes` lists all of them.

    `rest` is the graph as far as it could be made, for what refuses more of it further on; None where there is none.
    """

    exit_code = 4

    def __init__(
        self, nodes: Sequence[UnsupportedNode], where: str = "", hint: str = "", rest: object = None
    ) -> None:  # fmt: skip
        self.nodes, self.rest = tuple(nodes), rest
        count = "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"
        super().__init__(f"{count} cannot be compiled", where, hint, map(str, self.nodes))
        self.args = (self.nodes, where, hint)


class BudgetError(EdgecError):
    """The result would be larger, slower or less accurate than the user allows."""

    exit_code = 5


class ToolchainError(EdgecError):
    """A compiler, linker or emulator is missing or failed."""

    exit_code = 6

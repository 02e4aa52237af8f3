"""The commands and their options."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import typer
from parts.writing import code, part, sentence, table

from edgec.cli.main import app


def commands() -> list[tuple[str, Callable[..., Any]]]:
    """Name and function of every command."""
    return [(info.name or "", info.callback) for info in app.registered_commands if info.callback]


@part
def command_table() -> str:
    return table(("command", "what it does"), [(f"`{name}`", sentence(function)) for name, function in commands()])


@part
def command_line() -> str:
    return "\n\n".join(_command_section(name, function) for name, function in commands())


def _command_section(name: str, function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    given = [(p, *typing.get_args(p.annotation)) for p in parameters]
    arguments = [p.name.upper() for p, _, info in given if isinstance(info, typer.models.ArgumentInfo)]
    rows = [(_spelled(p.name, kind, info), info.help or "", _default_of(p)) for p, kind, info in given]
    usage = code(" ".join(["python -m edgec", name, *arguments, "[OPTIONS]"]))
    return f"## {name}\n\n{sentence(function)}\n\n{usage}\n\n{table(('', 'meaning', 'default'), rows)}"


def _spelled(name: str, kind: Any, info: Any) -> str:
    """An argument, or an option with its short form first and what it takes."""
    if isinstance(info, typer.models.ArgumentInfo):
        return f"`{name.upper()}`"
    # Inside `Annotated`, typer keeps the first of the names that an option is given in `default`.
    names = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    spelled = ", ".join(sorted(names or [f"--{name.replace('_', '-')}"], key=len))
    return f"`{spelled}`" if kind is bool else f"`{spelled} {info.metavar or _takes(kind)}`"


def _takes(kind: Any) -> str:
    kinds = [getattr(one, "__members__", {}).values() for one in (kind, *typing.get_args(kind))]
    choices = [member.value for members in kinds for member in members]
    return "|".join(choices) or {int: "N", float: "X"}.get(kind, "TEXT")


def _default_of(parameter: inspect.Parameter) -> str:
    empty = (inspect.Parameter.empty, None, "", False)
    return "" if any(parameter.default is one for one in empty) else f"`{parameter.default}`"

"""Files of configurations that say something else of some layers, by name or pattern: TOML, and who it is about."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..escaping import escape

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_text(path: Path) -> str:
    """The text of a file; UsageError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read '{escape(str(path))}'", hint=type(error).__name__) from error


def parse(text: str, where: str) -> dict[str, Any]:
    """The table of a TOML text; UsageError where it is none."""
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {escape(str(error))}") from error
    return table


def written(config: Any, layers: Mapping[str, Mapping[str, str]]) -> str:
    """The text of a configuration, a dataclass with a field `layers`: the same for the same one."""
    plain = [f.name for f in dataclasses.fields(config) if f.name != "layers"]
    lines = [f"{name} = {json.dumps(getattr(config, name))}" for name in plain]
    for name in sorted(layers):
        lines += ["", f"[layer.{json.dumps(name)}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in sorted(layers[name].items())]
    return "\n".join(lines) + "\n"


def checked(table: dict[str, Any], hints: Mapping[str, type], where: str) -> dict[str, Any]:
    """A table without its layers; UsageError for keys that are not among `hints`, and for values of other types."""
    kinds = {name: kind for name, kind in hints.items() if name != "layers"}
    for key, value in table.items():
        if key not in kinds:
            raise UsageError(f"{where} holds an unknown key '{escape(key)}'", hint=f"keys: {', '.join(kinds)}, layer")
        wanted = kinds[key]
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UsageError(f"'{key}' of {where} must be of type {wanted.__name__}, is {escape(str(value))}")
    return table


def checked_tables(layers: Any, where: str) -> dict[str, dict[str, Any]]:
    """The overrides by layer; UsageError where they are no tables."""
    if not isinstance(layers, dict) or not all(isinstance(table, dict) for table in layers.values()):
        raise UsageError(f"'layer' of {where} must hold tables", hint='write [layer."name"]')
    return layers


def literal(name: str) -> str:
    """A layer name as a pattern that matches it and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def matched(patterns: Iterable[str], names: Iterable[str]) -> set[str]:
    """The layers that any of some patterns is about."""
    chosen = list(patterns)
    return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in chosen)}


def said(overrides: Mapping[str, str], names: list[str], default: str, what: str) -> dict[str, str]:
    """What overrides say of each layer, that of its name before those of patterns.

    UsageError for overrides that contradict one another, where `what` begins to say what about.
    """
    return {name: _said_of(name, overrides, default, what) for name in names}


def check_used(patterns: Iterable[str], names: list[str]) -> None:
    """UsageError for patterns that match no layer."""
    unused = [pattern for pattern in patterns if not matched([pattern], names)]
    if unused:
        hint = f"layers: {', '.join(map(escape, names))}"
        raise UsageError(f"no layer is called {', '.join(repr(escape(u)) for u in unused)}", hint=hint)


def _said_of(name: str, overrides: Mapping[str, str], default: str, what: str) -> str:
    exact = overrides.get(literal(name), "")
    if exact:
        return exact
    given = {pattern: value for pattern, value in overrides.items() if fnmatch.fnmatchcase(name, pattern)}
    if len(set(given.values())) > 1:
        claims = " and ".join(f"'{escape(pattern)}' says {value}" for pattern, value in sorted(given.items()))
        raise UsageError(f"overrides contradict one another for {what}layer '{escape(name)}': {claims}")
    return next(iter(given.values()), default)

"""The configuration of a pruning: one scheme for all layers, overrides for some, as a TOML file.

scheme = "2:4"
refit = true

[layer."head/*"]
scheme = "dense"
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..escaping import escape
from .schemes import Scheme, find_scheme

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CRITERIA = ("auto", "magnitude", "activation", "curvature")


@dataclass(frozen=True)
class Config:
    """How to prune.

    `layers` holds schemes by layer name or pattern (`head/*`), a name before patterns. `criterion` says which weights
    go first: the small ones (`magnitude`), those that change their layer's output least on calibration data
    (`activation`), or those that change it least when all others make up for it (`curvature`); `auto` is `curvature`
    with data, `activation` where nothing is fitted, `magnitude` without data. `refit` fits the weights that stay to
    that output, on at most `samples` samples. The number of channels that stay is rounded up to a multiple of
    `multiple`.
    """

    scheme: str = "0.5"
    criterion: str = "auto"
    refit: bool = True
    samples: int = 500
    multiple: int = 4
    layers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for scheme in (self.scheme, *self.layers.values()):
            find_scheme(scheme)
        if self.criterion not in CRITERIA:
            raise UsageError(f"criterion cannot be '{escape(self.criterion)}'", hint=", ".join(CRITERIA))
        if self.samples < 1 or self.multiple < 1:
            raise UsageError("samples and multiple must be at least 1")

    def schemes(self, names: Iterable[str]) -> dict[str, Scheme]:
        """The scheme of each layer; UsageError for overrides that contradict one another or match no layer."""
        known = list(names)
        matched = {pattern: fnmatch.filter(known, pattern) for pattern in self.layers}
        unused = [pattern for pattern, found in matched.items() if not found]
        if unused:
            hint = f"layers: {', '.join(map(escape, known))}"
            raise UsageError(f"no layer is called {', '.join(repr(escape(u)) for u in unused)}", hint=hint)
        return {name: find_scheme(self._scheme_of(name, matched)) for name in known}

    def named(self, names: Iterable[str]) -> set[str]:
        """The layers that overrides give a scheme."""
        return {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.layers)}

    def with_layers(self, schemes: Mapping[str, str]) -> Config:
        """The same with other overrides: these, by exact layer name."""
        return dataclasses.replace(self, layers={literal(name): scheme for name, scheme in schemes.items()})

    def _scheme_of(self, name: str, matched: Mapping[str, list[str]]) -> str:
        if literal(name) in self.layers:
            return self.layers[literal(name)]
        said = {pattern: self.layers[pattern] for pattern, found in matched.items() if name in found}
        if len(set(said.values())) > 1:
            claims = " and ".join(f"'{escape(pattern)}' says {scheme}" for pattern, scheme in sorted(said.items()))
            raise UsageError(f"overrides contradict one another for layer '{escape(name)}': {claims}")
        return next(iter(said.values()), self.scheme)

    def text(self) -> str:
        """The file: the same text for the same configuration."""
        plain = [f.name for f in dataclasses.fields(self) if f.name != "layers"]
        lines = [f"{name} = {json.dumps(getattr(self, name))}" for name in plain]
        for name in sorted(self.layers):
            lines += ["", f"[layer.{json.dumps(name)}]", f"scheme = {json.dumps(self.layers[name])}"]
        return "\n".join(lines) + "\n"

    @staticmethod
    def parse(text: str, where: str = "the configuration") -> Config:
        """Read the text of a file; UsageError for what does not belong there."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{where} is not TOML: {escape(str(error))}") from error
        layers = _checked_layers(table.pop("layer", {}), where)
        return Config(**_checked(table, where), layers=layers)


def read_config(chosen: str | Path | float | Config) -> Config:
    """A configuration from the name of a scheme (0.7 may be a number) or from a file that ends in .toml."""
    if isinstance(chosen, Config):
        return chosen
    if not str(chosen).endswith(".toml"):
        return Config(scheme=find_scheme(str(chosen)).name)
    path = Path(str(chosen))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read '{escape(str(path))}'", hint=type(error).__name__) from error
    return Config.parse(text, f"'{escape(str(path))}'")


def literal(name: str) -> str:
    """A layer name as a pattern that matches it and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _checked(table: dict[str, Any], where: str) -> dict[str, Any]:
    hints = {name: kind for name, kind in typing.get_type_hints(Config).items() if name != "layers"}
    for key, value in table.items():
        if key not in hints:
            raise UsageError(f"{where} holds an unknown key '{escape(key)}'", hint=f"keys: {', '.join(hints)}, layer")
        if type(value) is not hints[key]:
            raise UsageError(f"'{key}' of {where} must be of type {hints[key].__name__}, is {escape(str(value))}")
    return table


def _checked_layers(layers: Any, where: str) -> dict[str, str]:
    if not isinstance(layers, dict) or not all(isinstance(table, dict) for table in layers.values()):
        raise UsageError(f"'layer' of {where} must hold tables", hint='write [layer."name"]')
    for name, table in layers.items():
        if list(table) != ["scheme"] or not isinstance(table["scheme"], str):
            given = escape(", ".join(f"{key} = {value!r}" for key, value in table.items()))
            raise UsageError(
                f"layer '{escape(name)}' can override the scheme alone, not {given}", hint='scheme = "2:4"'
            )
    return {name: table["scheme"] for name, table in layers.items()}

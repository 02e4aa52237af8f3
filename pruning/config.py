"""The configuration of a pruning: one scheme for all layers, overrides for some, as a TOML file.

scheme = "2:4"
refit = true

[layer."head/*"]
scheme = "dense"
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..escaping import escape
from ..quantization import overrides
from .schemes import Scheme, find_scheme

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
        overrides.check_used(self.layers, known)
        chosen = overrides.said(self.layers, known, self.scheme, "")
        return {name: find_scheme(scheme) for name, scheme in chosen.items()}

    def named(self, names: Iterable[str]) -> set[str]:
        """The layers that overrides give a scheme."""
        return overrides.matched(self.layers, names)

    def with_layers(self, schemes: Mapping[str, str]) -> Config:
        """The same with other overrides: these, by exact layer name."""
        return dataclasses.replace(self, layers={overrides.literal(name): scheme for name, scheme in schemes.items()})

    def text(self) -> str:
        """The file: the same text for the same configuration."""
        return overrides.written(self, {name: {"scheme": scheme} for name, scheme in self.layers.items()})

    @staticmethod
    def parse(text: str, where: str = "the configuration") -> Config:
        """Read the text of a file; UsageError for what does not belong there."""
        table = overrides.parse(text, where)
        layers = _checked_layers(table.pop("layer", {}), where)
        return Config(**overrides.checked(table, typing.get_type_hints(Config), where), layers=layers)


def read_config(chosen: str | Path | float | Config) -> Config:
    """A configuration from the name of a scheme (0.7 may be a number) or from a file that ends in .toml."""
    if isinstance(chosen, Config):
        return chosen
    if not str(chosen).endswith(".toml"):
        return Config(scheme=find_scheme(str(chosen)).name)
    path = Path(str(chosen))
    return Config.parse(overrides.read_text(path), f"'{escape(str(path))}'")


def _checked_layers(layers: Any, where: str) -> dict[str, str]:
    tables = overrides.checked_tables(layers, where)
    for name, table in tables.items():
        if list(table) != ["scheme"] or not isinstance(table["scheme"], str):
            given = escape(", ".join(f"{key} = {value!r}" for key, value in table.items()))
            raise UsageError(
                f"layer '{escape(name)}' can override the scheme alone, not {given}", hint='scheme = "2:4"'
            )
    return {name: table["scheme"] for name, table in tables.items()}

"""The configuration of a quantization: one scheme for all layers, overrides for some, as a TOML file.

scheme = "int8"
calibrator = "mse"

[layer."stem/conv"]
scheme = "float"

[layer."head/*"]
scheme = "w8a16"
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
from . import overrides
from .calibrators import CALIBRATORS
from .schemes import Scheme, find_scheme

Override = Mapping[str, str]


@dataclass(frozen=True)
class Config:
    """How to quantize.

    `layers` holds overrides of `scheme` and `calibrator` by layer name or pattern (`head/*`), a name before patterns.
    `equalize` is for 8-bit weights only: coarser ones gain nothing by it, being rounded against their output.
    `rounding` is `nearest`, `optimized` (against each layer's output on calibration data) or `auto` (optimized where
    weights have four bits, and in small layers of 8-bit weights and activations); it looks at `samples` samples.
    `smooth` is how much of the input's range SmoothQuant moves into weights, 0 to 1. With `veto`, layers that overrides
    give no scheme stay in float on targets where 8-bit integers would be slower.
    """

    scheme: str = "int8"
    calibrator: str = "mse"
    equalize: bool = True
    bias_correction: bool = True
    rounding: str = "auto"
    smooth: float = 0.0
    samples: int = 1000
    veto: bool = True
    layers: Mapping[str, Override] = field(default_factory=dict)

    def __post_init__(self) -> None:
        find_scheme(self.scheme)
        _check_calibrator(self.calibrator)
        if self.rounding not in ("auto", "nearest", "optimized"):
            raise UsageError(f"rounding cannot be '{escape(self.rounding)}'", hint="auto, nearest or optimized")
        if not 0 <= self.smooth <= 1 or self.samples < 1:
            raise UsageError("smooth must be between 0 and 1, samples at least 1")
        for name, override in self.layers.items():
            _check_override(name, override)

    def schemes(self, names: Iterable[str]) -> dict[str, Scheme]:
        """The scheme of each layer; UsageError for overrides that contradict one another or match no layer."""
        chosen = self._resolved(list(names), "scheme", self.scheme)
        return {name: find_scheme(scheme) for name, scheme in chosen.items()}

    def calibrators(self, names: Iterable[str]) -> dict[str, str]:
        """The calibrator of the input of each layer."""
        return self._resolved(list(names), "calibrator", self.calibrator)

    def named(self, names: Iterable[str]) -> set[str]:
        """The layers that overrides give a scheme."""
        patterns = [pattern for pattern, override in self.layers.items() if "scheme" in override]
        return overrides.matched(patterns, names)

    def with_layers(self, schemes: Mapping[str, str]) -> Config:
        """The same with more overrides of schemes, by exact layer name."""
        added = {overrides.literal(name): {"scheme": scheme} for name, scheme in schemes.items()}
        merged = {name: {**self.layers.get(name, {}), **override} for name, override in added.items()}
        return dataclasses.replace(self, layers={**self.layers, **merged})

    def with_schemes(self, others: Mapping[str, str]) -> Config:
        """The same with other schemes in the place of some, by name."""

        def other(name: str) -> str:
            canonical = find_scheme(name).name
            return others.get(canonical, canonical)

        layers = {
            pattern: {key: other(value) if key == "scheme" else value for key, value in override.items()}
            for pattern, override in self.layers.items()
        }
        return dataclasses.replace(self, scheme=other(self.scheme), layers=layers)

    def _resolved(self, names: list[str], key: str, default: str) -> dict[str, str]:
        overrides.check_used(self.layers, names)
        given = {pattern: override[key] for pattern, override in self.layers.items() if key in override}
        return overrides.said(given, names, default, f"{key} of ")

    def text(self) -> str:
        """The file: the same text for the same configuration."""
        return overrides.written(self, self.layers)

    @staticmethod
    def parse(text: str, where: str = "the configuration") -> Config:
        """Read the text of a file; UsageError for what does not belong there."""
        table = overrides.parse(text, where)
        layers = table.pop("layer", {})
        plain = overrides.checked(table, typing.get_type_hints(Config), where)
        return Config(**plain, layers=overrides.checked_tables(layers, where))


def read_config(chosen: str | Path | Config) -> Config:
    """A configuration from the name of a scheme or from a file that ends in .toml."""
    if isinstance(chosen, Config):
        return chosen
    if not str(chosen).endswith(".toml"):
        return Config(scheme=find_scheme(str(chosen)).name)
    path = Path(chosen)
    return Config.parse(overrides.read_text(path), f"'{escape(str(path))}'")


def _check_override(name: str, override: Mapping[str, Any]) -> None:
    for key, value in override.items():
        if key not in ("scheme", "calibrator") or not isinstance(value, str):
            what = f"layer '{escape(name)}' cannot override '{escape(key)}' with {escape(str(value))}"
            raise UsageError(what, hint='scheme = "..." or calibrator = "..."')
    if "scheme" in override:
        find_scheme(override["scheme"])
    if "calibrator" in override:
        _check_calibrator(override["calibrator"])
    if override.get("scheme") == "float" and "calibrator" in override:
        what = f"layer '{escape(name)}' is left in float and yet given a calibrator"
        raise UsageError(what, hint="drop one of the two")


def _check_calibrator(name: str) -> None:
    if name.partition(":")[0] not in CALIBRATORS:
        raise UsageError(f"there is no calibrator '{escape(name)}'", hint=f"calibrators: {', '.join(CALIBRATORS)}")

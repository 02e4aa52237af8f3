"""Layers that integers would make slower on the target of a compilation: what the report says, what goes before."""

from __future__ import annotations

from typing import Any

import pytest

from edgec import driver
from edgec.backends import Lowered
from edgec.errors import UsageError
from edgec.quantization import Config
from edgec.quantizing import request

from .networks import images, residual_network

SLOW = "c"
"""Integers are slower than floats on it, in every layer."""


def lowered(config: str | Config = "int8", target: str = SLOW, veto: bool | None = None) -> Lowered:
    graph = residual_network(channels=32)
    return driver.lower(graph, target, quantization=request(config, images(graph, 4), veto=veto))


def done(made: Lowered) -> dict[str, Any]:
    assert made.quantized is not None
    return made.quantized.report


def schemes(made: Lowered) -> list[str]:
    return [layer["scheme"] for layer in done(made)["layers"]]


def test_the_report_and_the_journal_name_each_layer() -> None:
    made = lowered()
    names = [layer["name"] for layer in done(made)["layers"]]
    assert schemes(made) == ["float"] * 4
    assert [row["name"] for row in done(made)["veto"]] == names
    notes = [note.reason for note in made.graph.journal if note.source == "veto"]
    *each, last = notes
    assert each == [f"{row['name']}: {row['reason']}" for row in done(made)["veto"]]
    assert last == f"no layer is faster in integers on {SLOW}: --no-veto quantizes for size"


def test_the_configuration_holds_what_was_decided() -> None:
    made = lowered()
    assert made.quantized is not None
    config = Config.parse(made.quantized.config.text())
    assert not config.veto
    assert {override["scheme"] for override in config.layers.values()} == {"float"}
    assert schemes(lowered(config, "x86-64")) == ["float"] * 4


@pytest.mark.parametrize("config", ["int8", Config(veto=False)])
def test_it_can_be_switched_off(config: str | Config) -> None:
    made = lowered(config, veto=False if config == "int8" else None)
    assert schemes(made) == ["int8"] * 4
    assert done(made)["veto"] == []
    assert not [note for note in made.graph.journal if note.source == "veto"]


def test_an_argument_goes_before_the_configuration() -> None:
    assert schemes(lowered(Config(veto=False), veto=True)) == ["float"] * 4


def test_layers_that_are_named_stay_as_they_are_named() -> None:
    config = Config(layers={"conv#1": {"scheme": "int8"}, "conv#2": {"scheme": "w8"}})
    made = lowered(config)
    assert schemes(made) == ["int8", "w8", "float", "float"]
    assert [row["name"] for row in done(made)["veto"]] == ["conv#3", "matmul"]


def test_pattern_with_a_scheme_is_a_name_too() -> None:
    assert schemes(lowered(Config(layers={"*": {"scheme": "int8"}}))) == ["int8"] * 4


@pytest.mark.parametrize("scheme", ["w8", "w8a16", "dynamic", "fp16", "ternary"])
def test_other_schemes_are_not_vetoed(scheme: str) -> None:
    assert done(lowered(scheme))["veto"] == []


def test_integers_stay_where_they_are_faster() -> None:
    assert schemes(lowered(target="arm-neon-dot")) == ["int8"] * 4


def test_it_needs_a_scheme() -> None:
    with pytest.raises(UsageError, match="--veto without a scheme to quantize to"):
        request(veto=True)

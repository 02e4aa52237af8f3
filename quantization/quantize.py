"""Quantization in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..ir import Graph
from .config import Config, read_config
from .data import Data, Source, open_data
from .equalize import equalized, reaches
from .executor import Executor, run_numpy
from .layers import find_layers
from .schemes import find_scheme
from .smooth import smoothed
from .workbench import Workbench

EQUALIZED = 128
"""How many samples say how far channels reach."""


@dataclass(frozen=True)
class Quantized:
    """A quantized graph, the configuration that makes it again, and a report for people and programs."""

    graph: Graph
    config: Config
    report: dict[str, Any]


def quantize(
    graph: Graph, config: str | Path | Config, data: Source | Data, *, executor: Executor = run_numpy
) -> Quantized:
    """Quantize a canonical graph of float32 with calibration data.

    `config` is the name of a scheme, a TOML file or a `Config`; `executor` says how graphs are run on the data. The
    graph that is given stays as it is. ModelError where the data does not fit.
    """
    chosen = read_config(config)
    bench = prepare(graph, chosen, data, executor)
    made = bench.quantized(bench.schemes)
    return Quantized(made, chosen, report(bench))


def prepare(graph: Graph, config: Config, data: Source | Data, executor: Executor = run_numpy) -> Workbench:
    """The workbench of a graph, with equalization and smoothing done as the configuration says."""
    if graph.stage != "canonical":
        what = f"only a canonical graph can be quantized, this one is {graph.stage}"
        raise UsageError(what, hint="run the clean-up passes")
    samples = open_data(data, {v.name: v.type for v in graph.inputs})
    names = [layer.name for layer in find_layers(graph)]
    if all(scheme.is_float for scheme in config.schemes(names).values()):
        return Workbench(graph.copy(), config, samples, executor)
    ready = _equalized(graph, config, samples, executor)
    if config.smooth:
        ready = smoothed(ready, samples, config.smooth, executor, config.samples)
    return Workbench(ready, config, samples, executor)


def _equalized(graph: Graph, config: Config, samples: Data, executor: Executor) -> Graph:
    """With ranges evened out for 8-bit weights: those of weights where all share a scale, else those of activations."""
    scheme = find_scheme(config.scheme)
    if not config.equalize or scheme.weights != "int8":
        return graph.copy()
    if scheme.group < 0:
        return equalized(graph)
    if scheme.activations != "u8":
        return graph.copy()
    return equalized(graph, reaches(graph, samples, executor, min(EQUALIZED, config.samples)))


def report(bench: Workbench, schemes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What each layer became, with the size of its weights and its work."""
    chosen = schemes or bench.schemes
    return {
        "config": bench.config.text(),
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "scheme": chosen[layer.name].name,
                "weights": int(layer.weights.size),
                "macs": layer.macs,
            }
            for layer in bench.layers
        ],
    }

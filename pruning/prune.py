"""Pruning in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..ir import Graph
from ..quantization.data import Data, Source, open_data
from ..quantization.executor import Executor, run_numpy
from ..quantization.layers import Layer, find_layers
from ..quantization.moments import Moments
from .config import Config, read_config
from .schemes import CHANNELS, Scheme
from .workbench import Workbench


@dataclass(frozen=True)
class Pruned:
    """A pruned graph, the configuration that makes it again, and a report for people and programs."""

    graph: Graph
    config: Config
    report: dict[str, Any]


def prune(
    graph: Graph,
    config: str | Path | float | Config,
    data: Source | Data | None = None,
    *,
    executor: Executor = run_numpy,
) -> Pruned:
    """Prune a canonical graph of float32.

    `config` is a scheme (`2:4`, `0.7`, `channels:0.25`), a TOML file or a `Config`. With calibration data the weights
    that matter least for each layer's output go, and those that stay are fitted to it; `executor` says how graphs are
    run on the data. The graph that is given stays as it is. ModelError where the data does not fit.
    """
    bench = prepare(graph, read_config(config), data, executor)
    made = bench.pruned(bench.schemes)
    return Pruned(made, bench.config, report(bench, made, bench.schemes))


def prepare(graph: Graph, config: Config, data: Source | Data | None, executor: Executor = run_numpy) -> Workbench:
    """The workbench of a graph."""
    if graph.stage != "canonical":
        what = f"only a canonical graph can be pruned, this one is {graph.stage}"
        raise UsageError(what, hint="run the clean-up passes")
    if data is None and config.criterion in ("activation", "curvature"):
        hint = 'give --calibration FILE.npz, or choose criterion = "magnitude"'
        raise UsageError(f"criterion '{config.criterion}' needs calibration data", hint=hint)
    samples = None if data is None else open_data(data, {v.name: v.type for v in graph.inputs})
    return Workbench(graph.copy(), config, samples, executor)


def report(bench: Workbench, made: Graph, schemes: Mapping[str, Scheme]) -> dict[str, Any]:
    """What each layer became: channels, weights that are not zero, work; and why channels stay."""
    after = {layer.name: layer for layer in find_layers(made)}
    layers = [_row(layer, after[layer.name], schemes[layer.name], bench) for layer in bench.layers]
    sums = {key: sum(row[key] for row in layers) for key in ("weights_before", "weights_after")}
    return {"config": bench.config.text(), "fitted": bench.fits, **sums, "layers": layers}


def _row(before: Layer, after: Layer, scheme: Scheme, bench: Workbench) -> dict[str, Any]:
    size, left = before.weights.size, int(np.count_nonzero(after.weights))
    row: dict[str, Any] = {"name": before.name, "kind": before.kind, "scheme": scheme.name}
    row |= {"channels_before": _outputs(before), "channels_after": _outputs(after)}
    row |= {"weights_before": int(size), "weights_after": left, "macs_before": before.macs, "macs_after": after.macs}
    row |= {"sparsity": round(1 - left / after.weights.size, 4), "removed": round(1 - left / size, 4)}
    asked = bench.config.schemes(bench.names)[before.name].kind == CHANNELS and scheme.is_dense
    row["fitted"] = bench.fits and left < size and Moments.serves(before)
    return {**row, "kept_because": bench.channels.reason(before.name) if asked else ""}


def _outputs(layer: Layer) -> int:
    return layer.op.type.shape[-1 if layer.is_matmul else 1]

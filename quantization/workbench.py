"""What is worked out once for a network and its data, so that many quantizations of it are cheap to make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..ir import Graph, Value
from .bias import corrections
from .calibrators import calibrate
from .config import Config
from .data import Data
from .executor import Executor
from .insert import Decisions, Params, insert
from .layers import Layer, find_layers
from .observe import Observer, observe
from .placement import Placement, place, share_scales
from .rounding import Moments, optimized
from .schemes import Scheme
from .statistics import Channels, Statistics
from .weights import Code, encode

Array = np.ndarray
LEVELS = {"u8": 256, "i16": 65535}


@dataclass
class Workbench:
    """A canonical graph, its layers and statistics; `quantized` makes a quantized graph of it."""

    graph: Graph
    config: Config
    data: Data
    executor: Executor
    layers: list[Layer] = field(init=False)
    statistics: dict[Value, Statistics] = field(default_factory=dict)
    means: dict[Value, Channels] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    codes: dict[tuple[str, str], Code] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = find_layers(self.graph)

    @property
    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [layer.name for layer in self.layers]

    @property
    def schemes(self) -> dict[str, Scheme]:
        """The scheme of each layer as the configuration says."""
        return self.config.schemes(self.names)

    def quantized(self, schemes: Mapping[str, Scheme]) -> Graph:
        """The graph with these schemes; the data runs once, for what was not seen before."""
        journal = len(self.graph.journal)
        placement = place(self.graph, self.layers, schemes)
        self._observe(placement, schemes)
        reach = {value: self.statistics[value].reach for value in placement.points}
        share_scales(self.graph, placement, reach)
        codes = {layer.name: self._code(layer, schemes[layer.name]) for layer in self._coded(schemes)}
        made = insert(self.graph, self.layers, Decisions(placement, self._params(placement), schemes, codes))
        del self.graph.journal[journal:]
        return made

    def _coded(self, schemes: Mapping[str, Scheme]) -> list[Layer]:
        return [layer for layer in self.layers if _becomes_integers(layer, schemes[layer.name])]

    def _observe(self, placement: Placement, schemes: Mapping[str, Scheme]) -> None:
        """Gather in one run what is still missing."""
        coded = self._coded(schemes)
        observers: dict[Value, list[Observer]] = {}
        for value in placement.points:
            if value not in self.statistics:
                self.statistics[value] = Statistics()
                observers.setdefault(value, []).append(self.statistics[value])
        for layer in coded:
            if self.config.bias_correction and layer.x not in self.means:
                self.means[layer.x] = Channels(layer.x_axis)
                observers.setdefault(layer.x, []).append(self.means[layer.x])
        if observers:
            observe(self.graph, self.data, observers, self.executor)
        self._observe_moments([layer for layer in coded if self._optimizes(schemes[layer.name])])

    def _observe_moments(self, layers: Iterable[Layer]) -> None:
        missing = [layer for layer in layers if layer.name not in self.moments and Moments.serves(layer)]
        observers: dict[Value, list[Observer]] = {}
        for layer in missing:
            self.moments[layer.name] = Moments(layer)
            observers.setdefault(layer.x, []).append(self.moments[layer.name])
        if observers:
            observe(self.graph, self.data, observers, self.executor, self.config.samples)

    def _optimizes(self, scheme: Scheme) -> bool:
        if self.config.rounding == "auto":
            return scheme.weights == "int4"
        return self.config.rounding == "optimized" and scheme.weights in ("int4", "int8")

    def _code(self, layer: Layer, scheme: Scheme) -> Code:
        key = layer.name, scheme.name
        if key not in self.codes:
            self.codes[key] = self._encoded(layer, scheme)
        return self.codes[key]

    def _encoded(self, layer: Layer, scheme: Scheme) -> Code:
        rows = layer.rows(layer.weights)
        moments = self.moments.get(layer.name) if self._optimizes(scheme) else None
        code = encode(rows, scheme, None if moments is None else moments.importance)
        if moments is not None:
            code = optimized(rows, code, scheme.limits, moments)
        if self.config.bias_correction:
            code.shift = corrections(layer, code, self.means[layer.x].mean)
        return code

    def _params(self, placement: Placement) -> dict[Value, Params]:
        chosen: dict[Value, Params] = {}
        for root, members in placement.members().items():
            params = self._shared_params(placement, root, members)
            chosen.update(dict.fromkeys(members, params))
        return chosen

    def _shared_params(self, placement: Placement, root: Value, members: list[Value]) -> Params:
        to = "i16" if any(placement.points[v] == "i16" for v in members) else "u8"
        merged = self.statistics[members[0]]
        for value in members[1:]:
            merged = merged.merged(self.statistics[value])
        return Params.of(to, *calibrate(self._calibrator(members), merged, LEVELS[to]))

    def _calibrator(self, members: list[Value]) -> str:
        """The one that an override gives for a layer that reads a member, else that of the configuration."""
        chosen = self.config.calibrators(self.names)
        own = [chosen[layer.name] for layer in self.layers if layer.x in members]
        return next((name for name in own if name != self.config.calibrator), self.config.calibrator)


def _becomes_integers(layer: Layer, scheme: Scheme) -> bool:
    return scheme.integer_weights and (layer.is_matmul or scheme.activations != "dynamic")

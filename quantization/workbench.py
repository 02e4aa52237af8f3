"""What is worked out once for a network and its data, so that many quantizations of it are cheap to make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..ir import Graph, Value
from ..ir.ops import ConvTranspose
from .bias import corrections, has_bias_place
from .calibrators import calibrate
from .config import Config
from .data import Data
from .executor import CHUNK, Executor, Runner
from .insert import Decisions, Params, inputs_of, insert
from .layers import Layer, find_layers
from .moments import Moments
from .observe import Observer, observe
from .placement import Placement, detach, finest, place, share_scales
from .probe import with_outputs
from .rounding import optimized
from .schemes import FLOAT, GROUP, Scheme, find_scheme
from .statistics import Channels, Statistics
from .weights import Code, encode

Array = np.ndarray
LEVELS = {"u8": 256, "i8": 255, "i16": 65535}
LARGEST_BIAS = 2.0**28
"""In units of the sum: leaves room in 32 bits for the products, and for a scale that tensors share."""

SMALL = 8
"""One in so many of all weights may be in layers that get a finer scheme."""

CHEAP = 1152
"""8-bit weights are rounded against their output without being asked to where an output sums at most so many."""

FEW = 128
"""How many samples that goes by."""

STAGES = 5
"""How often the data runs to optimize the rounding of all layers, each time with the layers before already rounded."""


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
    codes: dict[tuple[str, str], Code] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = find_layers(self.graph)

    @property
    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [layer.name for layer in self.layers]

    @property
    def schemes(self) -> dict[str, Scheme]:
        """The scheme of each layer: as the configuration says, a finer one for delicate layers it does not name."""
        chosen, named = self.config.schemes(self.names), self.config.named(self.names)
        for layer in self._delicate:
            finer = chosen[layer.name].finer
            if finer and layer.name not in named:
                chosen[layer.name] = find_scheme(finer)
        return chosen

    @property
    def _delicate(self) -> list[Layer]:
        """The first and the last layer and those with few weights to an output, then the smallest ones.

        Together they hold at most one in `SMALL` of all weights.
        """
        left = sum(layer.weights.size for layer in self.layers) / SMALL
        ends = (self.layers[0], self.layers[-1]) if self.layers else ()
        found = []
        for layer in sorted(
            self.layers, key=lambda each: (each not in ends and each.row_length >= GROUP, each.weights.size)
        ):
            if layer.weights.size <= left:
                left -= layer.weights.size
                found.append(layer)
        return found

    def with_config(self, config: Config) -> Workbench:
        """The same with another configuration; what the data showed of the float graph is kept."""
        return Workbench(self.graph, config, self.data, self.executor, self.statistics, self.means)

    def only(self, names: Collection[str]) -> Graph:
        """The graph with some layers quantized as the configuration says, and no other."""
        return self.quantized({name: s if name in names else FLOAT for name, s in self.schemes.items()})

    def without(self, names: Collection[str]) -> Graph:
        """The graph quantized as the configuration says, but for some layers."""
        return self.quantized({name: FLOAT if name in names else s for name, s in self.schemes.items()})

    def quantized(self, schemes: Mapping[str, Scheme]) -> Graph:
        """The graph with these schemes; the data runs once, for what was not seen before."""
        journal = len(self.graph.journal)
        placement = place(self.graph, self.layers, schemes)
        self._observe(placement, schemes)
        reach = {value: self.statistics[value].reach for value in placement.points}
        detach(self.graph, placement, reach)
        share_scales(self.graph, placement, reach)
        self._optimize(placement, schemes)
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

    def _optimize(self, placement: Placement, schemes: Mapping[str, Scheme]) -> None:
        """Work out the codes of layers that round against their output, a few at a time, with those before in place."""
        missing = [layer for layer in self._coded(schemes) if (layer.name, schemes[layer.name].name) not in self.codes]
        layers = [layer for layer in missing if self._optimizes(layer, schemes[layer.name])]
        if not layers:
            return
        coarse = any(schemes[layer.name].coarse for layer in layers) or self.config.rounding == "optimized"
        samples = self.config.samples if coarse else min(FEW, self.config.samples)
        params = self._params(placement)
        plain = self.executor(with_outputs(self.graph, [layer.x for layer in layers]))
        for stage in np.array_split(np.arange(len(layers)), min(len(layers), STAGES)):
            chosen = [layers[i] for i in stage]
            decisions = Decisions(placement, params, schemes, self._known(schemes))
            quantized = self.executor(inputs_of(self.graph, self.layers, decisions, chosen))
            plainly = partial(_some, plain, stage)
            found = self._moments(chosen, quantized, plainly, samples)
            for layer, moments in zip(chosen, found, strict=True):
                scheme = schemes[layer.name]
                self.codes[layer.name, scheme.name] = self._rounded(layer, scheme, moments)

    def _known(self, schemes: Mapping[str, Scheme]) -> dict[str, Code]:
        found = {layer.name: self.codes.get((layer.name, schemes[layer.name].name)) for layer in self.layers}
        return {name: code for name, code in found.items() if code is not None}

    def _moments(self, layers: list[Layer], quantized: Runner, plain: Runner, samples: int) -> list[Moments]:
        found = [Moments(layer) for layer in layers]
        for chunk in self.data.chunks(CHUNK, samples):
            for moments, x, y in zip(found, quantized(chunk), plain(chunk), strict=True):
                moments.add(x, y)
        return found

    def _rounded(self, layer: Layer, scheme: Scheme, moments: Moments) -> Code:
        rows = layer.rows(layer.weights)
        code = encode(rows, scheme, moments.importance, self._least_scales(layer, scheme))
        code = optimized(rows, code, scheme.limits, moments, scheme.coarse)
        if self.config.bias_correction and has_bias_place(layer):
            code.shift = moments.shift(rows, code.floats)
        return code

    def _optimizes(self, layer: Layer, scheme: Scheme) -> bool:
        if not Moments.serves(layer) or self.config.rounding == "nearest":
            return False
        if self.config.rounding == "optimized":
            return scheme.weights in ("int4", "int8")
        cheap = layer.row_length <= CHEAP and layer.groups == 1
        return scheme.weights == "int4" or (scheme.weights == "int8" and scheme.activations in ("u8", "i8") and cheap)

    def _code(self, layer: Layer, scheme: Scheme) -> Code:
        key = layer.name, scheme.name
        if key not in self.codes:
            self.codes[key] = self._encoded(layer, scheme)
        return self.codes[key]

    def _encoded(self, layer: Layer, scheme: Scheme) -> Code:
        code = encode(layer.rows(layer.weights), scheme, least=self._least_scales(layer, scheme))
        if self.config.bias_correction and has_bias_place(layer):
            code.shift = corrections(layer, code, self.means[layer.x].mean)
        return code

    def _least_scales(self, layer: Layer, scheme: Scheme) -> Array | None:
        """What the scales of each row must be for the bias to fit into the integers of the sum; None for float sums."""
        bias = layer.bias_values
        if bias is None or layer.x not in self.statistics or scheme.activations not in LEVELS:
            return None
        levels = LEVELS[scheme.activations]
        chosen = calibrate(self._calibrator([layer.x]), self.statistics[layer.x], levels)
        scale = Params.of(scheme.activations, *chosen).scale
        reach = np.abs(bias.astype(np.float64)).reshape(-1, len(layer.rows(layer.weights))).max(axis=0)
        return np.asarray(reach / (scale * LARGEST_BIAS), np.float32)

    def _params(self, placement: Placement) -> dict[Value, Params]:
        chosen: dict[Value, Params] = {}
        for root, members in placement.members().items():
            params = self._shared_params(placement, root, members)
            chosen.update(dict.fromkeys(members, params))
        return chosen

    def _shared_params(self, placement: Placement, root: Value, members: list[Value]) -> Params:
        to = finest({placement.points[v] for v in members})
        merged = self.statistics[members[0]]
        for value in members[1:]:
            merged = merged.merged(self.statistics[value])
        return Params.of(to, *calibrate(self._calibrator(members), merged, LEVELS[to]))

    def _calibrator(self, members: list[Value]) -> str:
        """The one that an override gives for a layer that reads a member, else that of the configuration."""
        chosen = self.config.calibrators(self.names)
        own = [chosen[layer.name] for layer in self.layers if layer.x in members]
        return next((name for name in own if name != self.config.calibrator), self.config.calibrator)


def _some(run: Runner, places: Array, arrays: Sequence[Array]) -> list[Array]:
    """Some of the outputs of a runner."""
    outputs = run(arrays)
    return [outputs[place] for place in places]


def _becomes_integers(layer: Layer, scheme: Scheme) -> bool:
    return scheme.integer_weights and not (scheme.activations == "dynamic" and isinstance(layer.op, ConvTranspose))

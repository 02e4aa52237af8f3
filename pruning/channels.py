"""Groups of tied channels as things to remove: how much each counts, which go, and what that leaves of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph
from ..quantization.layers import Layer
from .schemes import CHANNELS, DENSE_SCHEME, Scheme
from .ties import Ties

Array = np.ndarray


@dataclass(frozen=True)
class Family:
    """Groups of channels that the same layers make: `roots` are their numbers, `layers` the names of those layers."""

    layers: tuple[str, ...]
    roots: tuple[int, ...]


class Channels:
    """The channels of a network that can be removed."""

    def __init__(self, graph: Graph, layers: list[Layer]) -> None:
        self.layers = {layer.name: layer for layer in layers}
        ties = Ties(graph, layers)
        self.frozen = ties.frozen()
        self.made = {layer.name: ties.roots(layer.op.result) for layer in layers}
        self.read = {layer.name: None if layer.kind == "depthwise" else ties.roots(layer.x) for layer in layers}
        self.families = self._families()

    def _families(self) -> list[Family]:
        """Families that may shrink; layers in the order of the network, depthwise ones follow those they read."""
        makers: dict[int, list[str]] = {}
        for name, roots in self.made.items():
            for root in () if roots is None or self.layers[name].kind == "depthwise" else roots:
                if name not in makers.setdefault(int(root), []):
                    makers[int(root)].append(name)
        by_layers: dict[tuple[str, ...], list[int]] = {}
        for root, names in makers.items():
            if root not in self.frozen:
                by_layers.setdefault(tuple(names), []).append(root)
        return [Family(names, tuple(roots)) for names, roots in by_layers.items()]

    def reason(self, name: str) -> str:
        """Why the channels of a layer must stay; nothing where they need not."""
        roots = self.made[name]
        if roots is None:
            return "a convolution in groups"
        return next((self.frozen[int(root)] for root in roots if int(root) in self.frozen), "")

    def agreed(self, schemes: Mapping[str, Scheme], named: set[str]) -> dict[str, Scheme]:
        """The schemes with tied layers given the same; UsageError where overrides ask for what cannot be."""
        found = dict(schemes)
        for name in self.layers:
            if found[name].kind == CHANNELS and self._stays(name):
                if name in named:
                    what = f"the channels of layer '{escape(name)}' cannot be removed"
                    raise UsageError(what, hint=f"read by {self.reason(name)}" if self.reason(name) else "")
                found[name] = DENSE_SCHEME
        for family in self.families:
            found |= self._settled(family, found, named)
        return found

    def _stays(self, name: str) -> bool:
        return not any(name in family.layers for family in self.families)

    def _settled(self, family: Family, schemes: Mapping[str, Scheme], named: set[str]) -> dict[str, Scheme]:
        ratios = {name: schemes[name] for name in family.layers if schemes[name].kind == CHANNELS}
        if not ratios:
            return {}
        asked = {name: schemes[name] for name in family.layers if name in named} or ratios
        if len({scheme.name for scheme in asked.values()}) > 1:
            said = ", ".join(f"'{escape(name)}': {scheme.name}" for name, scheme in asked.items())
            raise UsageError(
                f"layers whose channels are tied have different schemes: {said}", hint="name them all alike"
            )
        scheme = next(iter(asked.values()))
        return dict.fromkeys(family.layers, scheme)

    def chosen(self, schemes: Mapping[str, Scheme], importance: Callable[[Layer], Array], multiple: int) -> set[int]:
        """The groups that go: those of each family that count least."""
        removed: set[int] = set()
        for family in self.families:
            scheme = schemes[family.layers[0]]
            if scheme.kind == CHANNELS:
                scores = self.scores(family, importance)
                order = np.argsort(scores, kind="stable")
                gone = len(order) - staying(len(order), scheme.share, multiple)
                removed.update(family.roots[i] for i in order[:gone])
        return removed

    def scores(self, family: Family, importance: Callable[[Layer], Array]) -> Array:
        """How much each group counts for the layers that read it, or where none does, what its layers make of it."""
        place = {root: i for i, root in enumerate(family.roots)}
        readers = [
            name for name, roots in self.read.items() if roots is not None and place.keys() & set(roots.tolist())
        ]
        total = np.zeros(len(place))
        for name in readers or family.layers:
            by_row = importance(self.layers[name])
            roots = self.read[name] if readers else self.made[name]
            assert roots is not None
            counts = by_row.reshape(len(by_row), -1, len(roots)).sum(axis=(0, 1)) if readers else by_row.sum(axis=1)
            for root, count in zip(roots.tolist(), counts / max(float(counts.sum()), 1e-300), strict=True):
                if root in place:
                    total[place[root]] += count
        return total

    def masks(self, removed: set[int]) -> dict[str, Array]:
        """For each layer that loses outputs or inputs the weights that stay, as a mask of its rows."""
        found: dict[str, Array] = {}
        for name, layer in self.layers.items():
            rows = layer.rows(layer.weights)
            mask = np.ones(rows.shape, bool)
            made, read = self.made[name], self.read[name]
            if made is not None:
                mask &= ~np.isin(made, list(removed))[:, None]
            if read is not None:
                gone = np.isin(read, list(removed))
                mask &= ~np.broadcast_to(gone, (rows.shape[1] // len(gone), len(gone))).reshape(1, -1)
            if not mask.all():
                found[name] = mask
        return found


def staying(count: int, share: float, multiple: int) -> int:
    """How many of `count` channels stay: a multiple where there are enough, at least one."""
    wanted = max(1, count - int(share * count))
    rounded = -(-wanted // multiple) * multiple
    return min(rounded, count) if count >= 2 * multiple else wanted

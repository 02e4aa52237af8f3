"""Random graphs with an open size: those of `random_graphs`, made so that no choice needs the number."""

from __future__ import annotations

from edgec.errors import EdgecError
from edgec.ir import Graph, Symbol, Value
from edgec.ir.dims import is_open, symbol, upper
from edgec.ir.ops import Slice

from .random_graphs import Maker, RandomGraph, _slice

LARGEST = 20000


class OpenGraph(RandomGraph):
    """A random graph one dimension of whose inputs is open, the same for all inputs."""

    def __init__(self, seed: int, open_size: int, axis: int, ops: int = 9) -> None:
        self.open_size, self.axis = open_size, axis
        super().__init__(seed, ops)

    def shape(self) -> tuple[int, ...]:
        shape = super().shape()
        return (*shape[: self.axis], self.open_size, *shape[self.axis + 1 :])

    def make(self, maker: Maker) -> Value | None:
        try:
            return _open_slice(self) if maker is _slice else maker(self)
        except (EdgecError, TypeError, ValueError):
            return None

    def fits(self, made: Value) -> bool:
        return 0 < upper(made.type.size) < LARGEST


def _open_slice(g: RandomGraph) -> Value | None:
    """All of an open dimension, all but its first element, or all of it backwards."""
    x = g.value()
    if x is None:
        return None
    starts, sizes, steps = [], [], []
    for extent in x.shape:
        kind = g.count(0, 2) if is_open(extent) else 0
        starts.append((0, 1, extent - 1)[kind])
        sizes.append((extent, extent - 1, extent)[kind] if is_open(extent) else g.count(1, extent))
        steps.append((1, 1, -1)[kind])
    return Slice(x, tuple(starts), tuple(sizes), tuple(steps)).result


def open_graph(seed: int, low: int = 1, high: int = 9, ops: int = 9) -> Graph:
    """The random graph of a seed with an open size `n` between bounds, in a dimension that the seed chooses."""
    return OpenGraph(seed, symbol(Symbol("n", low, high)), seed % 4, ops).graph

"""Ops on text at random: their samples, on strings that are there or come in as inputs."""

from __future__ import annotations

from ...ir import REGISTRY, Value
from ...ir.ops import array_of
from .growth import Growth
from .known import Unfit


def as_sampled(g: Growth, name: str) -> Value:
    """A sample of an op; what is no constant becomes text of the graph, a new input if there is none."""
    if g.everywhere:
        raise Unfit("not everywhere")
    op = g.one(list(REGISTRY[name].samples()))
    made = {v: v if array_of(v) is not None else _text_like(g, v) for v in op.operands}
    return g.put(op.with_operands(made.__getitem__))


def _text_like(g: Growth, sample: Value) -> Value:
    there = [v for v in g.values if v.dtype == sample.dtype and v.shape == sample.shape]
    return g.one(there) if there and g.chance(0.7) else g.input(sample.dtype, sample.shape)

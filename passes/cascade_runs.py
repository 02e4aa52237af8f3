"""Runs of windowed ops, each of which alone reads the one before: what cascades are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.dims import is_open
from ..ir.ops import Constant, Conv, ConvInteger, HalfConv, Pad, Pool, WinogradConv, array_of
from .rolling import anchor_of, outer_of, slides_over

DENSE = 0.9
"""Weights with more zeros may suit the sparse kernel, which computes all rows at once."""


def runs(graph: Graph) -> Iterator[list[Op]]:
    """The longest runs of ops and pads that could be one cascade."""
    windowed = {op: None for op in graph if is_windowed(op)}
    after = {op: _next(graph, op, windowed) for op in windowed}
    inside = {found[-1] for found in after.values() if found}
    for first in windowed:
        run = [first]
        while first not in inside and after[run[-1]]:
            run += after[run[-1]]
        if len(run) > 1:
            yield run


def is_windowed(op: Op) -> bool:
    """Whether the kernel of an op computes rows of one image, channels innermost, each by itself."""
    anchor = anchor_of(op)
    if anchor is None or isinstance(anchor, WinogradConv | HalfConv) or len(op.results) != 1:
        return False
    result, x = op.results[0].type, anchor.x.type
    if any(anchor.pads):
        return False
    if any(map(is_open, (*result.shape, *x.shape))) or result.rank != 4 or result.shape != anchor.type.shape:
        return False
    channels_last = all(kind.with_order((0, 2, 3, 1)).same_memory(kind.physical) for kind in (result, x))
    return channels_last and result.shape[0] == 1 and (isinstance(anchor, Pool) or _has_plain_weights(op, anchor))


def _has_plain_weights(op: Op, anchor: Conv | ConvInteger) -> bool:
    """Whether weights are constants that no sparse kernel takes, in one group or a group for each channel."""
    weights = outer_of(op, anchor.w)
    if not isinstance(weights.producer, Constant) or not (anchor.groups == 1 or anchor.is_depthwise):
        return False
    if isinstance(anchor, ConvInteger):  # sums of words may not fit into 32 bits, and then are no rows
        return not (anchor.is_depthwise and anchor.x.dtype.name == "i16")
    array = array_of(weights)
    return array is not None and bool(np.count_nonzero(array) >= DENSE * array.size)


def _next(graph: Graph, op: Op, windowed: Collection[Op]) -> list[Op]:
    """The pad, if there is one, and the op that alone read the result of an op."""
    value, between = op.results[0], list[Op]()
    reader = _sole_reader(graph, value)
    if isinstance(reader, Pad):
        if any((*reader.pads[:2], *reader.pads[4:6])):
            return []
        value, between = reader.result, [reader]
        reader = _sole_reader(graph, value)
    fits = reader is not None and reader in windowed and slides_over(reader) is value
    return [*between, reader] if reader is not None and fits else []


def _sole_reader(graph: Graph, value: Value) -> Op | None:
    if graph.is_output(value) or len(value.users) != 1:
        return None
    reader, times = next(iter(value.users.items()))
    return reader if times == 1 else None

"""Which channels of a network stand or fall together.

Each layer makes new channels. They are followed through elementwise operations, depthwise convolutions, pooling,
concatenation and residual additions (which tie channels of several layers together) to the layers that read them. Where
something else reads them (an output, a softmax, a reshape that mixes them) they must stay, and the reason is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import (
    BatchNorm,
    Concat,
    Constant,
    Conv,
    Elementwise,
    MatMul,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Resize,
    Slice,
    Transpose,
    array_of,
)
from ..quantization.layers import Layer, find_layers

Array = np.ndarray


@dataclass(frozen=True)
class Track:
    """The channels of a value: the axis along which they run, and a number for each."""

    axis: int
    ids: Array


class Ties:
    """The channels of a graph; the same numbers for every copy of it."""

    def __init__(self, graph: Graph, layers: list[Layer] | None = None) -> None:
        self.graph = graph
        self.layers = {layer.op: layer for layer in (find_layers(graph) if layers is None else layers)}
        self.tracks: dict[Value, Track] = {}
        self.parents: list[int] = []
        self.reasons: dict[int, str] = {}
        for op in graph:
            FOLLOW.get(_kind(op), _stop)(self, op)
        for value in graph.outputs:
            self.freeze(value, "an output of the network")

    # --- what is asked ----------------------------------------------------------------------------------------------

    def find(self, channel: int) -> int:
        """The number that stands for all channels tied to this one."""
        while self.parents[channel] != channel:
            self.parents[channel] = self.parents[self.parents[channel]]
            channel = self.parents[channel]
        return channel

    def roots(self, value: Value) -> Array | None:
        """For each channel of a value the number of its group; None where channels are not followed."""
        track = self.tracks.get(value)
        return None if track is None else np.array([self.find(int(i)) for i in track.ids], np.int64)

    def frozen(self) -> dict[int, str]:
        """The groups that must stay, and what reads them."""
        found: dict[int, str] = {}
        for channel, reason in self.reasons.items():
            found.setdefault(self.find(channel), reason)
        return found

    # --- what the followers below do --------------------------------------------------------------------------------

    def begin(self, op: Op, axis: int) -> None:
        """New channels."""
        first, count = len(self.parents), op.type.shape[axis]
        self.parents.extend(range(first, first + count))
        self.tracks[op.result] = Track(axis, np.arange(first, first + count))

    def tie(self, one: Array, other: Array) -> None:
        """Make channels stand or fall together, pair by pair."""
        for a, b in zip(one, other, strict=True):
            low, high = sorted((self.find(int(a)), self.find(int(b))))
            self.parents[high] = low

    def freeze(self, value: Value, reason: str) -> None:
        """Channels that must stay."""
        if value in self.tracks:
            self.reasons.update((int(i), reason) for i in self.tracks[value].ids if int(i) not in self.reasons)

    def stop(self, op: Op, reason: str = "") -> None:
        """Freeze all that an op reads."""
        for value in op.operands:
            self.freeze(value, reason or op.name)


Follow = Callable[[Ties, Any], None]


def _kind(op: Op) -> type[Op]:
    return Elementwise if isinstance(op, Elementwise) else type(op)


def _stop(ties: Ties, op: Op) -> None:
    ties.stop(op)


def _begin_nothing(ties: Ties, op: Op) -> None:
    """Constants have no channels of their own: they follow what they are combined with."""


def _conv(ties: Ties, op: Conv) -> None:
    movable = op in ties.layers and (op.bias is None or array_of(op.bias) is not None)
    if movable and op.groups == 1:
        ties.begin(op, 1)
    elif movable and op.is_depthwise:
        _keep(ties, op, op.x, 1)
    else:
        ties.stop(op, "a convolution in groups" if op.groups > 1 else "a convolution without constant weights")


def _matmul(ties: Ties, op: MatMul) -> None:
    track, last = ties.tracks.get(op.a), op.a.rank - 1
    if op not in ties.layers or op.b.rank != 2 or last < 1:
        return ties.stop(op, "a matrix product without constant weights")
    if track is not None and track.axis != last:
        ties.stop(op, "a matrix product along another axis")
    ties.begin(op, op.type.rank - 1)


def _keep(ties: Ties, op: Op, x: Value, axis: int) -> None:
    """The channels of an operand, now along an axis of the result."""
    track = ties.tracks.get(x)
    if track is not None:
        ties.tracks[op.result] = Track(axis, track.ids)


def _spatial(ties: Ties, op: Pool | Pad | Resize | Slice | Reduce) -> None:
    """Ops that leave one axis alone."""
    track = ties.tracks.get(op.x)
    if track is None:
        return
    if not _leaves(op, track.axis):
        return ties.stop(op, f"{op.name} along channels")
    dropped = isinstance(op, Reduce) and not op.keepdims
    _keep(ties, op, op.x, track.axis - sum(a < track.axis for a in op.axes) if dropped else track.axis)  # type: ignore[union-attr]


def _leaves(op: Pool | Pad | Resize | Slice | Reduce, axis: int) -> bool:
    if isinstance(op, Reduce):
        return axis not in op.axes
    if isinstance(op, Pool):
        return axis == 1
    return op.type.shape[axis] == op.x.shape[axis]


def _transpose(ties: Ties, op: Transpose) -> None:
    track = ties.tracks.get(op.x)
    if track is not None:
        _keep(ties, op, op.x, op.perm.index(track.axis))


def _reshape(ties: Ties, op: Reshape) -> None:
    track = ties.tracks.get(op.x)
    if track is None:
        return
    before, extent = math.prod(op.x.shape[: track.axis]), op.x.shape[track.axis]
    for axis, size in enumerate(op.shape):
        if size == extent and math.prod(op.shape[:axis]) == before:
            return _keep(ties, op, op.x, axis)
    ties.stop(op, "a reshape that mixes channels with positions")


def _elementwise(ties: Ties, op: Op) -> None:
    tracked = {v: _aligned(ties.tracks[v].axis, v, op) for v in op.operands if v in ties.tracks}
    if not tracked:
        return
    axis = next(iter(tracked.values()))
    if set(tracked.values()) != {axis} or any(not _fits(ties, v, op, axis) for v in op.operands):
        return ties.stop(op, f"{op.name} with a tensor whose channels are not known")
    first, *others = tracked
    for value in others:
        ties.tie(ties.tracks[first].ids, ties.tracks[value].ids)
    _keep(ties, op, first, axis)


def _aligned(axis: int, value: Value, op: Op) -> int:
    return axis + op.type.rank - value.rank


def _fits(ties: Ties, value: Value, op: Op, axis: int) -> bool:
    """Whether an operand has the same channels along an axis of the result, constants for each, or the same for all."""
    own = axis - (op.type.rank - value.rank)
    extent = value.shape[own] if own >= 0 else 1
    if value in ties.tracks:
        return extent == op.type.shape[axis]
    return extent == 1 or array_of(value) is not None


def _batch_norm(ties: Ties, op: BatchNorm) -> None:
    if any(array_of(v) is None for v in op.operands[1:]):
        return ties.stop(op)
    _keep(ties, op, op.x, 1)


def _concat(ties: Ties, op: Concat) -> None:
    tracks = [ties.tracks.get(x) for x in op.xs]
    axes = {track.axis for track in tracks if track is not None}
    if not axes:
        return
    if None in tracks or len(axes) > 1:
        return ties.stop(op, "a concatenation with a tensor whose channels are not known")
    known = [track.ids for track in tracks if track is not None]
    axis = axes.pop()
    if axis == op.axis % op.type.rank:
        ties.tracks[op.result] = Track(axis, np.concatenate(known))
        return
    for other in known[1:]:
        ties.tie(known[0], other)
    _keep(ties, op, op.xs[0], axis)


FOLLOW: dict[type[Op], Follow] = {
    Constant: _begin_nothing,
    Conv: _conv,
    MatMul: _matmul,
    Elementwise: _elementwise,
    BatchNorm: _batch_norm,
    Concat: _concat,
    Pool: _spatial,
    Pad: _spatial,
    Resize: _spatial,
    Slice: _spatial,
    Reduce: _spatial,
    Transpose: _transpose,
    Reshape: _reshape,
}

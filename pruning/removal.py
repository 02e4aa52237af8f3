"""A network without some of its channels: smaller, and dense."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..ir import Graph, Op, Value
from ..ir.ops import BatchNorm, Conv, Elementwise, MatMul, Reshape, Resize, Slice, array_of, constant
from .ties import Ties

Array = np.ndarray


def without_channels(graph: Graph, removed: Collection[int]) -> Graph:
    """A copy without groups of channels (numbers of `Ties`); inputs and outputs stay as they are.

    What the removed channels carried counts as zero where they were read.
    """
    work = _Removal(graph, Ties(graph), set(removed))
    made = Graph(graph.name)
    made.stage, made.journal, made.metadata = graph.stage, list(graph.journal), dict(graph.metadata)
    table: dict[Value, Value] = {v: made.input(v.type, v.name) for v in graph.inputs}
    for op in graph:
        if op.operands:
            _add(made, op, work.changed(op, table), table)
        else:
            _add(made, op, op.replace(), table)
    made.set_outputs([table[v] for v in graph.outputs], graph.output_names)
    for op in reversed(made.ops):
        if op.name == "constant" and not op.result.users:
            made.remove(op)
    return made


def _add(made: Graph, op: Op, new: Op, table: dict[Value, Value]) -> None:
    made.insert_before(None, new)
    for old, result in zip(op.results, new.results, strict=True):
        result.name = old.name
        table[old] = result


class _Removal:
    def __init__(self, graph: Graph, ties: Ties, removed: set[int]) -> None:
        self.ties, self.removed = ties, removed

    def kept(self, value: Value) -> Array | None:
        """Which channels of a value stay; None where all do."""
        roots = self.ties.roots(value)
        if roots is None:
            return None
        kept = np.array([int(root) not in self.removed for root in roots], bool)
        return None if kept.all() else kept

    def changed(self, op: Op, table: dict[Value, Value]) -> Op:
        swap = table.__getitem__
        if isinstance(op, Conv):
            return self.conv(op, swap)
        if isinstance(op, MatMul):
            return self.matmul(op, swap)
        if isinstance(op, Elementwise | BatchNorm):
            new: Op = op.with_operands(lambda v: self.along_channels(op, v, swap))
            return new
        extents = self.extents(op)
        new = op.replace(x=swap(op.x), **extents) if extents else op.with_operands(swap)  # type: ignore[attr-defined]
        return new

    def conv(self, op: Conv, swap: Callable[[Value], Value]) -> Op:
        rows, columns = self.kept(op.result), None if op.groups > 1 else self.kept(op.x)
        fields: dict[str, Any] = {"x": swap(op.x), "w": swap(op.w), "bias": swap(op.bias) if op.bias else None}
        if rows is not None or columns is not None:
            fields["w"] = _cut(op.w, [(0, rows), (1, columns)])
        if rows is not None:
            fields["bias"] = _cut(op.bias, [(0, rows)]) if op.bias else None
            fields["groups"] = int(rows.sum()) if op.groups > 1 else 1
        new: Op = op.replace(**fields)
        return new

    def matmul(self, op: MatMul, swap: Callable[[Value], Value]) -> Op:
        rows, columns = self.kept(op.result), self.kept(op.a) if op in self.ties.layers else None
        cut = rows is not None or columns is not None
        new: Op = op.replace(a=swap(op.a), b=_cut(op.b, [(0, columns), (1, rows)]) if cut else swap(op.b))
        return new

    def along_channels(self, op: Op, value: Value, swap: Callable[[Value], Value]) -> Value:
        """An operand; constants that hold a number for each channel lose those of removed ones."""
        kept, track = self.kept(op.result), self.ties.tracks.get(op.result)
        if kept is None or track is None or array_of(value) is None:
            return swap(value)
        axis = 0 if isinstance(op, BatchNorm) else track.axis - (op.type.rank - value.rank)
        wide = axis >= 0 and value.shape[axis] == len(kept) > 1
        return _cut(value, [(axis, kept)]) if wide else swap(value)

    def extents(self, op: Op) -> dict[str, Any]:
        """Attributes that name the number of channels."""
        kept, track = self.kept(op.results[0]), self.ties.tracks.get(op.results[0])
        name = {Reshape: "shape", Slice: "sizes", Resize: "sizes"}.get(type(op))
        if kept is None or track is None or name is None:
            return {}
        sizes = list(getattr(op, name))
        sizes[track.axis] = int(kept.sum())
        return {name: tuple(sizes)}


def _cut(value: Value, parts: list[tuple[int, Array | None]]) -> Value:
    """A constant without what does not stay along some axes."""
    array = array_of(value)
    assert array is not None
    for axis, kept in parts:
        array = array if kept is None else np.compress(kept, array, axis=axis)
    return constant(np.ascontiguousarray(array))

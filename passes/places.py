"""Where values live: a buffer, an offset and strides.

Views, concatenations and paddings cost nothing where a place can be expressed as part of another value's buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..ir import DType, Op
from ..ir.dims import known
from ..ir.ops import Box, Expand, Relayout, Reshape, Slice, Transpose

INPUT, OUTPUT, WEIGHT, ARENA = "input", "output", "weight", "arena"

Shape = tuple[int, ...]
Strides = tuple[int, ...]


@dataclass(eq=False)
class Buffer:
    """A run of memory: an input or output of the caller's, a constant, or a part of the arena.

    `first` and `last` are the steps between which it is alive; `offset` is its byte offset in the arena.
    """

    kind: str
    bytes: int
    dtype: DType
    index: int = 0
    first: int = -1
    last: int = -1
    offset: int = 0

    def touch(self, step: int) -> None:
        self.first = step if self.first < 0 else min(self.first, step)
        self.last = max(self.last, step)


@dataclass(frozen=True)
class Place:
    """Elements of a buffer: the first one's offset, and the stride of each logical dimension, in elements."""

    buffer: Buffer
    offset: int
    strides: Strides = field(default=())

    def shifted(self, elements: int) -> Place:
        return replace(self, offset=self.offset + elements)


def reshape_strides(shape: Shape, strides: Strides, new: Shape) -> Strides | None:
    """Strides that show the same elements, in row-major order, under another shape; None where there are none."""
    if 0 in shape:
        return (0,) * len(new)
    runs: list[tuple[int, int]] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == stride * extent:
            runs[-1] = (runs[-1][0] * extent, stride)
        else:
            runs.append((extent, stride))
    found: list[int] = []
    for extent in reversed(new):
        if extent == 1:
            found.append(runs[-1][1] if runs else 1)
            continue
        if not runs or not _divides(extent, runs[-1][0]):
            return None
        size, stride = runs.pop()
        found.append(stride)
        if size != extent:
            runs.append((size // extent, stride * extent))
    return tuple(reversed(found))


def _divides(extent: int, size: int) -> bool:
    return known(lambda: size % extent == 0)


def broadcast_strides(shape: Shape, strides: Strides, to: Shape) -> Strides:
    """Strides for reading a tensor as if it had a shape that it broadcasts to."""
    missing = len(to) - len(shape)
    kept = (0 if extent == 1 else stride for extent, stride in zip(shape, strides, strict=True))
    return (0,) * missing + tuple(kept)


def view_place(op: Op, at: Place) -> Place | None:
    """The place of a view's result inside its operand's; None where the elements would have to move."""
    if isinstance(op, Reshape):
        strides = reshape_strides(op.x.shape, at.strides, op.shape)
        return None if strides is None else replace(at, strides=strides)
    if isinstance(op, Transpose):
        return replace(at, strides=tuple(at.strides[p] for p in op.perm))
    if isinstance(op, Slice):
        start = sum(s * t for s, t in zip(op.starts, at.strides, strict=True))
        return replace(at.shifted(start), strides=tuple(s * t for s, t in zip(op.steps, at.strides, strict=True)))
    if isinstance(op, Expand):
        return replace(at, strides=broadcast_strides(op.x.shape, at.strides, op.shape))
    if isinstance(op, Relayout) and same_places(op.type.shape, at.strides, op.type.strides):
        return at
    return None


def operand_place(op: Op, at: Place) -> Place | None:
    """The place that a view's operand must have for the result to lie at `at`; None where the view cannot be undone."""
    if isinstance(op, Reshape):
        strides = reshape_strides(op.shape, at.strides, op.x.shape)
        return None if strides is None else replace(at, strides=strides)
    if isinstance(op, Transpose):
        strides_by_operand = dict(zip(op.perm, at.strides, strict=True))
        return replace(at, strides=tuple(strides_by_operand[a] for a in range(len(op.perm))))
    if isinstance(op, Relayout) and op.x.type.same_memory(op.order):
        return at
    return None


def box_place(at: Place, box: Box) -> Place:
    """The part of a place that a box of an assembly covers."""
    start = sum(s * t for s, t in zip(box.starts, at.strides, strict=True))
    return replace(at.shifted(start), strides=tuple(s * t for s, t in zip(box.steps, at.strides, strict=True)))


def same_places(shape: Shape, a: Strides, b: Strides) -> bool:
    """Whether two strides lead to the same elements of a shape."""
    return all(extent == 1 or s == t for extent, s, t in zip(shape, a, b, strict=True))


def coincide(shape: Shape, a: Place | None, b: Place) -> bool:
    """Whether two places hold the same elements of a shape."""
    return a is not None and (a.buffer, a.offset) == (b.buffer, b.offset) and same_places(shape, a.strides, b.strides)

"""Export rules: views, assemblies, gathers, resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .onnx_export_rules import rule
from .onnx_export_writer import Tensor, Writer
from .ops import Concat, Expand, Gather, Interleave, Pad, Reshape, Resize, Slice, Transpose
from .types import i32, i64


@rule
def reshape(op: Reshape, writer: Writer) -> Tensor:
    return writer.reshape(writer.of(op.x), op.shape)


@rule
def transpose(op: Transpose, writer: Writer) -> Tensor:
    return writer.emit("Transpose", writer.of(op.x), perm=list(op.perm))


@rule
def expand(op: Expand, writer: Writer) -> Tensor:
    return writer.emit("Expand", writer.of(op.x), writer.integers(op.shape))


@rule
def cut(op: Slice, writer: Writer) -> Tensor:
    """Only the axes that lose elements or turn around."""
    axes = [a for a in range(op.x.rank) if op.sizes[a] != op.x.shape[a] or op.steps[a] != 1]
    bounds = [_bounds(op.starts[a], op.sizes[a], op.steps[a], op.x.shape[a]) for a in axes]
    columns = ([b[0] for b in bounds], [b[1] for b in bounds], axes, [b[2] for b in bounds])
    return writer.emit("Slice", writer.of(op.x), *map(writer.integers, columns))


def _bounds(start: int, size: int, step: int, extent: int) -> tuple[int, int, int]:
    """Start, end and step; an end before the first element counts from the other side of the tensor."""
    if not size:
        return 0, 0, 1
    end = start + (size - 1) * step + (1 if step > 0 else -1)
    return start, end if end >= 0 else -extent - 1, step


@rule
def concat(op: Concat, writer: Writer) -> Tensor:
    return writer.emit("Concat", *map(writer.of, op.xs), axis=op.axis)


@rule
def pad(op: Pad, writer: Writer) -> Tensor:
    value = writer.weights(np.asarray(op.value).astype(op.x.dtype.numpy))
    return writer.emit("Pad", writer.of(op.x), writer.integers(op.pads), value)


@rule
def interleave(op: Interleave, writer: Writer) -> Tensor:
    """All elements and the filling in one row, then each taken to its place."""
    shape = (-1,)
    filling = writer.weights(np.asarray([op.value]).astype(op.type.dtype.numpy))
    row = writer.emit("Concat", *(writer.reshape(writer.of(x), shape) for x in op.xs), filling, axis=0)
    return writer.emit("Gather", row, writer.weights(_places(op)), axis=0)


def _places(op: Interleave) -> np.ndarray:
    """For each element of the result its place among all elements of the operands; behind them, the filling's."""
    ends = np.cumsum([x.type.size for x in op.xs])
    found = np.full(op.type.shape, ends[-1], np.int64)
    for x, end, box in zip(op.xs, ends, op.boxes(), strict=True):
        spans = zip(box.starts, box.steps, x.shape, strict=True)
        found[tuple(slice(a, a + t * n, t) for a, t, n in spans)] = np.arange(end - x.type.size, end).reshape(x.shape)
    return found


@rule
def gather(op: Gather, writer: Writer) -> Tensor:
    indices = writer.of(op.indices)
    indices = indices if op.indices.dtype in (i32, i64) else writer.cast(indices, i64)
    return writer.emit("Gather", writer.of(op.x), indices, axis=op.axis)


@rule
def resize(op: Resize, writer: Writer) -> Tensor | None:
    """Where runtimes agree on it: over the last axes of an image, with factors that sizes or scales express."""
    axes = op.resized_axes()
    if not axes or op.x.rank not in (3, 4, 5) or min(axes) < 2 or (op.mode == "cubic" and op.x.rank != 4):
        return None
    extents = _extents(op, writer)
    if extents is None:
        return None
    attributes = {"mode": op.mode, "coordinate_transformation_mode": op.coordinates}
    if op.mode == "nearest":
        attributes["nearest_mode"] = op.rounding
    numbers = {"cubic_coeff_a": op.cubic_coefficient} if op.mode == "cubic" else {}
    outside = {"exclude_outside": 1} if op.exclude_outside else {}
    return writer.emit("Resize", writer.of(op.x), None, *extents, **attributes, **numbers, **outside)


def _extents(op: Resize, writer: Writer) -> Sequence[Tensor | None] | None:
    """Scales, or else sizes, whichever says what the op does."""
    scales = np.asarray(op.scales, np.float32)
    exact = bool((scales == np.asarray(op.scales)).all())
    if exact and tuple(np.floor(np.asarray(op.x.shape) * np.asarray(op.scales)).astype(int)) == op.sizes:
        return [writer.own_weights(scales)]  # they stay float32 where all else becomes half
    if np.allclose(np.asarray(op.scales) * op.x.shape, op.sizes, rtol=1e-7, atol=0):
        return [None, writer.integers(op.sizes)]
    return None

"""Rules: the same elements in another shape, order or selection."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from . import onnx_places
from .dim_text import identifier
from .dims import Symbol, Undecided, described, greatest, is_open, least, lower, symbol, upper
from .onnx_rules import Node, NotCovered, rule
from .ops import (
    Add,
    Cast,
    Concat,
    Expand,
    Gather,
    Less,
    Max,
    Min,
    Pad,
    Reshape,
    Slice,
    Sub,
    Transpose,
    Where,
    constant,
    known_sizes,
    like,
    sizes,
)
from .types import DType, broadcast, i64, normal_axes, normal_axis
from .value import Value


def reshaped(x: Value, shape: Sequence[int]) -> Value:
    """x in another shape; itself where it has that shape."""
    return x if x.shape == tuple(shape) else Reshape(x, tuple(shape)).result


def transposed(x: Value, perm: Sequence[int]) -> Value:
    """x with its dimensions in another order; itself where that is no change."""
    return x if tuple(perm) == tuple(range(x.rank)) else Transpose(x, tuple(perm)).result


def inverse(perm: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes another."""
    return tuple(list(perm).index(i) for i in range(len(perm)))


@rule("Reshape")
def reshape(node: Node) -> Value:
    """0 keeps a dimension (unless allowzero), -1 takes what is left."""
    x, wanted = node.x, list(node.known_ints(1, "shape"))
    if not node.flag("allowzero"):
        if any(d == 0 and i >= x.rank for i, d in enumerate(wanted)):
            raise ModelError(f"shape {wanted} keeps a dimension that {x.type} does not have")
        wanted = [x.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    if wanted.count(-1) > 1 or min(map(lower, wanted), default=0) < -1:
        raise ModelError(f"shape {wanted} is not one")
    if -1 in wanted:
        rest = math.prod(d for d in wanted if d != -1)
        if rest == 0 or x.type.size % rest:
            raise ModelError(f"{x.type.size} elements do not fill shape {wanted}")
        wanted[wanted.index(-1)] = x.type.size // rest
    return reshaped(x, wanted)


@rule("Flatten")
def flatten(node: Node) -> Value:
    axis, shape = node.integer("axis"), node.x.shape
    axis = axis if axis == len(shape) else normal_axis(axis, len(shape))
    return reshaped(node.x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


@rule("Transpose")
def transpose(node: Node) -> Value:
    return transposed(node.x, node.ints("perm") or tuple(reversed(range(node.x.rank))))


def listed_axes(node: Node, position: int) -> tuple[int, ...] | None:
    """Axes from the attribute of old versions or the operand of new ones; None where there are none."""
    if node.has(position):
        return node.known_ints(position, "axes")
    return node.ints("axes")


@rule("Squeeze")
def squeeze(node: Node) -> Value:
    shape, axes = node.x.shape, listed_axes(node, 1)
    if axes is None:
        return reshaped(node.x, [d for d in shape if d != 1])
    gone = normal_axes(axes, len(shape)) if axes else ()
    if any(shape[a] != 1 for a in gone):
        raise ModelError(f"axes {list(axes)} of shape {list(shape)} are not all 1")
    return reshaped(node.x, [d for i, d in enumerate(shape) if i not in gone])


@rule("Unsqueeze")
def unsqueeze(node: Node) -> Value:
    axes = listed_axes(node, 1)
    if axes is None:
        raise ModelError("axes are missing")
    rank = node.x.rank + len(axes)
    new = normal_axes(axes, rank) if axes else ()
    rest = iter(node.x.shape)
    return reshaped(node.x, [1 if i in new else next(rest) for i in range(rank)])


@rule("Expand")
def expand(node: Node) -> Value:
    wanted = node.known_ints(1, "shape")
    if min(map(lower, wanted), default=0) < 0:
        raise ModelError(f"shape {list(wanted)} is negative")
    return expanded(node.x, broadcast(node.x.shape, wanted))


def expanded(x: Value, shape: Sequence[int]) -> Value:
    """x broadcast to a shape; itself where it has that shape."""
    return x if x.shape == tuple(shape) else Expand(x, tuple(shape)).result


@rule("Tile")
def tile(node: Node) -> Value:
    """Repetition as a broadcast of new dimensions."""
    x, repeats = node.x, node.known_ints(1, "repeats")
    if len(repeats) != x.rank or min(map(lower, repeats), default=0) < 0:
        raise ModelError(f"repeats {list(repeats)} do not fit a tensor of rank {x.rank}")
    spread = [n for d in x.shape for n in (1, d)]
    wide = [n for r, d in zip(repeats, x.shape, strict=True) for n in (r, d)]
    repeated = expanded(reshaped(x, spread), wide) if any(r != 1 for r in repeats) else x
    return reshaped(repeated, [r * d for r, d in zip(repeats, x.shape, strict=True)])


@rule("Concat")
def concat(node: Node) -> Value:
    if len(node.inputs) == 1:
        return node.x
    return Concat(tuple(node.given), node.integer("axis")).result


@rule("Split")
def split(node: Node) -> tuple[Value, ...]:
    """Sizes are an attribute before version 13, an operand from then on; without them the parts are equal."""
    x = node.x
    axis = normal_axis(node.integer("axis", 0), x.rank)
    sizes = node.known_ints(1, "sizes") if node.has(1) else node.ints("split")
    sizes = sizes or _even(x.shape[axis], node.integer("num_outputs", len(node.outputs)), node.version)
    if sum(sizes) != x.shape[axis] or min(map(lower, sizes)) < 0 or len(sizes) < len(node.outputs):
        raise ModelError(f"sizes {list(sizes)} do not split a dimension of {x.shape[axis]} in {len(node.outputs)}")
    starts = itertools.accumulate(sizes, initial=0)
    return tuple(part(x, axis, start, size) for start, size in zip(starts, sizes, strict=False))


def _even(extent: int, count: int, version: int) -> tuple[int, ...]:
    """Equal parts; from version 18 on the last may be smaller."""
    if count < 1 or (extent % count and version < 18):
        raise ModelError(f"a dimension of {extent} does not split into {count} equal parts")
    size = -(-extent // count)
    return tuple(max(0, min(size, extent - i * size)) for i in range(count))


def part(x: Value, axis: int, start: int, size: int, step: int = 1) -> Value:
    """Some elements along one axis."""
    if (start, size, step) == (0, x.shape[axis], 1):
        return x
    pick = [(start, size, step) if a == axis else (0, d, 1) for a, d in enumerate(x.shape)]
    starts, sizes, steps = zip(*pick, strict=True)
    return Slice(x, starts, sizes, steps).result


@rule("Slice")
def slice_(node: Node) -> Value:
    """Bounds are attributes before version 10, operands from then on; they are clamped as in Python."""
    x = node.x
    if node.version < 10:
        starts, ends, axes, steps = node.ints("starts") or (), node.ints("ends") or (), node.ints("axes"), None
    else:
        if any(node.has(i) and known_sizes(node.input(i)) is None for i in (3, 4)):
            return onnx_places.sliced(node)
        if any(known_sizes(node.input(i)) is None for i in (1, 2)):
            return _found_slice(node)
        starts, ends = node.known_ints(1, "starts"), node.known_ints(2, "ends")
        axes, steps = (node.known_ints(i, "axes and steps") if node.has(i) else None for i in (3, 4))
    axes = tuple(range(len(starts))) if axes is None else axes
    axes = tuple(normal_axis(a, x.rank) for a in axes)
    steps = (1,) * len(starts) if steps is None else steps
    if len({len(starts), len(ends), len(axes), len(steps)}) > 1 or 0 in steps or len(set(axes)) < len(axes):
        raise ModelError(f"starts {list(starts)}, ends {list(ends)}, axes {list(axes)}, steps {list(steps)} do not fit")
    picks = [(0, d, 1) for d in x.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        picks[axis] = _picked(start, end, step, x.shape[axis])
    if picks == [(0, d, 1) for d in x.shape]:
        return x
    first, sizes, strides = zip(*picks, strict=True)
    return Slice(x, first, sizes, strides).result


def _found_slice(node: Node) -> Value:
    """A slice whose bounds the run computes: where it starts and how much it holds are sizes that it finds."""
    x, starts, ends = node.x, node.input(1), node.input(2)
    axes, steps = (node.known_ints(i, "axes and steps") if node.has(i) else None for i in (3, 4))
    if starts.rank != 1 or is_open(starts.shape[0]) or starts.shape != ends.shape:
        raise ModelError(f"starts {starts.type} and ends {ends.type} do not fit")
    count = starts.shape[0]
    axes = tuple(range(count)) if axes is None else tuple(normal_axis(a, x.rank) for a in axes)
    if steps is not None and any(step != 1 for step in steps):
        raise NotCovered("steps other than 1 with bounds that are not known at compile time", "steps of 1")
    if len(axes) != count or len(set(axes)) < count:
        raise ModelError(f"axes {list(axes)} do not fit {count} starts")
    first, extents = [0] * x.rank, list(x.shape)
    for i, axis in enumerate(axes):
        start, end = (_clamped(_element(v, i), x.shape[axis]) for v in (starts, ends))
        length = Max(Sub(end, start).result, like(start, 0)).result
        first[axis] = found_size(node, start, f"start{axis}", x.shape[axis])
        extents[axis] = found_size(node, length, f"size{axis}", x.shape[axis])
    return Slice(x, tuple(first), tuple(extents)).result


def _element(values: Value, i: int) -> Value:
    return cast_to(Gather(values, constant(np.array(i)), 0).result, i64)


def cast_to(x: Value, dtype: DType) -> Value:
    """x in an element type; itself where it has that."""
    return x if x.dtype == dtype else Cast(x, dtype).result


def _clamped(place: Value, extent: int) -> Value:
    """A place in a dimension, counted from its end where it is negative, cut to 0 .. extent."""
    end = sizes(extent)
    counted = Where(Less(place, like(place, 0)).result, Add(place, end).result, place).result
    return Max(Min(counted, end).result, like(place, 0)).result


def found_size(node: Node, number: Value, what: str, most: int) -> int:
    """A number of the run as an open size, between 0 and the largest `most`."""
    size = symbol(Symbol(identifier(f"{node.outputs[0]}_{what}"), 0, upper(most)))
    node.expects(number, size)
    return size


def _picked(start: int, end: int, step: int, extent: int) -> tuple[int, int, int]:
    """Start, size and step of what a Python slice picks from a dimension."""
    if any(map(is_open, (start, end, extent))):
        return _picked_open(start, end, step, extent)
    chosen = range(*slice(start, end, step).indices(extent))
    return (chosen.start, len(chosen), step) if len(chosen) else (0, 0, 1)


def _picked_open(start: int, end: int, step: int, extent: int) -> tuple[int, int, int]:
    first, last = (0, extent) if step > 0 else (-1, extent - 1)
    start, end = (greatest(first, least(last, n if n >= 0 else n + extent)) for n in (start, end))
    size = -((start - end) // step) if step > 0 else -((end - start) // -step)
    return start, greatest(0, size), step


@rule("Pad")
def pad(node: Node) -> Value:
    """A border of one value, or of reflected, repeated or wrapped elements; negative pads cut off."""
    x, rank, mode = node.x, node.x.rank, node.text("mode")
    if any(node.has(i) and known_sizes(node.input(i)) is None for i in (1, 2, 3)):
        return onnx_places.padded(node)
    pads = node.ints("pads") if node.version < 11 else node.known_ints(1, "pads")
    axes = node.known_ints(3, "axes") if node.has(3) else tuple(range(rank))
    axes = tuple(normal_axis(a, rank) for a in axes)
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) < len(axes):
        raise ModelError(f"pads {list(pads or ())} do not fit axes {list(axes)}")
    begins, ends = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[i], pads[len(axes) + i]
    if mode == "constant":
        return padded(_cut(x, begins, ends), begins, ends, _pad_value(node))
    for axis in range(rank):
        x = _bordered(x, axis, begins[axis], ends[axis], mode)
    return x


def _pad_value(node: Node) -> float:
    if node.version < 11:
        return node.number("value")
    return node.known_number(2, "constant_value") if node.has(2) else 0.0


def padded(x: Value, begins: Sequence[int], ends: Sequence[int], value: float = 0.0) -> Value:
    """x with a border of one value; negative widths count as none."""
    pads = tuple(max(0, p) for p in (*begins, *ends))
    return Pad(x, pads, value).result if any(pads) else x


def _cut(x: Value, begins: Sequence[int], ends: Sequence[int]) -> Value:
    """x without what negative pads take away."""
    starts = [max(0, -b) for b in begins]
    sizes = [d - s - max(0, -e) for d, s, e in zip(x.shape, starts, ends, strict=True)]
    if min(map(lower, sizes), default=0) < 0:
        raise ModelError(f"pads leave nothing of shape {list(x.shape)}")
    return x if tuple(sizes) == x.shape else Slice(x, tuple(starts), tuple(sizes)).result


_NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _bordered(x: Value, axis: int, begin: int, end: int, mode: str) -> Value:
    """A border along one axis made of elements of x."""
    if not begin and not end:
        return x
    if mode not in _NUMPY_MODES:
        raise ModelError(f"there is no mode '{mode}'")
    extent = x.shape[axis]
    if not extent:
        raise ModelError("an empty dimension cannot be padded from itself")
    if max(begin, end) > 1 << 24:
        raise NotCovered(f"pads of {max(begin, end)}")
    if is_open(extent):
        return _bordered_open(x, axis, begin, end, mode)
    places = np.pad(np.arange(extent), (max(0, begin), max(0, end)), mode=mode)  # type: ignore[call-overload]
    places = places[max(0, -begin) : len(places) - max(0, -end)]
    return Gather(x, constant(places, None), axis).result


def _bordered_open(x: Value, axis: int, begin: int, end: int, mode: str) -> Value:
    """The same along an open dimension, which is longer than its border."""
    extent, away = x.shape[axis], int(mode == "reflect")
    if mode == "wrap" or min(begin, end) < 0 or lower(extent) < max(begin, end) + away:
        hint = "fix the size, or raise its lower bound"
        raise Undecided(f"a border of {max(begin, end)} for {described(extent)} elements, mode {mode}", hint=hint)
    if mode == "edge":
        parts = [*[_run(x, axis, 0, 1, 1)] * begin, x, *[_run(x, axis, extent - 1, 1, 1)] * end]
    else:
        parts = [_run(x, axis, begin, begin, -1)] * (begin > 0) + [x]
        parts += [_run(x, axis, extent - 2, end, -1)] * (end > 0)
    return Concat(tuple(parts), axis).result


def _run(x: Value, axis: int, start: int, size: int, step: int) -> Value:
    """So many elements along an axis."""
    starts, sizes, steps = [0] * x.rank, list(x.shape), [1] * x.rank
    starts[axis], sizes[axis], steps[axis] = start, size, step
    return Slice(x, tuple(starts), tuple(sizes), tuple(steps)).result


@rule("DepthToSpace")
def depth_to_space(node: Node) -> Value:
    """Channels to blocks of space, depth first (DCR) or column first (CRD)."""
    b, (n, c, h, w) = node.integer("blocksize"), _images(node)
    if c % (b * b):
        raise ModelError(f"{c} channels do not divide into blocks of {b} by {b}")
    if node.text("mode", "DCR") == "DCR":
        rows = transposed(reshaped(node.x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        rows = transposed(reshaped(node.x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return reshaped(rows, (n, c // (b * b), h * b, w * b))


@rule("SpaceToDepth")
def space_to_depth(node: Node) -> Value:
    b, (n, c, h, w) = node.integer("blocksize"), _images(node)
    if h % b or w % b:
        raise ModelError(f"{h} by {w} does not divide into blocks of {b} by {b}")
    order = (0, 3, 5, 1, 2, 4) if node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    blocks = transposed(reshaped(node.x, (n, c, h // b, b, w // b, b)), order)
    return reshaped(blocks, (n, c * b * b, h // b, w // b))


def _images(node: Node) -> tuple[int, ...]:
    if node.x.rank != 4 or node.integer("blocksize") < 1:
        raise ModelError(
            f"needs a rank of 4 and a positive blocksize, has {node.x.type} and {node.integer('blocksize')}"
        )
    return node.x.shape


@rule("Shape")
def shape(node: Node) -> Value:
    """From `start` to `end`; known at compile time but for open sizes."""
    found = node.x.shape[node.integer("start", 0) : node.attributes.get("end")]
    return sizes(found)


@rule("Size")
def size(node: Node) -> Value:
    return sizes(node.x.type.size)

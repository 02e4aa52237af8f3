"""Rules: reading between pixels at places that are computed, and what is made of columns and grids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import padded, part, reshaped, transposed
from .onnx_tensors import check_dims
from .ops import (
    Add,
    DeformColumns,
    Equal,
    GridSample,
    Interleave,
    MatMul,
    MaxRoiPool,
    Reduce,
    RoiAlign,
    Where,
    array_of,
    constant,
)
from .types import f32, i64, normal_axis
from .value import Value

MAX_TAPS = 1024


@rule("GridSample")
def grid_sample(node: Node) -> Value:
    """The modes are called bilinear and bicubic before version 20."""
    mode = node.text("mode").removeprefix("bi")
    padding = node.text("padding_mode")
    return GridSample(node.x, cast(node.input(1), f32), mode, padding, node.flag("align_corners")).result


@rule("RoiAlign")
def roi_align(node: Node) -> Value:
    """Before version 16 places count from the centers of pixels."""
    half_pixel = node.version >= 16 and node.text("coordinate_transformation_mode") == "half_pixel"
    size = (node.integer("output_height"), node.integer("output_width"))
    rois, batch = cast(node.input(1), node.x.dtype), cast(node.input(2), i64)
    scale, samples = node.number("spatial_scale"), node.integer("sampling_ratio")
    return RoiAlign(node.x, rois, batch, size, scale, max(samples, 0), node.text("mode"), half_pixel).result


@rule("MaxRoiPool")
def max_roi_pool(node: Node) -> Value:
    size = node.ints("pooled_shape") or ()
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"pooled_shape is {list(size)}")
    return MaxRoiPool(node.x, node.input(1), (size[0], size[1]), node.number("spatial_scale")).result


@rule("DeformConv")
def deform_conv(node: Node) -> Value:
    """What the window reads, as columns, times the weights."""
    x, w, offset, groups = node.x, node.input(1), node.input(2), node.integer("group")
    if x.rank != 4 or w.rank != 4:
        raise NotCovered(f"an input of rank {x.rank}", "images of two dimensions")
    kernel, strides = node.ints("kernel_shape") or w.shape[2:], node.ints("strides") or (1, 1)
    pads, dilations = node.ints("pads") or (0, 0, 0, 0), node.ints("dilations") or (1, 1)
    if tuple(kernel) != w.shape[2:] or (len(strides), len(dilations), len(pads)) != (2, 2, 4) or min(strides) < 1:
        raise ModelError(f"kernel {list(kernel)}, strides, dilations and pads do not fit a weight {w.type}")
    if groups < 1 or w.shape[0] % groups or x.shape[1] != w.shape[1] * groups or min(pads + dilations) < 0:
        raise ModelError(f"a weight {w.type} in {groups} groups does not fit {x.type}")
    window = (kernel, strides, pads, dilations, node.integer("offset_group"))
    columns = DeformColumns(x, offset, node.optional(4), *window).result
    batch, depth, size = x.shape[0], math.prod(w.shape[1:]), columns.shape[-1]
    weights = reshaped(w, (groups, w.shape[0] // groups, depth))
    found = MatMul(weights, reshaped(columns, (batch, groups, depth, size))).result
    found = reshaped(found, (batch, w.shape[0], *offset.shape[2:]))
    bias = node.optional(3)
    return found if bias is None else Add(found, reshaped(bias, (w.shape[0], 1, 1))).result


@rule("AffineGrid")
def affine_grid(node: Node) -> Value:
    """The places of all pixels, from -1 to 1, through an affine map for each image."""
    theta, size = node.x, node.input(1)
    known = array_of(size) is not None
    space = node.known_ints(1, "size")[2:] if known else node.declared_shape(0, "size")[1:-1]
    if theta.rank != 3 or theta.shape[1:] != (len(space), len(space) + 1) or min(space, default=0) < 1:
        raise ModelError(f"maps {theta.type} do not fit a size of {list(space)}")
    check_dims((*space, len(space) + 1), "its grid")
    axes = [_centers(extent, node.flag("align_corners")) for extent in space]
    points = [np.broadcast_to(a, space).reshape(-1) for a in reversed(np.meshgrid(*axes, indexing="ij"))]
    grid = constant(np.stack([*points, np.ones(math.prod(space))]), theta.dtype)
    moved = transposed(MatMul(theta, grid).result, (0, 2, 1))
    return reshaped(moved, (theta.shape[0], *space, len(space)))


def _centers(extent: int, aligned: bool) -> np.ndarray:
    """Normalized places of the elements of an axis."""
    if aligned:
        return np.linspace(-1, 1, extent) if extent > 1 else np.full(1, -1.0)
    return (2 * np.arange(extent) + 1) / extent - 1


@rule("CenterCropPad")
def center_crop_pad(node: Node) -> Value:
    """The middle of x, or x in the middle of zeros."""
    x, axes = node.x, node.ints("axes")
    axes = tuple(range(x.rank)) if axes is None else tuple(normal_axis(a, x.rank) for a in axes)
    known = array_of(node.input(1)) is not None
    declared = () if known else node.declared_shape(0, "shape")
    sizes = node.known_ints(1, "shape") if known else tuple(declared[a] for a in axes)
    if len(sizes) != len(axes) or min(sizes, default=0) < 0:
        raise ModelError(f"sizes {list(sizes)} do not fit axes {list(axes)}")
    begins, ends = [0] * x.rank, [0] * x.rank
    for axis, size in zip(axes, sizes, strict=True):
        extent = x.shape[axis]
        if size < extent:
            x = part(x, axis, (extent - size) // 2, size)
        else:
            begins[axis] = (size - extent) // 2
            ends[axis] = size - extent - begins[axis]
    return padded(x, begins, ends)


@rule("Col2Im")
def col2im(node: Node) -> Value:
    """Columns added up where they came from: for each tap of the window its elements, laid out in steps."""
    x = node.x
    known = array_of(node.input(1)) is not None
    image = node.known_ints(1, "image shape") if known else node.declared_shape(0, "image shape")[2:]
    dims = len(image)
    strides, dilations = node.ints("strides") or (1,) * dims, node.ints("dilations") or (1,) * dims
    pads = node.ints("pads") or (0,) * (2 * dims)
    if x.rank != 3 or (len(strides), len(dilations), len(pads)) != (dims, dims, 2 * dims) or not dims:
        raise ModelError(f"columns {x.type} and a window do not fit an image of {list(image)}")
    if array_of(node.input(2)) is not None:
        return _folded(x, image, node.known_ints(2, "block shape"), strides, dilations, pads)
    taps = x.shape[1] // max(1, node.declared_shape(0, "block shape")[1])
    kernels = [k for k in _factors(taps, dims) if math.prod(_blocks(image, k, strides, dilations, pads)) == x.shape[2]]
    if not kernels:
        raise ModelError(f"no window of {taps} elements makes columns {x.type} of an image of {list(image)}")
    found = _folded(x, image, kernels[0], strides, dilations, pads)
    for kernel in kernels[1:]:
        chosen = Equal(cast(node.input(2), i64), constant(np.array(kernel))).result
        every = Reduce(cast(chosen, i64), "min", (0,), False).result
        other = _folded(x, image, kernel, strides, dilations, pads)
        found = Where(Equal(every, constant(np.array(1))).result, other, found).result
    return found


def _factors(number: int, count: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a number as a product of `count` factors."""
    if count == 1:
        yield (number,)
        return
    for first in (f for f in range(1, number + 1) if number % f == 0):
        yield from ((first, *rest) for rest in _factors(number // first, count - 1))


def _blocks(
    image: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]
) -> tuple[int, ...]:
    """How many windows fit along each dimension."""
    n = len(image)
    rows = zip(image, pads[:n], pads[n:], kernel, dilations, strides, strict=True)
    return tuple(max(0, (d + a + b - t * (k - 1) - 1) // s + 1) for d, a, b, k, t, s in rows)


def _folded(
    x: Value, image: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int],
    pads: Sequence[int],
) -> Value:  # fmt: skip
    n, taps = len(image), math.prod(kernel)
    blocks = _blocks(image, kernel, strides, dilations, pads)
    if len(kernel) != n or taps < 1 or x.shape[1] % taps or math.prod(blocks) != x.shape[2] or min(strides) < 1:
        raise ModelError(f"columns {x.type} do not fit an image of {list(image)} and a window of {list(kernel)}")
    if taps > MAX_TAPS:
        raise NotCovered(f"a window of {taps} elements", f"at most {MAX_TAPS}")
    channels = x.shape[1] // taps
    wide = tuple(d + a + b for d, a, b in zip(image, pads[:n], pads[n:], strict=True))
    shape, steps = (x.shape[0], channels, *wide), (1, 1, *strides)
    parts = reshaped(x, (x.shape[0], channels, taps, *blocks))
    total: Value | None = None
    for i, tap in enumerate(itertools.product(*map(range, kernel))):
        piece = reshaped(part(parts, 2, i, 1), (x.shape[0], channels, *blocks))
        starts = (0, 0, *(t * d for t, d in zip(tap, dilations, strict=True)))
        laid = Interleave((piece,), shape, (starts,), steps).result
        total = laid if total is None else Add(total, laid).result
    assert total is not None
    for axis, (begin, extent) in enumerate(zip(pads[:n], image, strict=True)):
        total = part(total, 2 + axis, begin, extent)
    return total

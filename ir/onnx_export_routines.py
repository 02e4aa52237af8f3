"""Export rules: writing, choosing and sampling at places that are computed."""

from __future__ import annotations

import numpy as np

from .onnx_export_rules import rule
from .onnx_export_writer import Tensor, Writer
from .ops import (
    Cumulative,
    GridSample,
    LookUp,
    MaxPlaces,
    MaxRoiPool,
    NGrams,
    RoiAlign,
    ScatterElements,
    ScatterRows,
    TopK,
    TreeEnsemble,
    array_of,
)
from .ops.tree import MISSING_HOLDS, MODES
from .types import boolean, f32, i32


@rule
def scatter_elements(op: ScatterElements, writer: Writer) -> Tensor:
    return writer.emit("ScatterElements", *map(writer.of, op.operands), axis=op.axis, reduction=op.reduction)


@rule
def scatter_rows(op: ScatterRows, writer: Writer) -> Tensor:
    return writer.emit("ScatterND", *map(writer.of, op.operands), reduction=op.reduction)


@rule
def cumulative(op: Cumulative, writer: Writer) -> Tensor:
    """Products in full: the version of ONNX that is written has running totals alone."""
    x, axis = writer.of(op.x), writer.weights(np.asarray(op.axis, np.int64))
    if op.kind == "sum":
        return writer.emit("CumSum", x, axis, exclusive=int(op.exclusive), reverse=int(op.reverse))
    extent, rank = op.x.shape[op.axis], op.x.rank
    counts = np.tril(np.ones((extent, extent), bool), -1 if op.exclusive else 0)
    counts = counts.T if op.reverse else counts
    shape = (*op.x.shape[: op.axis], 1, *op.x.shape[op.axis :])
    mask = counts.reshape(*[1] * op.axis, extent, extent, *[1] * (rank - 1 - op.axis))
    one = writer.weights(np.asarray(1, op.x.dtype.numpy))
    wide = writer.emit("Where", writer.weights(mask), writer.reshape(x, shape), one)
    return writer.emit("ReduceProd", wide, writer.integers([op.axis + 1]), keepdims=0)


@rule
def top_k(op: TopK, writer: Writer) -> tuple[Tensor, ...]:
    k = writer.integers([op.k])
    return writer.emit_many("TopK", 2, writer.of(op.x), k, axis=op.axis, largest=int(op.largest), sorted=1)


@rule
def max_places(op: MaxPlaces, writer: Writer) -> Tensor:
    window = {name: list(getattr(op, name)) for name in ("kernel_shape", "strides", "pads", "dilations")}
    order = int(op.column_major)
    return writer.emit_many("MaxPool", 2, writer.of(op.x), **window, storage_order=order)[1]


@rule
def grid_sample(op: GridSample, writer: Writer) -> Tensor:
    attributes = {"mode": op.mode, "padding_mode": op.padding, "align_corners": int(op.aligned)}
    return writer.emit("GridSample", writer.of(op.x), writer.of(op.grid), **attributes)


@rule
def roi_align(op: RoiAlign, writer: Writer) -> Tensor:
    height, width = op.size
    coordinates = "half_pixel" if op.half_pixel else "output_half_pixel"
    return writer.emit(
        "RoiAlign", *map(writer.of, op.operands), output_height=height, output_width=width, mode=op.kind,
        sampling_ratio=op.samples_a_side, spatial_scale=op.scale, coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@rule
def max_roi_pool(op: MaxRoiPool, writer: Writer) -> Tensor:
    size = list(op.size)
    return writer.emit("MaxRoiPool", writer.of(op.x), writer.of(op.rois), pooled_shape=size, spatial_scale=op.scale)


@rule
def look_up(op: LookUp, writer: Writer) -> Tensor:
    """Every element beside every key."""
    x, keys = writer.reshape(writer.of(op.x), (*op.x.shape, 1)), writer.of(op.keys)
    same = writer.emit("Equal", x, keys)
    if op.keys.dtype.is_float:
        missing = (writer.emit("IsNaN", t) for t in (x, keys))
        same = writer.emit("Or", same, writer.emit("And", *missing))
    counted = writer.cast(same, i32)
    place = writer.emit("ArgMax", counted, axis=-1, keepdims=0)
    found = writer.cast(writer.emit("ReduceMax", counted, writer.integers([-1]), keepdims=0), boolean)
    return writer.emit("Where", found, writer.emit("Gather", writer.of(op.values), place), writer.of(op.default))


COLUMNS = (
    "treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "values", "modes", "missing_value_tracks_true",
)  # fmt: skip
"""What ONNX says of each node of a tree."""


@rule
def tree_ensemble(op: TreeEnsemble, writer: Writer) -> Tensor | None:
    """Every tree with all nodes and leaves that it reaches, numbered from its first."""
    arrays = [array_of(v) for v in op.operands[1:]]
    if op.x.dtype != f32 or any(v.dtype != f32 for v in (op.thresholds, op.weights)):
        return None
    nodes, thresholds, roots, leaves, targets, weights, *rest = (a for a in arrays if a is not None)
    modes = rest[0] if rest else np.full(len(nodes), op.mode)
    rows: list[tuple[int, int, int, int, int, float, str, int]] = []
    ends: list[tuple[int, int, int, float]] = []
    for tree, root in enumerate(roots):
        numbers = _numbered(nodes, int(root))
        for place, number in numbers.items():
            if place < 0:
                span = range(leaves[-1 - place], leaves[-place])
                ends += [(tree, number, int(targets[w]), float(weights[w])) for w in span]
                rows.append((tree, number, 0, 0, 0, 0.0, "LEAF", 0))
                continue
            column, true, false = (int(n) for n in nodes[place])
            missing, mode = divmod(int(modes[place]), MISSING_HOLDS)
            kind = f"BRANCH_{MODES[mode].upper()}"
            ways = numbers[true], numbers[false]
            rows.append((tree, number, column, *ways, float(thresholds[place]), kind, missing))
    attributes = {f"nodes_{n}": list(c) for n, c in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
    entries = zip(("treeids", "nodeids", "ids", "weights"), zip(*ends, strict=True), strict=True)
    attributes |= {f"target_{n}": list(c) for n, c in entries}
    kind = {"add": "SUM", "max": "MAX", "min": "MIN"}[op.reduction]
    trees = "ai.onnx.ml::TreeEnsembleRegressor"
    return writer.emit(trees, writer.of(op.x), n_targets=op.outputs, aggregate_function=kind, **attributes)


def _numbered(nodes: np.ndarray, root: int) -> dict[int, int]:
    """The nodes and leaves of a tree, each with a number; the first comes first."""
    found: dict[int, int] = {}
    stack = [root]
    while stack:
        place = stack.pop()
        if place not in found:
            found[place] = len(found)
            stack += [int(n) for n in nodes[place, :0:-1]] if place >= 0 else []
    return found


@rule
def n_grams(op: NGrams, writer: Writer) -> Tensor | None:
    """ONNX takes the pool as attributes."""
    pool, columns = array_of(op.pool), array_of(op.columns)
    if pool is None or columns is None or columns.max(initial=-1) + 1 != op.size:
        return None
    return writer.emit(
        "TfIdfVectorizer", writer.of(op.x), mode="TF", pool_int64s=pool.tolist(), ngram_indexes=columns.tolist(),
        ngram_counts=list(op.starts), min_gram_length=op.shortest, max_gram_length=op.longest, max_skip_count=op.skips,
    )  # fmt: skip

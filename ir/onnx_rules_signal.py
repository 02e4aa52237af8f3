"""Rules: Fourier transforms, and n-grams counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, needs_float, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import reshaped
from .ops import Add, Equal, Fourier, Gather, Less, Min, Mul, NGrams, TextFind, Where, array_of, constant, like
from .ops.fourier import MAX_MATRIX
from .strings import stored
from .types import f32, i64, normal_axis
from .value import Value

Shape = tuple[int, ...]


def _transformed(x: Value, axis: int, length: int, backwards: bool, onesided: bool) -> Value:
    """The transform along an axis of x [..., parts]."""
    op = Fourier(x, axis, length, backwards, onesided)
    if not op.in_passes and op.matrix_size > MAX_MATRIX:
        nearest = f"lengths of factors 2, 3, 5 and 7, or matrices of {MAX_MATRIX} elements"
        raise NotCovered(f"a transform of {length} elements", nearest)
    return op.result


def _chosen(number: Value, candidates: Iterable[int], make: Callable[[int], Value], shape: Shape | None) -> Value:
    """What is made of a number: of the only one that makes the shape, or all of which one is chosen at run time."""
    found: dict[int, Value] = {}
    for candidate in candidates:
        try:
            made = make(candidate)
        except ModelError:
            continue
        if shape is None or made.shape == shape:
            found[candidate] = made
    if not found or len({v.type for v in found.values()}) > 1:
        raise NotCovered("its axis or length is not known at compile time", "a constant, or a result of declared size")
    (_, result), *others = found.items()
    flat = reshaped(cast(number, i64), ())
    for candidate, made in others:
        result = Where(Equal(flat, constant(np.array(candidate))).result, made, result).result
    return result


@rule("DFT")
def dft(node: Node) -> Value:
    """The axis is an attribute before version 20, an operand from then on."""
    x = node.x
    needs_float(x)
    declared = node.declared[0].shape if node.declared and node.declared[0] else None
    if node.version < 20 or not node.has(2):
        return _along(node, normal_axis(node.integer("axis", 1) if node.version < 20 else -2, x.rank), declared)
    if array_of(node.input(2)) is not None:
        return _along(node, normal_axis(node.known_int(2, "axis"), x.rank), declared)
    axis = reshaped(cast(node.input(2), i64), ())
    counted = Where(Less(axis, like(axis, 0)).result, Add(axis, like(axis, x.rank)).result, axis).result
    return _chosen(counted, range(x.rank - 1), lambda a: _along(node, a, declared), declared)


def _along(node: Node, axis: int, declared: Shape | None) -> Value:
    x, backwards, onesided = node.x, node.flag("inverse"), node.flag("onesided")
    make: Callable[[int], Value] = lambda n: _transformed(x, axis, n, backwards, onesided)  # noqa: E731
    if not node.has(1):
        extent = x.shape[axis]
        return make(2 * (extent - 1) if backwards and onesided else extent)
    if array_of(node.input(1)) is not None:
        return make(node.known_int(1, "length"))
    return _chosen(node.input(1), _lengths(declared, axis, onesided and not backwards), make, declared)


def _lengths(declared: Shape | None, axis: int, onesided: bool) -> list[int]:
    """How long a transform may be whose result has a declared shape."""
    if declared is None:
        return []
    extent = declared[axis]
    return [n for n in (2 * extent - 2, 2 * extent - 1) if n > 0] if onesided else [extent]


@rule("STFT")
def stft(node: Node) -> Value:
    """Frames gathered from the signal, weighed by a window, each through a Fourier transform."""
    x = node.x
    needs_float(x)
    if x.rank != 3 or x.shape[2] not in (1, 2):
        raise ModelError(f"a signal {x.type}", hint="[batch, length, 1 or 2]")
    window, declared = node.optional(2), node.declared[0].shape if node.declared and node.declared[0] else None
    if node.has(3) and array_of(node.input(3)) is None and window is None:
        lengths = _lengths(declared, 2, node.flag("onesided", 1))
        return _chosen(node.input(3), lengths, lambda n: _framed(node, n, None), declared)
    length = window.shape[0] if window is not None else node.known_int(3, "frame length") if node.has(3) else x.shape[1]
    return _framed(node, length, window)


def _framed(node: Node, length: int, window: Value | None) -> Value:
    x, step = node.x, reshaped(cast(node.input(1), i64), ())
    known = array_of(step)
    if known is None:
        frames = node.declared_shape(0, "frame step")[1]
    else:
        frames = 1 + (x.shape[1] - length) // max(1, int(known))
    if frames < 1 or not 0 < length <= x.shape[1] or (window is not None and window.shape != (length,)):
        raise ModelError(f"frames of {length} do not fit a signal {x.type}")
    starts = Mul(constant(np.arange(frames)[:, None]), step).result
    places = Add(starts, constant(np.arange(length))).result
    places = Min(places, like(places, x.shape[1] - 1)).result if known is None else places
    rows = Gather(x, places, 1).result
    if window is not None:
        rows = Mul(rows, reshaped(cast(window, x.dtype), (length, 1))).result
    return _transformed(rows, 2, length, False, node.flag("onesided", 1))


@rule("TfIdfVectorizer")
def tf_idf_vectorizer(node: Node) -> Value:
    """How often each n-gram of numbers occurs in a row, weighed."""
    pool, starts = node.ints("pool_int64s"), node.ints("ngram_counts") or ()
    if pool:
        x = cast(node.x, i64)
    else:
        words = stored(np.array(node.attributes.get("pool_strings") or (), object), node.strings)
        keys, numbered = np.unique(words, return_inverse=True)
        x, pool = TextFind(node.x, constant(keys)).result, tuple(map(int, numbered.reshape(-1)))
    columns = np.asarray(node.ints("ngram_indexes") or (), np.int64)
    rows = reshaped(x, (1, x.type.size)) if x.rank == 1 else x
    size = int(columns.max(initial=-1)) + 1
    numbers = (node.integer(name) for name in ("min_gram_length", "max_gram_length", "max_skip_count"))
    found = NGrams(rows, constant(np.array(pool)), constant(columns), size, starts, *numbers).result
    weights, mode = np.asarray(node.attributes.get("weights") or (), np.float32), node.text("mode")
    if weights.size not in (0, size) or mode not in ("TF", "IDF", "TFIDF"):
        raise ModelError(f"{weights.size} weights for {size} n-grams, mode '{mode}'")
    if mode == "IDF":
        found = cast(Less(like(found, 0), found).result, f32)
    if mode != "TF" and weights.size:
        found = Mul(found, constant(weights)).result
    return reshaped(found, (size,)) if x.rank == 1 else found

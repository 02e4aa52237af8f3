"""Rules: rotary positions, and heads of queries that share heads of keys (domain com.microsoft)."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, rule
from .onnx_rules_heads import Cache, attended, counted, heads_of, hidden, merged, refuse, total_of, unseen, written
from .onnx_rules_math import cast
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_shape import expanded, padded, part, reshaped
from .ops import Add, And, Concat, Equal, Gather, Less, LessEqual, Max, Mul, Sub, Where, array_of, constant
from .types import broadcast, i64
from .value import Value

# --- rotary positions -------------------------------------------------------------------------------------------------


def _rotated(x: Value, positions: Value, cos: Value, sin: Value, interleaved: bool) -> Value:
    """Pairs of elements of x [batch, heads, length, size] turned by angles, by position [batch or 1, length]."""
    half = cos.shape[1]
    angles = []
    for table in (cos, sin):
        rows = Gather(table, positions, 0).result
        angles.append(reshaped(rows, (rows.shape[0], 1, *rows.shape[1:])))
    turned, rest = part(x, 3, 0, 2 * half), x.shape[3] - 2 * half
    if rest < 0:
        raise ModelError(f"angles {cos.type} do not fit heads {x.type}")
    first, second = (part(turned, 3, i, half, 2) if interleaved else part(turned, 3, i * half, half) for i in (0, 1))
    left = Sub(Mul(first, angles[0]).result, Mul(second, angles[1]).result).result
    right = Add(Mul(first, angles[1]).result, Mul(second, angles[0]).result).result
    if interleaved:
        pairs = tuple(reshaped(v, (*v.shape, 1)) for v in (left, right))
        joined = [reshaped(Concat(pairs, 4).result, turned.shape)]
    else:
        joined = [left, right]
    return Concat((*joined, *([part(x, 3, 2 * half, rest)] if rest else [])), 3).result


@rule("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(node: Node) -> Value:
    """Positions [batch, length], or [1] where the first of them stands."""
    x, positions, cos, sin = node.x, cast(node.input(1), i64), node.input(2), node.input(3)
    heads = node.integer("num_heads", 0) or (x.shape[2] // (2 * cos.shape[1]) if x.rank == 3 else x.shape[1])
    rows = x if x.rank == 4 else heads_of(x, heads)
    if positions.rank == 1:
        positions = reshaped(Add(positions, constant(np.arange(rows.shape[2]))).result, (1, rows.shape[2]))
    found = _rotated(rows, positions, cos, sin, node.flag("interleaved", 0))
    return found if x.rank == 4 else merged(found)


# --- grouped queries --------------------------------------------------------------------------------------------------


@rule("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(node: Node) -> tuple[Value | None, ...]:
    """Several heads of queries read one of keys; what is new stands in the cache behind `seqlens_k`."""
    refuse(node, key_scale=12, value_scale=13)
    heads, groups = node.integer("num_heads"), node.integer("kv_num_heads")
    if groups < 1 or heads % groups:
        raise ModelError(f"{heads} heads of queries in {groups} groups")
    q, k, v = _grouped(node, heads, groups)
    positions = _positions(node, q)
    if node.flag("do_rotary", 0):
        angles, interleaved = _places(node, positions), node.flag("rotary_interleaved", 0)
        q, k = (_rotated(x, angles, node.input(7), node.input(8), interleaved) for x in (q, k))
    cache = _cache(node, k, v, positions)
    bias = total_of(_window(node, q, cache), node.optional(10))
    keys, values = (_repeated(x, heads // groups) for x in (cache.keys, cache.values))
    keys, values, bias = _with_sink(node, q, keys, values, bias)
    found = attended(q, keys, values, node.number("scale", 0.0), bias, node.number("softcap", 0.0))
    return found, cache.keys, cache.values


def _with_sink(
    node: Node, q: Value, keys: Value, values: Value, bias: Value | None
) -> tuple[Value, Value, Value | None]:
    """One more key and value of zeros; its bias is the head's sink, 0 for a smooth softmax."""
    if bias is None or not (node.has(11) or node.integer("smooth_softmax", 0) == 1):
        return keys, values, bias
    heads, count = q.shape[1], keys.shape[2]
    sink = reshaped(node.input(11), (1, heads, 1, 1)) if node.has(11) else constant(np.zeros((1, 1, 1, 1)), q.dtype)
    shape = broadcast(bias.shape[:3], sink.shape[:3])
    wide = Concat((expanded(bias, (*shape, count)), expanded(sink, (*shape, 1))), 3).result
    return _with_row(keys), _with_row(values), wide


def _with_row(x: Value) -> Value:
    return padded(x, (0, 0, 0, 0), (0, 0, 1, 0))


def _grouped(node: Node, heads: int, groups: int) -> tuple[Value, Value, Value]:
    if node.has(1):
        return heads_of(node.x, heads), heads_of(node.input(1), groups), heads_of(node.input(2), groups)
    size = node.x.shape[2] // (heads + 2 * groups)
    widths = (heads * size, groups * size, groups * size)
    starts = (0, widths[0], widths[0] + widths[1])
    parts = [part(node.x, 2, a, n) for a, n in zip(starts, widths, strict=True)]
    return heads_of(parts[0], heads), heads_of(parts[1], groups), heads_of(parts[2], groups)


def _positions(node: Node, q: Value) -> Value:
    """Where the new elements stand: behind a past of `seqlens_k` + 1 - length; a first prompt begins at 0."""
    batch, _, length, _ = q.shape
    lengths = reshaped(cast(node.input(5), i64), (batch, 1))
    past = Max(Add(lengths, counted(1 - length)).result, counted(0)).result
    return expanded(Add(past, constant(np.arange(length))).result, (batch, length))


def _places(node: Node, positions: Value) -> Value:
    """Which angles the new elements are turned by: in a first prompt they follow the first of `position_ids`."""
    if not node.has(9):
        return positions
    given = cast(node.input(9), i64)
    first = part(part(given, 0, 0, 1), 1, 0, 1)
    following = expanded(Add(first, constant(np.arange(given.shape[1]))).result, given.shape)
    total = reshaped(cast(node.input(6), i64), ())
    return Where(Equal(total, counted(given.shape[1])).result, following, given).result


def _cache(node: Node, k: Value, v: Value, positions: Value) -> Cache:
    """Present keys and values; as long as they are declared, else as the past and what is new."""
    if not node.has(3) or not node.input(3).type.size:
        return Cache(k, v, positions)
    past, length = node.input(3), k.shape[2]
    known = array_of(node.input(6)) if node.has(6) else None
    declared = node.declared[1] if len(node.declared) > 1 else None
    if known is not None:
        total = max(past.shape[2], int(known.reshape(-1)[0]))
    else:
        total = declared.shape[2] if declared else past.shape[2] + length
    if total < max(past.shape[2], length):
        raise ModelError(f"{total} keys do not hold a past {past.type} and {length} new ones")
    keys, values = (written(old, new, positions, total) for old, new in ((past, k), (node.input(4), v)))
    return Cache(keys, values, positions)


def _window(node: Node, q: Value, cache: Cache) -> Value:
    """A query sees the keys up to its own position, and no more of them than the local window holds."""
    batch, length = cache.positions.shape
    own = reshaped(cache.positions, (batch, 1, length, 1))
    keys = constant(np.arange(cache.keys.shape[2]))
    seen, window = LessEqual(keys, own).result, node.integer("local_window_size", -1)
    if window > 0:
        seen = And(seen, Less(Sub(own, counted(window)).result, keys).result).result
    return hidden(seen, q, unseen(q))


def _repeated(x: Value, times: int) -> Value:
    """Each head as often as heads of queries read it."""
    batch, groups, length, size = x.shape
    wide = expanded(reshaped(x, (batch, groups, 1, length, size)), (batch, groups, times, length, size))
    return reshaped(wide, (batch, groups * times, length, size))

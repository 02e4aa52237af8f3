"""Rules: attention in the forms that ONNX Runtime's transformer tools write (domain com.microsoft).

All become two products with a softmax between, over heads [batch, heads, length, size].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_shape import expanded, padded, part, reshaped, transposed
from .ops import (
    Add,
    And,
    Concat,
    Div,
    Gather,
    Gelu,
    LayerNorm,
    Less,
    LessEqual,
    MatMul,
    Max,
    Mul,
    Reduce,
    ScatterRows,
    Softmax,
    Sub,
    Tanh,
    Where,
    array_of,
    constant,
    like,
)
from .types import i64
from .value import Value

HEADS_FIRST = (0, 2, 1, 3)


def _counted(number: int) -> Value:
    return constant(np.array(number, np.int64))


def _refuse(node: Node, **operands: int) -> None:
    """Refuse operands that have no translation."""
    for what, position in operands.items():
        if node.has(position):
            raise NotCovered(f"it has a {what.replace('_', ' ')} (operand {position})", f"no {what.replace('_', ' ')}")


def _heads(x: Value, count: int) -> Value:
    """[batch, length, count * size] as [batch, count, length, size]."""
    if x.rank != 3 or count < 1 or x.shape[2] % count:
        raise ModelError(f"{x.type} does not split into {count} heads")
    return transposed(reshaped(x, (*x.shape[:2], count, x.shape[2] // count)), HEADS_FIRST)


def _merged(x: Value) -> Value:
    """[batch, heads, length, size] as [batch, length, heads * size]."""
    batch, heads, length, size = x.shape
    return reshaped(transposed(x, HEADS_FIRST), (batch, length, heads * size))


def _attended(q: Value, k: Value, v: Value, scale: float, bias: Value | None, softcap: float = 0.0) -> Value:
    """softmax(scale * q k^T + bias) v; `softcap` bounds the scores by a hyperbolic tangent."""
    factor = scale or 1 / math.sqrt(q.shape[3])
    scores = MatMul(Mul(q, like(q, factor)).result, transposed(k, (0, 1, 3, 2))).result
    if softcap:
        scores = Mul(Tanh(Div(scores, like(scores, softcap)).result).result, like(scores, softcap)).result
    scores = scores if bias is None else Add(scores, bias).result
    return _merged(MatMul(Softmax(scores, 3).result, v).result)


def _hidden(keep: Value, x: Value, value: float) -> Value:
    """What is added to scores: nothing where `keep` holds, a large negative number elsewhere."""
    return Where(keep, like(x, 0), like(x, value)).result


def _sum(*biases: Value | None) -> Value | None:
    """All that is there, added."""
    given = [b for b in biases if b is not None]
    return reduce(lambda a, b: Add(a, b).result, given) if given else None


def _causal(queries: int, keys: int, x: Value, value: float) -> Value:
    """No query sees a key behind it; the last query stands at the last key."""
    seen = np.arange(keys) <= np.arange(queries)[:, None] + keys - queries
    return _hidden(constant(seen), x, value)


def _padding(mask: Value, x: Value, keys: int, value: float) -> Value:
    """The bias of a mask [batch, keys] of keys that count, [batch, queries, keys], or of counts of keys [batch]."""
    if mask.rank == 1 and mask.shape[0] == x.shape[0]:
        column = reshaped(cast(mask, i64), (mask.shape[0], 1, 1, 1))
        return _hidden(Less(constant(np.arange(keys)), column).result, x, value)
    if mask.rank not in (2, 3) or mask.shape[0] != x.shape[0] or mask.shape[-1] != keys:
        raise NotCovered(f"a mask {mask.type}", f"a mask of {keys} keys for each batch entry")
    shape = (mask.shape[0], 1, mask.shape[1] if mask.rank == 3 else 1, keys)
    given = reshaped(cast(mask, i64), shape)
    return _hidden(Less(like(given, 0), given).result, x, value)


@rule("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(node: Node) -> tuple[Value | None, ...]:
    _refuse(node, past_sequence_length=8, cache_indirection=9)
    heads, value = node.integer("num_heads"), node.number("mask_filter_value", -10000.0)
    q, k, v = _queries_keys_values(node, heads)
    if node.has(6):
        k, v = Concat((node.input(6), k), 2).result, Concat((node.input(7), v), 2).result
    mask = _padding(node.input(4), q, k.shape[2], value) if node.has(4) else None
    causal = _causal(q.shape[2], k.shape[2], q, value) if node.flag("unidirectional", 0) else None
    return _attended(q, k, v, node.number("scale", 0.0), _sum(mask, node.optional(5), causal)), k, v


def _queries_keys_values(node: Node, heads: int) -> tuple[Value, Value, Value]:
    """As heads, from any of the forms that they come in; the bias holds those of all three."""
    x, bias = node.x, node.optional(3)
    if x.rank == 5 or (node.has(1) and node.input(1).rank == 5):
        if bias is not None:
            raise NotCovered("a bias of packed operands", "operands of their own")
        packed = [x] if x.rank == 5 else [_heads(x, heads), node.input(1)]
        return _unpacked(packed)
    key, value = node.input(1), node.input(2)
    if key.rank == 4:
        query = x if bias is None else Add(x, part(bias, 0, 0, x.shape[2])).result
        return _heads(query, heads), key, value
    found = []
    start = 0
    for operand in (x, key, value):
        width = operand.shape[2]
        moved = operand if bias is None else Add(operand, part(bias, 0, start, width)).result
        found.append(_heads(moved, heads))
        start += width
    return found[0], found[1], found[2]


def _unpacked(packed: list[Value]) -> tuple[Value, Value, Value]:
    """Operands [batch, length, heads, 2 or 3, size] taken apart."""
    *before, x = packed
    batch, length, heads, count, size = x.shape
    parts = [reshaped(part(x, 3, i, 1), (batch, length, heads, size)) for i in range(count)]
    found = [*before, *(transposed(p, HEADS_FIRST) for p in parts)]
    if len(found) != 3:
        raise ModelError(f"packed operands {x.type}")
    return found[0], found[1], found[2]


@rule("Attention", domain=MICROSOFT)
def attention(node: Node) -> tuple[Value | None, ...]:
    """The projections of queries, keys and values are one product."""
    _refuse(node, past_sequence_length=6)
    x, heads, value = node.x, node.integer("num_heads"), node.number("mask_filter_value", -10000.0)
    if node.flag("do_rotary", 0) or (node.has(4) and node.ints("qkv_hidden_sizes")):
        raise NotCovered("rotary positions, or a past of keys and values of different sizes")
    projected = MatMul(x, node.input(1)).result
    projected = Add(projected, node.input(2)).result if node.has(2) else projected
    sizes = node.ints("qkv_hidden_sizes") or (projected.shape[2] // 3,) * 3
    starts = (0, sizes[0], sizes[0] + sizes[1])
    q, k, v = (_heads(part(projected, 2, a, n), heads) for a, n in zip(starts, sizes, strict=True))
    present: Value | None = None
    if node.has(4):
        past = [reshaped(part(node.input(4), 0, i, 1), node.input(4).shape[1:]) for i in range(2)]
        k, v = Concat((past[0], k), 2).result, Concat((past[1], v), 2).result
    if node.wants(1):
        present = Concat(tuple(reshaped(t, (1, *t.shape)) for t in (k, v)), 0).result
    mask = _padding(node.input(3), q, k.shape[2], value) if node.has(3) else None
    causal = _causal(q.shape[2], k.shape[2], q, value) if node.flag("unidirectional", 0) else None
    return _attended(q, k, v, node.number("scale", 0.0), _sum(mask, node.optional(5), causal)), present


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
    rows = x if x.rank == 4 else _heads(x, heads)
    if positions.rank == 1:
        positions = reshaped(Add(positions, constant(np.arange(rows.shape[2]))).result, (1, rows.shape[2]))
    found = _rotated(rows, positions, cos, sin, node.flag("interleaved", 0))
    return found if x.rank == 4 else _merged(found)


# --- grouped queries --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """Keys and values [batch, heads, total, size] with the new ones written behind the past."""

    keys: Value
    values: Value
    positions: Value
    """Of the new ones: [batch, length]."""


@rule("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(node: Node) -> tuple[Value | None, ...]:
    """Several heads of queries read one of keys; what is new stands in the cache behind `seqlens_k`."""
    _refuse(node, position_ids=9, head_sink=11)
    if node.flag("smooth_softmax", 0):
        raise NotCovered("a smooth softmax")
    heads, groups = node.integer("num_heads"), node.integer("kv_num_heads")
    if groups < 1 or heads % groups:
        raise ModelError(f"{heads} heads of queries in {groups} groups")
    q, k, v = _grouped(node, heads, groups)
    positions = _positions(node, q)
    if node.flag("do_rotary", 0):
        interleaved = node.flag("rotary_interleaved", 0)
        q, k = (_rotated(x, positions, node.input(7), node.input(8), interleaved) for x in (q, k))
    cache = _cache(node, k, v, positions)
    bias = _sum(_window(node, q, cache), node.optional(10))
    keys, values = (_repeated(x, heads // groups) for x in (cache.keys, cache.values))
    found = _attended(q, keys, values, node.number("scale", 0.0), bias, node.number("softcap", 0.0))
    return found, cache.keys, cache.values


def _grouped(node: Node, heads: int, groups: int) -> tuple[Value, Value, Value]:
    if node.has(1):
        return _heads(node.x, heads), _heads(node.input(1), groups), _heads(node.input(2), groups)
    size = node.x.shape[2] // (heads + 2 * groups)
    widths = (heads * size, groups * size, groups * size)
    starts = (0, widths[0], widths[0] + widths[1])
    parts = [part(node.x, 2, a, n) for a, n in zip(starts, widths, strict=True)]
    return _heads(parts[0], heads), _heads(parts[1], groups), _heads(parts[2], groups)


def _positions(node: Node, q: Value) -> Value:
    """Where the new elements stand: behind a past of `seqlens_k` + 1 - length; a first prompt begins at 0."""
    batch, _, length, _ = q.shape
    lengths = reshaped(cast(node.input(5), i64), (batch, 1))
    past = Max(Add(lengths, _counted(1 - length)).result, _counted(0)).result
    return expanded(Add(past, constant(np.arange(length))).result, (batch, length))


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
    batch, groups = k.shape[:2]
    shape = (batch, groups, length)
    lead = [constant(g[..., None]) for g in np.indices(shape)[:2]]
    column = reshaped(expanded(reshaped(positions, (batch, 1, length)), shape), (*shape, 1))
    places = Concat((*lead, column), 3).result
    found = []
    for old, new in ((past, k), (node.input(4), v)):
        room = padded(old, (0, 0, 0, 0), (0, 0, total - old.shape[2], 0))
        found.append(ScatterRows(room, places, new).result)
    return Cache(found[0], found[1], positions)


def _window(node: Node, q: Value, cache: Cache) -> Value:
    """A query sees the keys up to its own position, and no more of them than the local window holds."""
    batch, length = cache.positions.shape
    own = reshaped(cache.positions, (batch, 1, length, 1))
    keys = constant(np.arange(cache.keys.shape[2]))
    seen, window = LessEqual(keys, own).result, node.integer("local_window_size", -1)
    if window > 0:
        seen = And(seen, Less(Sub(own, _counted(window)).result, keys).result).result
    return _hidden(seen, q, -10000.0 if q.dtype.name == "f16" else -1e30)


def _repeated(x: Value, times: int) -> Value:
    """Each head as often as heads of queries read it."""
    batch, groups, length, size = x.shape
    wide = expanded(reshaped(x, (batch, groups, 1, length, size)), (batch, groups, times, length, size))
    return reshaped(wide, (batch, groups * times, length, size))


# --- around attention -------------------------------------------------------------------------------------------------


@rule("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(node: Node) -> tuple[Value | None, ...]:
    """Words, positions and segments looked up, added and normalized; the mask is counted."""
    words, length = node.x, node.x.shape[1]
    found = Gather(node.input(2), words, 0).result
    places = node.input(8) if node.has(8) else constant(np.arange(length))
    found = Add(found, Gather(node.input(3), places, 0).result).result
    if node.has(1) and node.has(4):
        found = Add(found, Gather(node.input(4), node.input(1), 0).result).result
    y = LayerNorm(found, node.input(5), node.input(6), -1, node.number("epsilon", 1e-12)).result
    return y, _mask_counts(node, words), found


def _mask_counts(node: Node, words: Value) -> Value | None:
    if not node.has(7):
        return constant(np.zeros(words.shape[0], np.int32))
    return Reduce(node.input(7), "sum", (1,), False).result


@rule("BiasAdd", domain=MICROSOFT)
def bias_add(node: Node) -> Value:
    """x + bias + what is skipped."""
    return Add(Add(node.x, node.input(1)).result, node.input(2)).result


@rule("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(node: Node) -> Value:
    """The first half of the channels times the gelu of the second."""
    x = Add(node.x, node.input(1)).result
    half = x.shape[2] // 2
    return Mul(part(x, 2, 0, half), Gelu(part(x, 2, half, half)).result).result


@rule("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(node: Node) -> Value:
    """Softmax over the dimensions from an axis on, after a bias."""
    x, axis = node.x, node.integer("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    bias = node.input(1)
    if not node.flag("is_inner_broadcast", 0) and bias.rank < x.rank:
        bias = reshaped(bias, (*[1] * (x.rank - bias.rank), *bias.shape))
    total = Add(x, bias).result
    rows = reshaped(total, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))
    return reshaped(Softmax(rows, 1).result, x.shape)

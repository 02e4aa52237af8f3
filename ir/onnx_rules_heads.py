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
    Concat,
    Div,
    Gather,
    Gelu,
    LayerNorm,
    Less,
    LessEqual,
    MatMul,
    Mul,
    Reduce,
    ScatterRows,
    Softmax,
    Tanh,
    Where,
    constant,
    like,
)
from .types import i64
from .value import Value

HEADS_FIRST = (0, 2, 1, 3)


def counted(number: int) -> Value:
    return constant(np.array(number, np.int64))


def refuse(node: Node, **operands: int) -> None:
    """Refuse operands that have no translation."""
    for what, position in operands.items():
        if node.has(position):
            raise NotCovered(f"it has a {what.replace('_', ' ')} (operand {position})", f"no {what.replace('_', ' ')}")


def heads_of(x: Value, count: int) -> Value:
    """[batch, length, count * size] as [batch, count, length, size]."""
    if x.rank != 3 or count < 1 or x.shape[2] % count:
        raise ModelError(f"{x.type} does not split into {count} heads")
    return transposed(reshaped(x, (*x.shape[:2], count, x.shape[2] // count)), HEADS_FIRST)


def merged(x: Value) -> Value:
    """[batch, heads, length, size] as [batch, length, heads * size]."""
    batch, heads, length, size = x.shape
    return reshaped(transposed(x, HEADS_FIRST), (batch, length, heads * size))


def attended(q: Value, k: Value, v: Value, scale: float, bias: Value | None, softcap: float = 0.0) -> Value:
    """softmax(scale * q k^T + bias) v; `softcap` bounds the scores by a hyperbolic tangent."""
    factor = scale or 1 / math.sqrt(q.shape[3])
    scores = MatMul(Mul(q, like(q, factor)).result, transposed(k, (0, 1, 3, 2))).result
    if softcap:
        scores = Mul(Tanh(Div(scores, like(scores, softcap)).result).result, like(scores, softcap)).result
    scores = scores if bias is None else Add(scores, bias).result
    return merged(MatMul(Softmax(scores, 3).result, v).result)


def hidden(keep: Value, x: Value, value: float) -> Value:
    """What is added to scores: nothing where `keep` holds, a large negative number elsewhere."""
    return Where(keep, like(x, 0), like(x, value)).result


def total_of(*biases: Value | None) -> Value | None:
    """All that is there, added."""
    given = [b for b in biases if b is not None]
    return reduce(lambda a, b: Add(a, b).result, given) if given else None


def _causal(queries: int, keys: int, x: Value, value: float) -> Value:
    """No query sees a key behind it; the last query stands at the last key."""
    seen = np.arange(keys) <= np.arange(queries)[:, None] + keys - queries
    return hidden(constant(seen), x, value)


def _padding(mask: Value, x: Value, keys: int, value: float) -> Value:
    """The bias of a mask [batch, keys] of keys that count, [batch, queries, keys], or of counts of keys [batch]."""
    if mask.rank == 1 and mask.shape[0] == x.shape[0]:
        column = reshaped(cast(mask, i64), (mask.shape[0], 1, 1, 1))
        return hidden(Less(constant(np.arange(keys)), column).result, x, value)
    if mask.rank not in (2, 3) or mask.shape[0] != x.shape[0] or mask.shape[-1] != keys:
        raise NotCovered(f"a mask {mask.type}", f"a mask of {keys} keys for each batch entry")
    shape = (mask.shape[0], 1, mask.shape[1] if mask.rank == 3 else 1, keys)
    given = reshaped(cast(mask, i64), shape)
    return hidden(Less(like(given, 0), given).result, x, value)


# --- what came before -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """Keys and values [batch, heads, total, size] with the new ones written behind the past."""

    keys: Value
    values: Value
    positions: Value
    """Of the new ones: [batch, length]."""


def written(past: Value, new: Value, positions: Value, total: int) -> Value:
    """Rows [batch, heads, past, size] with room for `total`, and new ones at their positions [batch, length]."""
    shape = new.shape[:3]
    lead = [constant(g[..., None]) for g in np.indices(shape)[:2]]
    column = reshaped(expanded(reshaped(positions, (shape[0], 1, shape[2])), shape), (*shape, 1))
    room = padded(past, (0, 0, 0, 0), (0, 0, total - past.shape[2], 0))
    return ScatterRows(room, Concat((*lead, column), 3).result, new).result


def unseen(q: Value) -> float:
    """What hides a key from queries, whatever its score."""
    return -10000.0 if q.dtype.name == "f16" else -1e30


def _with_past(
    node: Node, q: Value, new: tuple[Value, Value], past: tuple[Value, Value] | None, length: Value | None
) -> tuple[Value, Value, Value | None]:
    """Keys and values with those of the past, and a bias that hides what queries do not see.

    A past with a `length` is a buffer that is longer, in which the new rows are put behind that many.
    """
    causal = node.flag("unidirectional", 0)
    if past is not None and length is not None:
        return _in_buffers(q, new, past, length, causal)
    keys, values = new if past is None else (Concat(pair, 2).result for pair in zip(past, new, strict=True))
    value = node.number("mask_filter_value", -10000.0)
    return keys, values, _causal(q.shape[2], keys.shape[2], q, value) if causal else None


def _in_buffers(
    q: Value, new: tuple[Value, Value], past: tuple[Value, Value], length: Value, causal: bool
) -> tuple[Value, Value, Value]:
    batch, _, count, _ = new[0].shape
    row = Add(reshaped(cast(length, i64), (1, 1)), constant(np.arange(count))).result
    positions = expanded(row, (batch, count))
    keys, values = (written(old, x, positions, old.shape[2]) for old, x in zip(past, new, strict=True))
    last = reshaped(row, (1, 1, count, 1)) if causal else part(reshaped(row, (1, 1, count, 1)), 2, count - 1, 1)
    return keys, values, hidden(LessEqual(constant(np.arange(keys.shape[2])), last).result, q, unseen(q))


def _longer(x: Value | None, keys: int) -> Value | None:
    """A mask or bias for as many keys as a buffer holds: those that it does not name are hidden anyway."""
    if x is None or x.rank < 2 or x.shape[-1] >= keys:
        return x
    return padded(x, (0,) * x.rank, (*[0] * (x.rank - 1), keys - x.shape[-1]))


# --- attention --------------------------------------------------------------------------------------------------------


@rule("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(node: Node) -> tuple[Value | None, ...]:
    refuse(node, cache_indirection=9)
    q, *new = _queries_keys_values(node, node.integer("num_heads"))
    past = (node.input(6), node.input(7)) if node.has(6) else None
    k, v, causal = _with_past(node, q, (new[0], new[1]), past, node.optional(8))
    bias = total_of(_mask(node, 4, q, k), _longer(node.optional(5), k.shape[2]), causal)
    return attended(q, k, v, node.number("scale", 0.0), bias), k, v


def _mask(node: Node, position: int, q: Value, k: Value) -> Value | None:
    """The bias of the mask that a node has at a position."""
    given = _longer(node.optional(position), k.shape[2])
    return None if given is None else _padding(given, q, k.shape[2], node.number("mask_filter_value", -10000.0))


def _queries_keys_values(node: Node, heads: int) -> tuple[Value, Value, Value]:
    """As heads, from any of the forms that they come in; the bias holds those of all three."""
    x, bias = node.x, node.optional(3)
    if x.rank == 5 or (node.has(1) and node.input(1).rank == 5):
        if bias is not None:
            raise NotCovered("a bias of packed operands", "operands of their own")
        packed = [x] if x.rank == 5 else [heads_of(x, heads), node.input(1)]
        return _unpacked(packed)
    key, value = node.input(1), node.input(2)
    if key.rank == 4:
        query = x if bias is None else Add(x, part(bias, 0, 0, x.shape[2])).result
        return heads_of(query, heads), key, value
    found = []
    start = 0
    for operand in (x, key, value):
        width = operand.shape[2]
        moved = operand if bias is None else Add(operand, part(bias, 0, start, width)).result
        found.append(heads_of(moved, heads))
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
    if node.flag("do_rotary", 0):
        raise NotCovered("rotary positions", "RotaryEmbedding before MultiHeadAttention")
    q, *new = _projected(node)
    if node.has(4) and new[0].shape[3] != new[1].shape[3]:
        raise NotCovered("a past of keys and values of different sizes", "keys and values of one size")
    length = node.optional(6) if node.flag("past_present_share_buffer", 0) else None
    k, v, causal = _with_past(node, q, (new[0], new[1]), _taken_apart(node.optional(4)), length)
    present = Concat(tuple(reshaped(t, (1, *t.shape)) for t in (k, v)), 0).result if node.wants(1) else None
    bias = total_of(_mask(node, 3, q, k), _longer(node.optional(5), k.shape[2]), causal)
    return attended(q, k, v, node.number("scale", 0.0), bias), present


def _projected(node: Node) -> list[Value]:
    """Queries, keys and values as heads."""
    found = MatMul(node.x, node.input(1)).result
    found = Add(found, node.input(2)).result if node.has(2) else found
    sizes = node.ints("qkv_hidden_sizes") or (found.shape[2] // 3,) * 3
    starts = (0, sizes[0], sizes[0] + sizes[1])
    parts = [part(found, 2, start, size) for start, size in zip(starts, sizes, strict=True)]
    return [heads_of(one, node.integer("num_heads")) for one in parts]


def _taken_apart(past: Value | None) -> tuple[Value, Value] | None:
    """The keys and the values of a past [2, batch, heads, length, size]."""
    if past is None:
        return None
    keys, values = (reshaped(part(past, 0, i, 1), past.shape[1:]) for i in range(2))
    return keys, values


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

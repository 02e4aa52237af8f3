"""Attention that is written as two products with a softmax between."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...ir import Skip, Value
from ...ir.dims import is_open
from ...ir.ops import (
    Add,
    Attention,
    Equal,
    Expand,
    MatMul,
    Not,
    Reduce,
    Reshape,
    Softmax,
    Tanh,
    Transpose,
    Where,
    array_of,
    like,
)
from ...ir.ops.attention import seen
from ...ir.types import f32
from .match import both_ways, factored, fits, made_by, number

HIDDEN = -1e30
"""A bias at most this large hides a key: beside a score that is not hidden, its exponential is 0."""


@dataclass(frozen=True)
class _Scores:
    """What stands between the first product and the softmax, from the softmax back."""

    product: MatMul
    scale: float = 1.0
    softcap: float = 0.0
    bias: Value | None = None
    replaces: bool = False


def attention_of_products(op: MatMul) -> Value | Skip:
    """softmax(scale * q k^T + bias) v"""
    rows = _rows(op.a)
    softmax = made_by(rows.parts, Softmax)
    if softmax is None or softmax.log or op.type.rank < 2 or op.type.dtype.wide != f32:
        return Skip()
    if softmax.axis != softmax.x.rank - 1:
        return Skip(f"the softmax is over axis {softmax.axis}, not over the keys", softmax)
    if not op.a.has_one_use or (not softmax.result.has_one_use and not rows.blank):
        return Skip("the softmax has another reader", softmax)
    scores = _scores(softmax.x)
    if scores is None:
        return Skip("the softmax reads no product, or one that has another reader", softmax)
    product = scores.product
    if not product.result.has_one_use:
        return Skip("the scores have another reader", product)
    operands = _operands(product, op.b)
    if operands is None:
        return Skip("queries, keys and values do not have the same batches", product)
    if scores.bias is not None and not _fits(scores.bias, operands, product):
        return Skip(f"the bias {scores.bias.type} is not one for the scores", product)
    if rows.hidden is not None and rows.hidden is not scores.bias:
        return Skip("rows become 0 where another tensor than the bias hides all keys", softmax)
    made = _attention(operands, scores, rows)
    return Reshape(made.result, op.type.shape).result if made.type.shape != op.type.shape else made.result


def _attention(operands: _Operands, scores: _Scores, rows: _Rows) -> Attention:
    bias = None if scores.bias is None else _wide(scores.bias, operands)
    shape = (*operands.q.shape[:3], operands.k.shape[2])
    causal = bias is not None and not scores.replaces and _is_causal(bias, shape)
    bias = None if causal else bias
    return Attention(
        operands.q, operands.k, operands.v, bias, scores.scale * operands.scale, scores.softcap, causal,
        scores.replaces and bias is not None, rows.blank, rows.hidden is not None and bias is not None,
    )  # fmt: skip


# --- the softmax and what stands in front of it -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """What the softmax gives, and which of its rows become 0: those without a number, or those that a bias hides."""

    parts: Value
    blank: bool = False
    hidden: Value | None = None


def _rows(parts: Value) -> _Rows:
    """x of where(x is a number, x, 0) or of where(max(bias) = -inf, 0, x)."""
    chosen = made_by(parts, Where)
    if chosen is None:
        return _Rows(parts)
    most = made_by(chosen.condition, Equal)
    top = made_by(most.x, Reduce) if most else None
    if most is not None and top is not None and number(most.y) == -np.inf and number(chosen.x) == 0:
        whole = (top.kind, top.axes, top.keepdims) == ("max", (top.x.rank - 1,), True)
        return _Rows(chosen.y, False, top.x) if whole else _Rows(parts)
    test, negated = chosen.condition, False
    while (inner := made_by(test, Not)) is not None:
        test, negated = inner.x, not negated
    same = made_by(test, Equal)
    kept, other = (chosen.y, chosen.x) if negated else (chosen.x, chosen.y)
    if same is None or same.x is not same.y or same.x is not kept or number(other) != 0:
        return _Rows(parts)
    return _Rows(kept, True) if set(kept.users) == {same, chosen} else _Rows(parts)


def _scores(x: Value) -> _Scores | None:
    """The product behind what enters the softmax."""
    for bias, rest, replaces in _biased(x):
        found = _bounded(rest)
        if found is not None:
            return replace(found, bias=bias, replaces=replaces)
    return _bounded(x)


def _biased(x: Value) -> list[tuple[Value, Value, bool]]:
    """Each way to read a value as scores with a bias: the bias, the scores, whether it replaces scores."""
    if not x.has_one_use:
        return []
    total, chosen = made_by(x, Add), made_by(x, Where)
    if total is not None:
        return [(y, z, False) for z, y in both_ways(total)]
    found = []
    for kept, hidden in ((chosen.x, chosen.y), (chosen.y, chosen.x)) if chosen is not None else ():
        value = number(hidden)
        if value:
            zero, fill = like(x, 0), like(x, value)
            shown = (zero, fill) if kept is chosen.x else (fill, zero)  # type: ignore[union-attr]
            found.append((Where(chosen.condition, *shown).result, kept, True))  # type: ignore[union-attr]
    return found


def _bounded(x: Value) -> _Scores | None:
    """cap * tanh(scores / cap), or scores alone."""
    if not x.has_one_use:
        return None
    factor, inner = factored(x)
    product = made_by(inner, MatMul)
    if product is not None:
        return _Scores(product, factor)
    bound = made_by(inner, Tanh)
    if bound is None or factor <= 0:
        return None
    scale, inside = factored(bound.x)
    product = made_by(inside, MatMul)
    used_once = bound.result.has_one_use and bound.x.has_one_use
    return _Scores(product, scale * factor, factor) if product is not None and used_once else None


# --- operands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Operands:
    """Queries, keys and values [batch, heads, length, size]; keys and values may have fewer heads.

    `scale` is what queries and keys were multiplied by.
    """

    q: Value
    k: Value
    v: Value
    scale: float


def _operands(product: MatMul, v: Value) -> _Operands | None:
    of_q, q = factored(product.a)
    of_product, turned = factored(product.b)
    of_k, k = factored(_turned(turned))
    if not (q.rank == k.rank == v.rank) or not 2 <= q.rank <= 4:
        return None
    k, v = _ungrouped(k), _ungrouped(v)
    q, k, v = (x if x.rank == 4 else Reshape(x, _four(x.shape)).result for x in (q, k, v))
    if k.shape[:3] != v.shape[:3] and (k.shape[1:3] != v.shape[1:3] or 1 not in (k.shape[0], v.shape[0])):
        return None
    if any(x.shape[0] not in (1, q.shape[0]) for x in (k, v)) or is_open(q.shape[1]) or is_open(k.shape[1]):
        return None
    if q.shape[1] % k.shape[1] or is_open(q.shape[3]) or is_open(v.shape[3]):
        return None
    return _Operands(q, k, v, of_q * of_product * of_k)


def _turned(x: Value) -> Value:
    """A matrix with rows for columns; a transpose that does that, perhaps with more, is taken back."""
    order = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    inner = made_by(x, Transpose)
    if inner is None:
        return Transpose(x, order).result
    order = tuple(inner.perm[axis] for axis in order)
    return inner.x if list(order) == sorted(order) else Transpose(inner.x, order).result


def _ungrouped(x: Value) -> Value:
    """Heads [batch, groups, ...] that are repeated for neighbouring heads of queries."""
    whole = made_by(x, Reshape)
    wide = made_by(whole.x, Expand) if whole else None
    if whole is None or wide is None or wide.x.rank != 5 or x.rank != 4 or wide.x.shape[2] != 1:
        return x
    batch, groups, _, *matrix = wide.x.shape
    repeated = wide.type.shape[2]
    if wide.type.shape != (batch, groups, repeated, *matrix) or x.shape != (batch, groups * repeated, *matrix):
        return x
    return Reshape(wide.x, (batch, groups, *matrix)).result


def _four(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of matrices as [1, heads, ...]."""
    return (1,) * (4 - len(shape)) + tuple(shape)


# --- bias -------------------------------------------------------------------------------------------------------------


def _fits(bias: Value, operands: _Operands, product: MatMul) -> bool:
    scores = (*operands.q.shape[:3], operands.k.shape[2])
    return bias.dtype == product.type.dtype and bias.rank <= product.type.rank and fits(_four(bias.shape), scores)


def _wide(bias: Value, operands: _Operands) -> Value:
    return bias if bias.rank == 4 else Reshape(bias, _four(bias.shape)).result


def _is_causal(bias: Value, scores: tuple[int, ...]) -> bool:
    """Whether a bias is the constant that hides from each query the keys behind it."""
    array = array_of(bias)
    queries, keys = scores[2:]
    if array is None or array.shape != (1, 1, queries, keys) or queries > keys:
        return False
    shown = seen(queries, keys)
    return bool((array[0, 0][shown] == 0).all() and (array[0, 0][~shown] <= HIDDEN).all() and np.any(~shown))


RULES = (attention_of_products,)

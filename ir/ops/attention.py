"""Scaled dot-product attention as one operator, so that a kernel need not write the scores to memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..dims import is_open, upper
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, broadcast, f32
from ..value import Value
from .arithmetic import Add, Div, Equal, Mul, Where
from .constant import constant, like
from .contraction import MatMul
from .functions import Tanh
from .normalization import Softmax
from .reduction import Reduce
from .view import Expand, Reshape, Transpose

FEW = 4
"""Up to so many queries a kernel has no use for vectors of them."""


@operator("attention")
class Attention(Op):
    """softmax(scale * q k^T + bias) v over the keys.

    q is [batch, heads, queries, depth], k [batch or 1, groups, keys, depth], v [batch or 1, groups, keys, width], and
    the result [batch, heads, queries, width]; each group of keys serves heads / groups heads that follow one another.
    `softcap` bounds the scores by a hyperbolic tangent before the bias is added (0: does not). With `replaces` a bias
    other than 0 takes the place of the score. With `causal` query i sees the first i + 1 + keys - queries keys. With
    `blank` a row whose scores give no number (no key is seen, or one is NaN) becomes 0, with `unseen` one whose bias is
    minus infinity throughout.
    """

    q: Value
    k: Value
    v: Value
    bias: Value | None = None
    scale: float = 1.0
    softcap: float = 0.0
    causal: bool = False
    replaces: bool = False
    blank: bool = False
    unseen: bool = False
    kernel = "attention"
    tolerance = Tolerance(3e-5, 3e-5)

    @property
    def sharing(self) -> int:
        """Heads of queries that read one head of keys."""
        return self.q.shape[1] // self.k.shape[1]

    @property
    def shares_one_query(self) -> bool:
        """Whether heads that read the same keys count as queries of one head."""
        return self.sharing > 1 and not is_open(self.q.shape[2]) and self.q.shape[2] == 1

    @property
    def counted_queries(self) -> int:
        """Queries that are computed together."""
        return self.sharing if self.shares_one_query else self.q.shape[2]

    @property
    def lanes_hold_keys(self) -> bool:
        """Whether vectors of queries would be mostly empty, so that kernels have vectors of keys."""
        return upper(self.counted_queries) <= FEW

    @property
    def scores(self) -> tuple[int, ...]:
        """The shape of the matrices that are never stored."""
        return (*self.q.shape[:3], self.k.shape[2])

    def infer(self, q: TensorType, k: TensorType, v: TensorType, bias: TensorType | None) -> TensorType:
        if {q.rank, k.rank, v.rank} != {4}:
            raise ModelError(f"needs [batch, heads, length, size] three times, has {q}, {k} and {v}")
        if k.shape[3] != q.shape[3] or k.shape[1:3] != v.shape[1:3]:
            raise ModelError(f"queries {q}, keys {k} and values {v} do not fit")
        if any(t.shape[0] not in (1, q.shape[0]) for t in (k, v)) or q.shape[1] % k.shape[1]:
            raise ModelError(f"keys {k} do not serve the heads of {q}")
        scores = (*q.shape[:3], k.shape[2])
        if bias is not None and broadcast(bias.shape, scores) != scores:
            raise ModelError(f"bias {bias} does not fit scores {list(scores)}")
        if bias is None and (self.unseen or self.replaces):
            raise ModelError("a bias is missing")
        return TensorType(q.dtype, (*q.shape[:3], v.shape[3]))

    def evaluate(self, q: Array, k: Array, v: Array, bias: Array | None) -> Array:
        k, v = (np.repeat(a, q.shape[1] // a.shape[1], 1) for a in (k, v))
        scores = np.matmul(q, np.swapaxes(k, 2, 3)) * q.dtype.type(self.scale)
        if self.softcap:
            scores = np.tanh(scores / q.dtype.type(self.softcap)) * q.dtype.type(self.softcap)
        if bias is not None:
            scores = np.where(bias == 0, scores, bias) if self.replaces else scores + bias
        if self.causal:
            scores = np.where(seen(*scores.shape[2:]), scores, q.dtype.type(-np.inf))
        with np.errstate(invalid="ignore"):
            parts = np.exp(scores - scores.max(axis=3, keepdims=True))
            parts = parts / parts.sum(axis=3, keepdims=True)
        if self.blank:
            parts = np.where(np.isnan(parts), 0, parts)
        if self.unseen and bias is not None:
            most = np.broadcast_to(bias, scores.shape).max(axis=3, keepdims=True)
            parts = np.where(most == -np.inf, 0, parts)
        return np.asarray(np.matmul(parts, v), q.dtype)

    def expand(self) -> Value:
        keys, values = (self._repeated(x) for x in (self.k, self.v))
        scores = MatMul(self.q, Transpose(keys, (0, 1, 3, 2)).result).result
        if self.scale != 1:
            scores = Mul(scores, like(scores, self.scale)).result
        if self.softcap:
            cap = like(scores, self.softcap)
            scores = Mul(Tanh(Div(scores, cap).result).result, cap).result
        if self.bias is not None:
            scores = self._biased(scores, self.bias)
        if self.causal:
            mask = constant(seen(*scores.shape[2:]))
            scores = Where(mask, scores, like(scores, -np.inf)).result
        parts = Softmax(scores, 3).result
        if self.blank:
            parts = Where(Equal(parts, parts).result, parts, like(parts, 0)).result
        if self.unseen and self.bias is not None:
            parts = self._seen(parts, self.bias)
        return MatMul(parts, values).result

    def _seen(self, parts: Value, bias: Value) -> Value:
        most = Reduce(bias, "max", (bias.rank - 1,)).result if bias.rank else bias
        hidden = Equal(most, like(most, -np.inf)).result
        return Where(hidden, like(parts, 0), parts).result

    def _biased(self, scores: Value, bias: Value) -> Value:
        if not self.replaces:
            return Add(scores, bias).result
        return Where(Equal(bias, like(bias, 0)).result, scores, bias).result

    def _repeated(self, x: Value) -> Value:
        """Each group as often as heads of queries read it."""
        if self.sharing == 1:
            return x
        batch, groups, length, size = x.shape
        wide = Expand(Reshape(x, (batch, groups, 1, length, size)).result, (batch, groups, self.sharing, length, size))
        return Reshape(wide.result, (batch, groups * self.sharing, length, size)).result

    def macs(self) -> int:
        return self.q.type.size * self.k.shape[2] + self.type.size * self.k.shape[2]

    @classmethod
    def samples(cls) -> Any:
        def operands(
            batch: int, heads: int, groups: int, queries: int, keys: int, depth: int, width: int
        ) -> tuple[Value, Value, Value]:
            return (
                arg(f32, batch, heads, queries, depth), arg(f32, batch, groups, keys, depth),
                arg(f32, batch, groups, keys, width),
            )  # fmt: skip

        yield cls(*operands(1, 3, 3, 37, 41, 20, 20), scale=0.25)
        yield cls(*operands(2, 4, 2, 19, 19, 8, 35), arg(f32, 2, 1, 1, 19), causal=True)
        yield cls(*operands(1, 2, 1, 33, 70, 16, 64), arg(f32, 33, 70), scale=0.5, softcap=3.0)
        yield cls(*operands(2, 6, 2, 1, 45, 24, 9), arg(f32, 2, 1, 1, 45), scale=0.2)
        yield cls(*operands(1, 2, 2, 3, 300, 5, 17), arg(f32, 1, 2, 3, 300), causal=True)
        yield cls(*operands(1, 2, 2, 18, 9, 5, 7), arg(f32, 1, 2, 18, 9), replaces=True, blank=True)
        yield cls(*operands(2, 1, 1, 17, 9, 5, 7), arg(f32, 17, 9), unseen=True)


def seen(queries: int, keys: int) -> Array:
    """Which keys each query sees when it stands at its own place from the end [queries, keys]."""
    return np.asarray(np.arange(keys) <= np.arange(queries)[:, None] + keys - queries)

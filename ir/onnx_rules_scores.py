"""What the classifiers and regressors of ai.onnx.ml do with their scores, and the labels that they give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered
from .ops import (
    Abs,
    Add,
    ArgReduce,
    Concat,
    Div,
    Equal,
    Exp,
    Gather,
    Less,
    LessEqual,
    Log,
    Mul,
    Neg,
    Reduce,
    Sigmoid,
    Softmax,
    Sqrt,
    Sub,
    Where,
    constant,
    like,
)
from .value import Value

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""In the order of their numbers."""
NEARLY_ZERO = 1e-7


def transformed(scores: Value, kind: str) -> Value:
    """Scores [N, K] through the node's `post_transform`."""
    if kind not in TRANSFORMS:
        raise ModelError(f"there is no post_transform '{kind}'", hint=", ".join(TRANSFORMS))
    if kind == "LOGISTIC":
        return Sigmoid(scores).result
    if kind == "SOFTMAX":
        return Softmax(scores, 1).result
    if kind == "SOFTMAX_ZERO":
        return _softmax_zero(scores)
    return _probit(scores) if kind == "PROBIT" else scores


def _softmax_zero(scores: Value) -> Value:
    """Scores that are nearly zero keep out of the exponential."""
    most = Reduce(scores, "max", (1,)).result
    zero = Mul(scores, Exp(Neg(most).result).result).result
    other = Exp(Sub(scores, most).result).result
    parts = Where(Less(like(scores, NEARLY_ZERO), Abs(scores).result).result, other, zero).result
    total = Reduce(parts, "sum", (1,)).result
    return Where(Equal(total, like(total, 0)).result, like(scores, 0.5), Div(parts, total).result).result


def _probit(scores: Value) -> Value:
    """The inverse of the normal distribution, by Winitzki's approximation of the inverse error function."""
    x = Sub(Mul(scores, like(scores, 2)).result, like(scores, 1)).result
    log = Log(Mul(Sub(like(x, 1), x).result, Add(like(x, 1), x).result).result).result
    half = Add(Mul(log, like(x, 0.5)).result, like(x, 2 / (np.pi * 0.147))).result
    root = Sqrt(Sub(Mul(half, half).result, Mul(log, like(x, 1 / 0.147)).result).result).result
    found = Mul(Sqrt(Sub(root, half).result).result, like(x, 1.41421356)).result
    return Where(Less(x, like(x, 0)).result, Neg(found).result, found).result


def labels_of(node: Node, integers: str, strings: str = "classlabels_strings") -> tuple[int, ...] | None:
    """The integer labels of a node; None where they are text, which nobody may read then."""
    found = node.ints(integers)
    if found or not node.attributes.get(strings):
        return found or ()
    if node.wants(0):
        raise NotCovered("its labels are text", "integer labels")
    return None


def label_count(node: Node, integers: str, strings: str = "classlabels_strings") -> int:
    """How many labels a node has, whether integers or text."""
    return max(len(node.ints(integers) or ()), len(node.attributes.get(strings) or ()))


def best_label(scores: Value, labels: Sequence[int] | None) -> Value | None:
    """The label of the largest score in each row, the first of equals."""
    if labels is None:
        return None
    place = ArgReduce(scores, "max", 1, False).result
    return Gather(constant(np.array(labels, np.int64)), place, 0).result if labels else place


def binary_label(score: Value, threshold: float, labels: Sequence[int] | None, above: bool = True) -> Value | None:
    """The second label where the only score [N, 1] of a row is above a threshold (or at it), else the first."""
    if labels is None:
        return None
    limit = like(score, threshold)
    holds = Less(limit, score) if above else LessEqual(limit, score)
    flat = Reduce(holds.result, "max", (1,), False).result
    first, second = (constant(np.array(v, np.int64)) for v in labels)
    return Where(flat, second, first).result


def two_scores(score: Value, complement: bool, kind: str) -> Value:
    """The scores of both classes from that of the second, as ONNX Runtime gives them: 1 - s and s of a probability,
    else -s and s, of which the logistic function is taken but no softmax."""
    if kind == "PROBIT":
        return _probit(score)
    first = Sub(like(score, 1), score) if complement and kind != "LOGISTIC" else Neg(score)
    both = Concat((first.result, score), 1).result
    return transformed(both, kind if kind == "LOGISTIC" else "NONE")

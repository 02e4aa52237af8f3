"""Normalizations, softmax and global pooling that a model has spelled out."""

from __future__ import annotations

from ...ir import Skip, Value
from ...ir.ops import Add, Elementwise, Exp, LayerNorm, Log, Mul, Pool, Pow, Reduce, Softmax, Sqrt, Sub
from .match import both_ways, fits, is_number, made_by, same_type
from .terms import affine_of, quotient_of


def normalized(op: Elementwise) -> Value | Skip:
    """x / sqrt(mean(x * x) + epsilon) as layer-norm; with x = y - mean(y) it is the centered one"""
    parts = _over_root(op.result)
    if parts is None or not op.type.dtype.is_float:
        return Skip()
    x, radicand = parts
    affine = affine_of(radicand)
    mean = made_by(affine.x, Reduce)
    if mean is None or mean.kind != "mean" or not _is_square(mean.x, x) or not same_type(x, op.result):
        return Skip()
    if not mean.keepdims or mean.axes != tuple(range(mean.axes[0], x.rank)):
        return Skip(f"normalizes over axes {list(mean.axes)}, not over the last ones", mean)
    if affine.slope != 1 or affine.offset < 0:
        return Skip("the epsilon is not added to the mean of squares", mean)
    source = _centered(x, mean.axes)
    centered = source is not None
    return LayerNorm(source or x, None, None, mean.axes[0], affine.offset, centered).result


def _over_root(value: Value) -> tuple[Value, Value] | None:
    """x and r of x / sqrt(r), however it is written."""
    quotient = quotient_of(value)
    root = made_by(quotient[1], Sqrt) if quotient else None
    if quotient and root is not None:
        return quotient[0], root.x
    product = made_by(value, Mul)
    for x, y in both_ways(product) if product is not None else ():
        power = made_by(y, Pow)
        if power is not None and is_number(power.y, -0.5):
            return x, power.x
    return None


def _is_square(value: Value, x: Value) -> bool:
    op = value.producer
    if isinstance(op, Pow):
        return op.x is x and is_number(op.y, 2)
    return isinstance(op, Mul) and op.x is x and op.y is x


def _centered(x: Value, axes: tuple[int, ...]) -> Value | None:
    """y of y - mean(y) over the same axes."""
    difference = made_by(x, Sub)
    mean = made_by(difference.y, Reduce) if difference else None
    if difference is None or mean is None or mean.x is not difference.x:
        return None
    return difference.x if (mean.kind, mean.axes, mean.keepdims) == ("mean", axes, True) else None


def scaled_norm(mul: Mul) -> Value | Skip:
    """layer-norm(x) * scale"""
    for norm_value, scale in both_ways(mul):
        norm = made_by(norm_value, LayerNorm)
        if norm is None or norm.scale is not None or norm.bias is not None:
            continue
        reason = _unfit(norm, scale)
        if reason:
            return Skip(reason, norm)
        found: Value = norm.replace(scale=scale).result
        return found
    return Skip()


def shifted_norm(add: Add) -> Value | Skip:
    """layer-norm(x) + bias"""
    for norm_value, bias in both_ways(add):
        norm = made_by(norm_value, LayerNorm)
        if norm is None or norm.bias is not None:
            continue
        reason = _unfit(norm, bias)
        if reason:
            return Skip(reason, norm)
        found: Value = norm.replace(bias=bias).result
        return found
    return Skip()


def _unfit(norm: LayerNorm, operand: Value) -> str:
    if not norm.result.has_one_use:
        return "the normalized tensor has another reader"
    if operand.rank > norm.x.rank - norm.axis or not fits(operand.shape, norm.x.shape):
        return f"shape {list(operand.shape)} is not one entry for each normalized element"
    return ""


def softmax_of_exp(op: Elementwise) -> Value | Skip:
    """exp(x) / sum(exp(x)) = softmax(x), also with the maximum subtracted first"""
    quotient = quotient_of(op.result)
    exponential = made_by(quotient[0], Exp) if quotient else None
    total = made_by(quotient[1], Reduce) if quotient else None
    if exponential is None or total is None or total.kind != "sum" or total.x is not exponential.result:
        return Skip()
    if len(total.axes) != 1 or not total.keepdims:
        return Skip(f"sums over axes {list(total.axes)}, a softmax sums over one and keeps it", total)
    return Softmax(_without_maximum(exponential.x, total.axes), total.axes[0]).result


def _without_maximum(x: Value, axes: tuple[int, ...]) -> Value:
    difference = made_by(x, Sub)
    top = made_by(difference.y, Reduce) if difference else None
    if difference is None or top is None or top.x is not difference.x:
        return x
    return difference.x if (top.kind, top.axes, top.keepdims) == ("max", axes, True) else x


def log_of_softmax(log: Log) -> Value | Skip:
    """log(softmax(x))"""
    inner = made_by(log.x, Softmax)
    if inner is None or inner.log:
        return Skip()
    return Softmax(inner.x, inner.axis, True).result


def log_softmax(sub: Sub) -> Value | Skip:
    """x - log(sum(exp(x)))"""
    logarithm = made_by(sub.y, Log)
    total = made_by(logarithm.x, Reduce) if logarithm else None
    inner = made_by(total.x, Exp) if total else None
    if total is None or inner is None or inner.x is not sub.x or total.kind != "sum":
        return Skip()
    if len(total.axes) != 1 or not total.keepdims:
        return Skip(f"sums over axes {list(total.axes)}, a softmax sums over one and keeps it", total)
    return Softmax(_without_maximum(sub.x, total.axes), total.axes[0], True).result


def global_pool(pool: Pool) -> Value | Skip:
    """A pool of one window that covers everything is a reduction over the spatial dimensions."""
    spatial = pool.x.shape[2:]
    if pool.kernel_shape != spatial or any(pool.pads):
        return Skip()
    kind = {"average": "mean"}.get(pool.kind, pool.kind)
    return Reduce(pool.x, kind, tuple(range(2, pool.x.rank))).result


def mean_of_sum(op: Elementwise) -> Value | Skip:
    """sum(x) / n over n elements = mean(x)"""
    if op.name not in ("mul", "div") or not op.type.dtype.is_float:
        return Skip()
    affine = affine_of(op.result)
    total = made_by(affine.x, Reduce)
    if total is None or total.kind != "sum" or affine.offset:
        return Skip()
    count = total.x.type.size // max(total.type.size, 1)
    if abs(affine.slope * count - 1) > 1e-6:
        return Skip(f"the factor {affine.slope:g} is not one over the {count} summed elements", total)
    if not total.result.has_one_use:
        return Skip("the sum has another reader", total)
    return Reduce(total.x, "mean", total.axes, total.keepdims).result


RULES = (
    mean_of_sum, normalized, scaled_norm, shifted_norm, softmax_of_exp, log_of_softmax, log_softmax, global_pool,
)  # fmt: skip

"""Rules: normalizations."""

from __future__ import annotations

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, needs_float, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import expanded, reshaped
from .ops import (
    Abs,
    Add,
    BatchNorm,
    Div,
    Equal,
    InstanceNorm,
    LayerNorm,
    Mul,
    Reciprocal,
    Reduce,
    Sqrt,
    Sub,
    Where,
    like,
)
from .types import f32, normal_axis
from .value import Value


def moments(x: Value, axes: tuple[int, ...]) -> tuple[Value, Value]:
    """Mean and variance over axes, dimensions kept."""
    mean = Reduce(x, "mean", axes).result
    centered = Sub(x, mean).result
    return mean, Reduce(Mul(centered, centered).result, "mean", axes).result


@rule("BatchNormalization")
def batch_normalization(node: Node) -> Value | tuple[Value, ...]:
    """With given statistics, or with those of the batch where training_mode says so."""
    x, *given = (cast(v, node.x.dtype) for v in node.given)
    if len(given) != 4:
        raise ModelError("it needs scale, bias, mean and variance")
    scale, bias, mean, variance = given
    epsilon = node.number("epsilon")
    if node.version < 9 and not node.flag("spatial", 1):
        raise NotCovered("statistics of every element (spatial = 0)", "statistics of every channel")
    if not node.flag("training_mode", 0):
        return BatchNorm(x, scale, bias, mean, variance, epsilon).result
    return _trained(x, scale, bias, mean, variance, node)


def _trained(x: Value, scale: Value, bias: Value, mean: Value, variance: Value, node: Node) -> tuple[Value, ...]:
    axes = tuple(a for a in range(x.rank) if a != 1)
    momentum = node.number("momentum")
    batch_mean, batch_variance = (reshaped(v, (x.shape[1],)) for v in moments(x, axes))
    y = BatchNorm(x, scale, bias, batch_mean, batch_variance, node.number("epsilon")).result
    return y, _blend(mean, batch_mean, momentum), _blend(variance, batch_variance, momentum)


def _blend(old: Value, new: Value, momentum: float) -> Value:
    return Add(Mul(old, like(old, momentum)).result, Mul(new, like(new, 1 - momentum)).result).result


@rule("InstanceNormalization")
def instance_normalization(node: Node) -> Value:
    return InstanceNorm(node.x, node.input(1), node.input(2), 0, node.number("epsilon")).result


@rule("GroupNormalization")
def group_normalization(node: Node) -> Value:
    """Scale and bias have an entry for each group before version 21, for each channel from then on."""
    x, groups = node.x, node.integer("num_groups")
    if x.rank < 3 or groups < 1 or x.shape[1] % groups:
        raise ModelError(f"{x.type} does not divide into {groups} groups of channels")
    scale, bias = (_per_channel(node.input(i), x.shape[1], node.version) for i in (1, 2))
    return InstanceNorm(x, scale, bias, groups, node.number("epsilon")).result


def _per_channel(v: Value, channels: int, version: int) -> Value:
    groups = v.type.size
    if version >= 21 or groups in (0, channels):
        return v
    return reshaped(expanded(reshaped(v, (groups, 1)), (groups, channels // groups)), (channels,))


@rule("LayerNormalization")
def layer_normalization(node: Node) -> tuple[Value | None, ...]:
    """The mean and the inverse deviation come along where somebody reads them."""
    x, axis, epsilon = node.x, normal_axis(node.integer("axis"), node.x.rank), node.number("epsilon")
    y = LayerNorm(x, node.input(1), node.optional(2), axis, epsilon).result
    if not node.wants(1) and not node.wants(2):
        return y, None, None
    mean, variance = moments(cast(x, f32), tuple(range(axis, x.rank)))
    return y, mean, Reciprocal(Sqrt(Add(variance, like(variance, epsilon)).result).result).result


@rule("RMSNormalization", "SimplifiedLayerNormalization")
def rms_normalization(node: Node) -> Value:
    epsilon = node.number("epsilon", 1e-5)
    return LayerNorm(node.x, node.input(1), None, node.integer("axis", -1), epsilon, centered=False).result


@rule("LpNormalization")
def lp_normalization(node: Node) -> Value:
    """x over its norm along an axis; zero where the norm is zero."""
    x, axis, p = node.x, normal_axis(node.integer("axis"), node.x.rank), node.integer("p")
    needs_float(x)
    if p not in (1, 2):
        raise ModelError(f"p must be 1 or 2, is {p}")
    size = Reduce(Abs(x).result if p == 1 else Mul(x, x).result, "sum", (axis,)).result
    norm = size if p == 1 else Sqrt(size).result
    zero = like(x, 0)
    safe = Where(Equal(norm, zero).result, like(x, 1), norm).result
    return Div(x, safe).result


@rule("MeanVarianceNormalization")
def mean_variance_normalization(node: Node) -> Value:
    """(x - mean) / (deviation + 1e-9) over axes."""
    x, axes = node.x, node.ints("axes") or (0, 2, 3)
    mean, variance = moments(x, axes)
    spread = Add(Sqrt(variance).result, like(x, 1e-9)).result
    return Div(Sub(x, mean).result, spread).result

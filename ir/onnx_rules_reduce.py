"""Rules: reductions over axes, softmax and its relatives."""

from __future__ import annotations

import math

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, needs_float, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import listed_axes, reshaped
from .ops import Abs, Add, ArgReduce, Equal, Exp, Log, Mul, Reduce, Softmax, Sqrt, Sub, constant
from .ops.reduction import reduced_shape
from .types import DType, boolean, normal_axes, normal_axis
from .value import Value


def reduced(node: Node, x: Value, kind: str) -> Value:
    """x reduced over the axes that the node names; over none of them where it says so."""
    axes = listed_axes(node, 1) or ()
    keepdims = node.flag("keepdims", 1)
    if not axes and node.flag("noop_with_empty_axes"):
        return x
    return _over(x, kind, normal_axes(axes, x.rank), keepdims)


def _over(x: Value, kind: str, axes: tuple[int, ...], keepdims: bool) -> Value:
    if not axes:
        return x
    if x.type.size == 0:
        shape = reduced_shape(x.shape, axes, keepdims)
        return constant(np.full(shape, _of_nothing(kind, x.dtype), x.dtype.numpy))
    return Reduce(x, kind, axes, keepdims).result


def _of_nothing(kind: str, dtype: DType) -> float:
    """What a reduction of no elements gives."""
    if kind in ("sum", "prod", "mean"):
        return {"sum": 0.0, "prod": 1.0, "mean": math.nan}[kind]
    if dtype.is_float:
        return -math.inf if kind == "max" else math.inf
    if dtype == boolean:
        return float(kind == "min")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if kind == "max" else limits.max)


@rule("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
def reduce_(node: Node) -> Value:
    return reduced(node, node.x, node.op_type.removeprefix("Reduce").lower())


@rule("ReduceL1")
def reduce_l1(node: Node) -> Value:
    return reduced(node, Abs(node.x).result, "sum")


@rule("ReduceSumSquare")
def reduce_sum_square(node: Node) -> Value:
    return reduced(node, Mul(node.x, node.x).result, "sum")


@rule("ReduceL2")
def reduce_l2(node: Node) -> Value:
    needs_float(node.x)
    return Sqrt(reduce_sum_square(node)).result


@rule("ReduceLogSum")
def reduce_log_sum(node: Node) -> Value:
    needs_float(node.x)
    return Log(reduced(node, node.x, "sum")).result


@rule("ReduceLogSumExp")
def reduce_log_sum_exp(node: Node) -> Value:
    """The largest element is taken out first, so that nothing overflows."""
    x, axes = node.x, listed_axes(node, 1) or ()
    needs_float(x)
    if not x.type.size or (not axes and node.flag("noop_with_empty_axes")):
        return Log(reduced(node, Exp(x).result, "sum")).result
    over = normal_axes(axes, x.rank)
    largest = _over(x, "max", over, True)
    total = Log(_over(Exp(Sub(x, largest).result).result, "sum", over, True)).result
    found = Add(total, largest).result
    return found if node.flag("keepdims", 1) else reshaped(found, reduced_shape(x.shape, over, False))


@rule("ArgMax", "ArgMin")
def arg_reduce(node: Node) -> Value:
    kind = node.op_type.removeprefix("Arg").lower()
    last = node.flag("select_last_index")
    return ArgReduce(node.x, kind, node.integer("axis"), node.flag("keepdims", 1), last).result


def _coerced(node: Node) -> tuple[Value, int]:
    """The operand and the axis to work along; before version 13 all dimensions from the axis on count as one."""
    x, axis = node.x, normal_axis(node.integer("axis"), max(node.x.rank, 1))
    wide = [a for a in range(axis, x.rank) if x.shape[a] != 1]
    if node.version >= 13 or wide == [axis]:
        return x, axis
    if len(wide) == 1:
        return x, wide[0]
    return reshaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))), 1


@rule("Softmax", "LogSoftmax")
def softmax(node: Node) -> Value:
    x, axis = _coerced(node)
    return reshaped(Softmax(x, axis, node.op_type == "LogSoftmax").result, node.x.shape)


@rule("Hardmax")
def hardmax(node: Node) -> Value:
    """One at the first largest element, zero elsewhere."""
    x, axis = _coerced(node)
    if x.shape[axis] > 1 << 24:
        raise ModelError(f"a dimension of {x.shape[axis]} is too large")
    places = np.arange(x.shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.rank)])
    chosen = Equal(ArgReduce(x, "max", axis).result, constant(places)).result
    return reshaped(cast(chosen, x.dtype), node.x.shape)

"""Rules: tensors out of nothing but parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ModelError
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import expanded, inverse, reshaped, transposed
from .onnx_tensors import check_dims, element_type
from .ops import Add, Equal, Gather, Less, MatMul, Mul, Where, array_of, constant, like
from .types import i64, normal_axis
from .value import Value

MAX_MADE = 1 << 24


@rule("Constant")
def constant_(node: Node) -> Value:
    """One of several attributes holds the value."""
    held = {name: value for name, value in node.attributes.items() if value is not None}
    if len(held) != 1:
        raise ModelError(f"a constant needs one value, has {len(held)}")
    ((kind, value),) = held.items()
    if kind in ("value", "sparse_value"):
        return constant(value)
    dtypes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if kind not in dtypes:
        raise NotCovered("its value is text", "numbers or bool")
    return constant(np.asarray(value, dtypes[kind]))


@rule("ConstantOfShape")
def constant_of_shape(node: Node) -> Value:
    shape = check_dims(node.known_ints(0, "shape"), "its result")
    value = node.attributes.get("value")
    value = np.zeros(1, np.float32) if value is None else value
    if value.size != 1:
        raise ModelError(f"its value must have one element, has {value.size}")
    return expanded(constant(value.reshape(())), shape)


@rule("Range")
def range_(node: Node) -> Value:
    if node.declared is not None and any(array_of(node.input(i)) is None for i in range(3)):
        return _counted(node, node.declared)
    start, limit, delta = (node.known(i, "bounds") for i in range(3))
    if any(a.size != 1 for a in (start, limit, delta)):
        raise ModelError("its bounds must be single numbers")
    if not float(delta.reshape(-1)[0]):
        raise ModelError("its step is zero")
    first, last, step = (a.reshape(-1)[0].item() for a in (start, limit, delta))
    count = max(0, math.ceil((last - first) / step))
    if count > MAX_MADE:
        raise NotCovered(f"it has {count} elements", f"at most {MAX_MADE}")
    return constant((first + step * np.arange(count)).astype(start.dtype))


def _counted(node: Node, shape: tuple[int, ...]) -> Value:
    """As many numbers as the model says that its output has, whatever they are."""
    start, delta = (reshaped(node.input(i), ()) for i in (0, 2))
    count = constant(np.arange(math.prod(shape)), start.dtype)
    return Add(start, Mul(count, delta).result).result


@rule("EyeLike")
def eye_like(node: Node) -> Value:
    x = node.x
    if x.rank != 2 or x.type.size > MAX_MADE:
        raise ModelError(f"{x.type} is no matrix of a sensible size")
    dtype = element_type(node.integer("dtype")) if node.attributes.get("dtype") is not None else x.dtype
    return constant(np.eye(x.shape[0], x.shape[1], k=node.integer("k"), dtype=dtype.numpy))


@rule("OneHot")
def one_hot(node: Node) -> Value:
    """`on` where an index names the place along the new axis, `off` elsewhere."""
    depth, values = int(node.known_number(1, "depth")), node.input(2)
    indices = cast(node.x, i64)
    rank = indices.rank + 1
    axis = normal_axis(node.integer("axis"), rank)
    if depth < 1 or depth > MAX_MADE or values.shape != (2,):
        raise ModelError(f"depth {depth} or values {values.type} do not fit")
    wrapped = Where(Less(indices, like(indices, 0)).result, Add(indices, like(indices, depth)).result, indices).result
    column = reshaped(wrapped, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    places = np.arange(depth).reshape([-1 if a == axis else 1 for a in range(rank)])
    off, on = (Gather(values, constant(np.array(i)), 0).result for i in (0, 1))
    return Where(Equal(column, constant(places)).result, on, off).result


@rule("Trilu")
def trilu(node: Node) -> Value:
    """The upper or lower triangle, zero elsewhere."""
    k = node.known_int(1, "k") if node.has(1) else 0
    if node.x.rank < 2:
        raise ModelError(f"{node.x.type} is no matrix")
    rows, columns = node.x.shape[-2:]
    if rows * columns > MAX_MADE:
        raise NotCovered(f"a triangle of {rows} by {columns}")
    ones = np.ones((rows, columns), bool)
    kept = np.triu(ones, k) if node.flag("upper") else np.tril(ones, k)
    return Where(constant(kept), node.x, like(node.x, 0)).result


@rule("NonZero")
def non_zero(node: Node) -> Value:
    """Known operands only: the shape of the result depends on them."""
    return constant(np.array(np.nonzero(np.atleast_1d(node.known(0, "operand"))), np.int64))


@rule("CumSum")
def cumulative_sum(node: Node) -> Value:
    """Running totals as a product with a triangle of ones."""
    x, axis = node.x, normal_axis(node.known_int(1, "axis"), node.x.rank)
    extent = x.shape[axis]
    if extent > 2048:
        raise NotCovered(f"an axis of {extent}", "at most 2048")
    if array_of(x) is not None:
        return constant(_running(array_of(x), axis, node))
    triangle = np.triu(np.ones((extent, extent), x.dtype.numpy), 1 if node.flag("exclusive") else 0)
    triangle = triangle.T if node.flag("reverse") else triangle
    perm = [a for a in range(x.rank) if a != axis] + [axis]
    total = MatMul(transposed(x, perm), constant(triangle)).result
    return transposed(total, inverse(perm))


def _running(x: Any, axis: int, node: Node) -> Array:
    found = np.flip(x, axis) if node.flag("reverse") else x
    total = np.cumsum(found, axis, dtype=found.dtype) - (found if node.flag("exclusive") else 0)
    return np.asarray(np.flip(total, axis) if node.flag("reverse") else total, x.dtype)

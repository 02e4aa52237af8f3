"""Rules: tensors out of nothing but parameters."""

from __future__ import annotations

import math

import numpy as np

from ..errors import ModelError
from .dims import greatest, is_open, upper
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import expanded, reshaped
from .onnx_tensors import check_dims, element_type
from .ops import (
    Add,
    Ceil,
    Div,
    Equal,
    Gather,
    Less,
    LessEqual,
    Max,
    Mul,
    Sizes,
    Slice,
    Sub,
    Where,
    array_of,
    constant,
    like,
    sizes,
)
from .strings import stored
from .types import DType, f64, i64, normal_axis
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
    if kind in ("value_string", "value_strings"):
        return constant(stored(value if kind == "value_string" else np.array(value, object), node.strings))
    dtypes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if kind not in dtypes:
        raise NotCovered(f"a constant of {kind}")
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
    if any(isinstance(v.producer, Sizes) for v in node.given):
        bounds = [node.known_int(i, "bounds") for i in range(3)]
        return _open_range(bounds[0], bounds[1], bounds[2], node.x.dtype)
    if node.declared_first is not None and any(array_of(node.input(i)) is None for i in range(3)):
        return _counted(node, node.declared_first)
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


def _open_range(start: int, limit: int, delta: int, dtype: DType) -> Value:
    """The first part of the longest range that there can be, from wherever it starts."""
    count = greatest(0, -((start - limit) // delta) if delta > 0 else -((limit - start) // -delta))
    if upper(count) > MAX_MADE:
        raise NotCovered(f"it has up to {upper(count)} elements", f"at most {MAX_MADE}")
    steps = Slice(constant(delta * np.arange(upper(count)), dtype), (0,), (count,)).result
    return steps if start == 0 else Add(steps, sizes(start, dtype)).result


def _counted(node: Node, shape: tuple[int, ...]) -> Value:
    """As many numbers as the model says that its output has; the run checks that its bounds give so many."""
    start, limit, delta = (reshaped(node.input(i), ()) for i in range(3))
    count = math.prod(shape)
    first, last, step = (cast(v, f64) for v in (start, limit, delta))
    given = Ceil(Div(Sub(last, first).result, step).result).result
    node.expects(cast(Max(given, like(given, 0)).result, i64), count)
    node.examples.update({node.input(i): _one_number(node.input(i), n) for i, n in enumerate((0, count, 1))})
    return Add(start, Mul(constant(np.arange(count), start.dtype), delta).result).result


def _one_number(value: Value, number: int) -> Array:
    return np.full(value.shape, number, value.dtype.numpy)


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
    indices, values = cast(node.x, i64), node.input(2)
    rank = indices.rank + 1
    axis = normal_axis(node.integer("axis"), rank)
    known = array_of(node.input(1)) is not None
    depth = int(node.known_number(1, "depth")) if known else node.declared_shape(0, "depth")[axis]
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
    if node.x.rank < 2:
        raise ModelError(f"{node.x.type} is no matrix")
    rows, columns = map(upper, node.x.shape[-2:])
    if rows * columns > MAX_MADE:
        raise NotCovered(f"a triangle of {rows} by {columns}")
    k = reshaped(cast(node.input(1), i64), ()) if node.has(1) else constant(np.array(0))
    diagonals = constant(np.arange(columns) - np.arange(rows)[:, None])
    if any(map(is_open, node.x.shape[-2:])):
        diagonals = Slice(diagonals, (0, 0), node.x.shape[-2:]).result
    kept = LessEqual(k, diagonals) if node.flag("upper") else LessEqual(diagonals, k)
    return Where(kept.result, node.x, like(node.x, 0)).result

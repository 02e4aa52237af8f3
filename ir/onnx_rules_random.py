"""Rules: numbers drawn at random, when the model is compiled, and choices by them."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError
from .onnx_random import check_drawn, random_state
from .onnx_rules import Node, rule
from .onnx_rules_math import cast
from .onnx_tensors import check_dims, element_type
from .ops import Less, MatMul, Reduce, Reshape, Softmax, constant
from .types import DType, f32, i32, i64
from .value import Value


@rule("RandomUniform", "RandomUniformLike")
def random_uniform(node: Node) -> Value:
    shape, dtype = _drawn_type(node)
    drawn = random_state(node).uniform(node.number("low", 0.0), node.number("high", 1.0), shape)
    return constant(np.asarray(drawn).astype(dtype.numpy))


@rule("RandomNormal", "RandomNormalLike")
def random_normal(node: Node) -> Value:
    shape, dtype = _drawn_type(node)
    drawn = random_state(node).standard_normal(shape) * node.number("scale", 1.0) + node.number("mean", 0.0)
    return constant(np.asarray(drawn).astype(dtype.numpy))


def _drawn_type(node: Node) -> tuple[tuple[int, ...], DType]:
    code = node.attributes.get("dtype")
    if node.op_type.endswith("Like"):
        return check_drawn(node.x.shape), node.x.dtype if code is None else element_type(node.integer("dtype"))
    shape = check_dims(node.ints("shape") or (), "its result")
    return check_drawn(shape), f32 if code is None else element_type(node.integer("dtype"))


@rule("Bernoulli")
def bernoulli(node: Node) -> Value:
    """1 with the probability that an element says."""
    x, code = node.x, node.attributes.get("dtype")
    drawn = random_state(node).uniform(0.0, 1.0, check_drawn(x.shape)).astype(x.dtype.numpy)
    return cast(Less(constant(drawn), x).result, x.dtype if code is None else element_type(node.integer("dtype")))


@rule("Multinomial")
def multinomial(node: Node) -> Value:
    """Classes drawn for each row of logarithms of probabilities: how many running totals lie below a random number."""
    x, count = node.x, node.integer("sample_size", 1)
    if x.rank != 2 or count < 1:
        raise ModelError(f"it draws {count} samples from {x.type}", hint="rows of classes, and one sample or more")
    rows, classes = x.shape
    drawn = random_state(node).uniform(0.0, 1.0, check_drawn((rows, count, 1))).astype(np.float32)
    share = Softmax(cast(x, f32), 1).result
    totals = MatMul(share, constant(np.triu(np.ones((classes, classes), np.float32))[:, : classes - 1])).result
    below = Less(Reshape(totals, (rows, 1, classes - 1)).result, constant(drawn)).result
    code = node.attributes.get("dtype")
    place = Reduce(cast(below, i64), "sum", (2,), False).result
    return cast(place, i32 if code is None else element_type(node.integer("dtype")))

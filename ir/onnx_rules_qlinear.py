"""Rules: operators on quantized operands (QLinear*, QGemm), as float operators between `dequantize` and `quantize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, rule
from .onnx_rules_matrix import product
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_quantize import checked_scale, dequantized, quantized
from .onnx_rules_reduce import softmax
from .onnx_rules_shape import inverse, reshaped, transposed
from .onnx_rules_window import average_pool, conv
from .ops import Add, Concat, LeakyRelu, MatMul, Mul, Reduce, Sigmoid, array_of, constant
from .value import Value


def _operand(node: Node, position: int, axis: int | None = None) -> Value:
    """The floats behind three operands: numbers, scale and zero point."""
    x, scale, zero = node.input(position), node.input(position + 1), node.optional(position + 2)
    return dequantized(x, scale, zero, axis, what=f"operand {position}")


def _result(node: Node, x: Value, position: int, source: int = 0) -> Value:
    """x quantized by the scale and zero point at a position; without the latter in the type of operand `source`."""
    return quantized(x, node.input(position), node.optional(position + 1), node.input(source).dtype)


def product_of_scales(a: Value, b: Value) -> Value:
    """The scale of products of two quantized numbers, multiplied at once where both are known."""
    a, b = reshaped(checked_scale(a), ()) if a.type.size == 1 else checked_scale(a), checked_scale(b)
    left, right = array_of(a), array_of(b)
    if left is None or right is None:
        return Mul(a, b).result
    with np.errstate(over="ignore", under="ignore"):
        return constant(np.multiply(left, right, dtype=np.float32))


@rule("QLinearConv")
def qlinear_conv(node: Node) -> Value:
    """The bias is i32, its scale the product of those of input and weight."""
    x, w, bias = _operand(node, 0), _operand(node, 3, 0), node.optional(8)
    if bias is not None:
        bias = dequantized(bias, product_of_scales(node.input(1), node.input(4)), None, 0, what="bias")
    return _result(node, conv(replace(node, inputs=[x, w, bias])), 6)


@rule("QLinearMatMul")
def qlinear_matmul(node: Node) -> Value:
    """Scales may differ by row of the first operand and by column of the second."""
    rows = -2 if node.x.rank > 1 else None
    return _result(node, MatMul(_operand(node, 0, rows), _operand(node, 3, -1)).result, 6)


@rule("QGemm", domain=MICROSOFT)
def qgemm(node: Node) -> Value:
    """alpha * A @ B + C, quantized where a scale for it is given."""
    turn_a, turn_b, alpha = node.flag("transA"), node.flag("transB"), node.number("alpha", 1.0)
    b = _operand(node, 3, 0 if turn_b else 1)
    found = product(_operand(node, 0), b, turn_a, turn_b, alpha)
    bias = node.optional(6)
    if bias is not None:
        scale = product_of_scales(node.input(1), node.input(4))
        scale = scale if alpha == 1 else product_of_scales(constant(np.float32(alpha)), scale)
        found = Add(found, dequantized(bias, scale, None, -1, what="bias")).result
    return _result(node, found, 7) if node.has(7) else found


@rule("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def qlinear_arithmetic(node: Node) -> Value:
    a, b = _operand(node, 0), _operand(node, 3)
    return _result(node, (Add(a, b) if node.op_type == "QLinearAdd" else Mul(a, b)).result, 6)


@rule("QLinearSigmoid", domain=MICROSOFT)
def qlinear_sigmoid(node: Node) -> Value:
    return _result(node, Sigmoid(_operand(node, 0)).result, 3)


@rule("QLinearLeakyRelu", domain=MICROSOFT)
def qlinear_leaky_relu(node: Node) -> Value:
    return _result(node, LeakyRelu(_operand(node, 0), node.number("alpha", 0.01)).result, 3)


@rule("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(node: Node) -> Value:
    """Its attribute says by which version of Softmax the axis is meant."""
    version = node.integer("opset", 13)
    axis = node.integer("axis", -1 if version >= 13 else 1)
    inner = replace(node, inputs=[_operand(node, 0)], version=version, attributes={"axis": axis})
    found = softmax(inner)
    return _result(node, found, 3)


@rule("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(node: Node) -> Value:
    """Scale and zero point of the result first, then three operands for each part."""
    if len(node.inputs) < 5 or len(node.inputs) % 3 != 2:
        raise ModelError(f"it has {len(node.inputs)} operands", hint="2 for the result and 3 for each part")
    parts = tuple(_operand(node, position) for position in range(2, len(node.inputs), 3))
    return _result(node, Concat(parts, node.integer("axis")).result, 0, source=2)


@rule("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(node: Node) -> Value:
    attributes = {"auto_pad": "NOTSET", "ceil_mode": 0, "count_include_pad": 0, **node.attributes}
    pool: Callable[[Value], Value] = lambda x: average_pool(replace(node, inputs=[x], attributes=attributes))  # noqa: E731
    return _result(node, _channels_first(node, pool), 3)


@rule("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(node: Node) -> Value:
    mean: Callable[[Value], Value] = lambda x: Reduce(x, "mean", tuple(range(2, x.rank))).result  # noqa: E731
    return _result(node, _channels_first(node, mean), 3)


def _channels_first(node: Node, compute: Callable[[Value], Value]) -> Value:
    """What `compute` makes of the operand, brought to channels first and back where the node has them last."""
    x = _operand(node, 0)
    if x.rank < 3:
        raise ModelError(f"{x.type} has no spatial dimensions")
    if not node.flag("channels_last"):
        return compute(x)
    order = (0, x.rank - 1, *range(1, x.rank - 1))
    return transposed(compute(transposed(x, order)), inverse(order))

"""Shapes that a model declares, and those that follow: one output has the shape of the operand that it is made from."""

from __future__ import annotations

import onnx

from .onnx_tensors import declared_types
from .types import DType, TensorType

KEEP_SHAPE = frozenset({
    "Abs", "Cast", "CastLike", "Ceil", "Clip", "Cos", "Erf", "Exp", "Floor", "Identity", "Log", "Neg", "Reciprocal",
    "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softmax", "Sqrt", "Tanh",
})  # fmt: skip
"""Operators whose first result has the shape of the first operand."""


def declared_of(graph: onnx.GraphProto, strings: DType) -> dict[str, TensorType]:
    """What the model says of its values, by name; an element type that is not declared is that of the result."""
    found = declared_types([*graph.value_info, *graph.output], strings)
    for node in reversed(graph.node):
        keeps = node.op_type in KEEP_SHAPE and not node.domain and node.input and node.output
        if keeps and node.input[0] and node.output[0] in found:
            found.setdefault(node.input[0], found[node.output[0]])
    return found

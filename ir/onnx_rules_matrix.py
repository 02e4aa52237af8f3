"""Rules: matrix products."""

from __future__ import annotations

from ..errors import ModelError
from .onnx_rules import Node, rule
from .onnx_rules_shape import transposed
from .ops import Add, MatMul, Mul, like
from .value import Value


def product(a: Value, b: Value, turn_a: bool = False, turn_b: bool = False, alpha: float = 1.0) -> Value:
    """alpha times the matrix product, either side with its last two dimensions exchanged."""
    found = MatMul(turned(a) if turn_a else a, turned(b) if turn_b else b).result
    return found if alpha == 1 else Mul(found, like(found, alpha)).result


def turned(x: Value) -> Value:
    """The last two dimensions exchanged."""
    if x.rank < 2:
        raise ModelError(f"{x.type} is no matrix")
    return transposed(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


@rule("Gemm")
def gemm(node: Node) -> Value:
    """alpha * A @ B + beta * C."""
    a, b, c = node.x, node.input(1), node.optional(2)
    if a.rank != 2 or b.rank != 2:
        raise ModelError(f"operands must be matrices, are {a.type} and {b.type}")
    found = product(a, b, node.flag("transA"), node.flag("transB"), node.number("alpha", 1.0))
    beta = node.number("beta", 1.0)
    if c is None or beta == 0:
        return found
    added = Add(found, c if beta == 1 else Mul(c, like(c, beta)).result).result
    if added.shape != found.shape:
        raise ModelError(f"C of shape {list(c.shape)} does not broadcast to {list(found.shape)}")
    return added

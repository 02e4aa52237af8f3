"""Rules: the operators that ONNX Runtime's optimizer writes (domain com.microsoft)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_matrix import gemm, product
from .onnx_rules_window import conv
from .ops import Add, Clip, Elu, Gelu, HardSigmoid, LayerNorm, LeakyRelu, Mul, Relu, Sigmoid, Tanh, like
from .value import Value

MICROSOFT = "com.microsoft"


@rule("FusedMatMul", "TransposeMatMul", domain=MICROSOFT)
def fused_matmul(node: Node) -> Value:
    if node.flag("transBatchA") or node.flag("transBatchB"):
        raise NotCovered("transposed batch dimensions", "a Transpose before it")
    return product(node.x, node.input(1), node.flag("transA"), node.flag("transB"), node.number("alpha", 1.0))


@rule("FusedGemm", domain=MICROSOFT)
def fused_gemm(node: Node) -> Value:
    alpha = node.attributes.get("activation_alpha")
    return _activated(gemm(node), node.text("activation", ""), () if alpha is None else (alpha,))


@rule("FusedConv", domain=MICROSOFT)
def fused_conv(node: Node) -> Value:
    """A convolution, an optional addend, an activation."""
    found = conv(node)
    addend = node.optional(3)
    found = found if addend is None else Add(found, addend).result
    return _activated(found, node.text("activation", ""), node.attributes.get("activation_params") or ())


def _activated(x: Value, name: str, parameters: tuple[float, ...]) -> Value:
    ops: dict[str, Callable[..., Any]] = {
        "Relu": Relu, "Sigmoid": Sigmoid, "Tanh": Tanh, "LeakyRelu": LeakyRelu, "Elu": Elu, "Clip": Clip,
        "HardSigmoid": HardSigmoid,
    }  # fmt: skip
    if not name:
        return x
    if name not in ops:
        raise NotCovered(f"activation '{name}'", ", ".join(ops))
    made: Value = ops[name](x, *parameters).result
    return made


@rule("Gelu", domain=MICROSOFT)
def gelu(node: Node) -> Value:
    return Gelu(node.x).result


@rule("BiasGelu", domain=MICROSOFT)
def bias_gelu(node: Node) -> Value:
    return Gelu(Add(node.x, node.input(1)).result).result


@rule("FastGelu", domain=MICROSOFT)
def fast_gelu(node: Node) -> Value:
    x = Add(node.x, node.input(1)).result if node.has(1) else node.x
    return Gelu(x, "tanh").result


@rule("QuickGelu", domain=MICROSOFT)
def quick_gelu(node: Node) -> Value:
    """x * sigmoid(alpha * x)."""
    scaled = Mul(node.x, like(node.x, node.number("alpha", 1.702))).result
    return Mul(node.x, Sigmoid(scaled).result).result


@rule("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(node: Node) -> tuple[Value | None, ...]:
    """Layer normalization of a sum; the sum itself is the fourth output."""
    total = Add(node.x, node.input(1)).result
    bias = node.optional(4)
    total = total if bias is None else Add(total, bias).result
    y = LayerNorm(total, node.input(2), node.optional(3), -1, node.number("epsilon", 1e-12)).result
    return y, None, None, total


@rule("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(node: Node) -> tuple[Value | None, ...]:
    """RMS normalization of a sum; the sum itself is the fourth output."""
    total = Add(node.x, node.input(1)).result
    bias = node.optional(3)
    total = total if bias is None else Add(total, bias).result
    y = LayerNorm(total, node.input(2), None, -1, node.number("epsilon", 1e-12), centered=False).result
    return y, None, None, total

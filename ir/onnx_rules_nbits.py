"""Rules: products with weights of a few bits, quantized in blocks (MatMulNBits)."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError
from .onnx_packed import unpacked
from .onnx_rules import Array, Node, NotCovered, rule
from .onnx_rules_math import cast
from .onnx_rules_microsoft import MICROSOFT
from .onnx_rules_quantize import checked_scale
from .onnx_rules_shape import reshaped
from .ops import Add, Dequantize, MatMul, Slice, array_of, constant
from .types import u8
from .value import Value

WIDTHS = (4, 8)
WEIGHT, SCALES, ZEROS, ORDER, BIAS = 1, 2, 3, 4, 5


@rule("MatMulNBits", domain=MICROSOFT)
def matmul_nbits(node: Node) -> Value:
    """x [..., K] by a weight [K, N], which is kept as i8 with a scale for each block of a column."""
    if node.has(ORDER):
        raise NotCovered("columns in another order (g_idx)", "a Gather before it")
    x, bias = node.x, node.optional(BIAS)
    found = MatMul(x, cast(_weight(node), x.dtype)).result
    return found if bias is None else Add(found, bias).result


def _weight(node: Node) -> Value:
    """The weight [K, N]: blocks of i8 [K/block, block, N] times their scales [K/block, 1, N]."""
    k, n, bits, block = (node.integer(name) for name in ("K", "N", "bits", "block_size"))
    if bits not in WIDTHS:
        raise NotCovered(f"weights of {bits} bits", "4 or 8 bits")
    if min(k, n, block) < 1 or block * bits % 8:
        raise ModelError(f"K={k}, N={n}, block_size={block} are no shape of a weight")
    blocks, middle = -(-k // block), 1 << (bits - 1)
    if node.input(WEIGHT).dtype != u8:
        raise ModelError(f"weight is {node.input(WEIGHT).dtype.name}", hint="it is stored in u8")
    stored = _sized(node.known(WEIGHT, "weight"), "weight", n, blocks, block * bits // 8)
    numbers = _signed(unpacked(stored, bits), middle)
    scale = _scales(node, n, blocks)
    found = Dequantize(constant(numbers.transpose(1, 2, 0)), scale, _zeros(node, n, blocks, bits)).result
    whole = reshaped(found, (blocks * block, n))
    return whole if blocks * block == k else Slice(whole, (0, 0), (k, n)).result


def _scales(node: Node, n: int, blocks: int) -> Value:
    """Scales may be negative or zero: quantizers give them the sign of the largest number, and empty blocks none."""
    node.known(SCALES, "scales")
    numbers = array_of(checked_scale(node.input(SCALES), signed=True))
    assert numbers is not None
    return constant(_sized(numbers, "scales", n, blocks, 1).transpose(1, 2, 0))


def _zeros(node: Node, n: int, blocks: int, bits: int) -> Value:
    """The zero points, less the middle of the range as the weights are."""
    middle = 1 << (bits - 1)
    if not node.has(ZEROS):
        return constant(np.int8(0))
    stored = node.known(ZEROS, "zero points")
    if node.input(ZEROS).dtype == u8:
        numbers = unpacked(_sized(stored, "zero points", n, -(-blocks * bits // 8)), bits)[:, :blocks]
    else:
        numbers = _whole(_sized(stored, "zero points", n, blocks), (1 << bits) - 1)
    found = _signed(numbers, middle)
    return constant(np.int8(0) if not found.any() else found.T[:, None, :])


def _whole(stored: Array, most: int) -> Array:
    """Zero points given as floats, as the integers that they must be."""
    sound = (stored >= 0) & (stored <= most) & (stored == np.round(stored))
    if not sound.all():
        raise NotCovered(f"a zero point of {stored[~sound][0]}", f"integers from 0 to {most}")
    return stored.astype(np.uint8)


def _signed(numbers: Array, middle: int) -> Array:
    return (numbers.astype(np.int16) - middle).astype(np.int8)


def _sized(array: Array, what: str, *shape: int) -> Array:
    if array.size != np.prod(shape, dtype=object):
        raise ModelError(f"{what} has {array.size} elements, shape {list(shape)} needs {np.prod(shape, dtype=object)}")
    return array.reshape(shape)

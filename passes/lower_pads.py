"""Give every convolution and pooling window an input that is padded already.

Kernels then have no border logic; the planner lets the producer write into the inside of the padded buffer, so that a
border costs the bytes of the border and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..ir import Graph, Rule, Skip, Value, rewrite
from ..ir.ops import Conv, ConvInteger, Pad, Pool
from ..ir.ops.quantize import limits
from .registry import register


def _padded(x: Value, pads: tuple[int, ...], value: float) -> Value:
    half = len(pads) // 2
    return Pad(x, (0, 0, *pads[:half], 0, 0, *pads[half:]), value).result


def pad_convolution(conv: Conv) -> Value | Skip:
    """conv(x, pads) -> conv(pad(x))"""
    if not any(conv.pads):
        return Skip()
    x = _padded(conv.x, conv.pads, 0.0)
    return conv.replace(x=x, pads=(0,) * len(conv.pads)).result  # type: ignore[no-any-return]


def pad_integer_convolution(conv: ConvInteger) -> Value | Skip:
    """conv-integer(x, pads) -> conv-integer(pad(x)): the border holds the zero point"""
    if not any(conv.pads):
        return Skip()
    x = _padded(conv.x, conv.pads, float(conv.x_zero))
    return conv.replace(x=x, pads=(0,) * len(conv.pads)).result  # type: ignore[no-any-return]


def pad_pool(pool: Pool) -> Value | Skip:
    """pool(x, pads) -> pool(pad(x)), with the value that leaves the reduction as it is"""
    if not any(pool.pads) or pool.kind == "average":
        return Skip()
    lowest = limits(pool.x.dtype)[0] if pool.x.dtype.is_integer else -math.inf
    x = _padded(pool.x, pool.pads, lowest if pool.kind == "max" else 0.0)
    return pool.replace(x=x, pads=(0,) * len(pool.pads)).result  # type: ignore[no-any-return]


RULES: list[Rule] = [pad_convolution, pad_integer_convolution, pad_pool]


@register
@dataclass(frozen=True)
class LowerPads:
    """Turn the pads of convolutions and pools into `pad` ops."""

    name: ClassVar[str] = "lower-pads"

    def run(self, graph: Graph) -> Graph:
        rewrite(graph, RULES)
        return graph

"""Which kernel call serves which anchor."""

from __future__ import annotations

from ...ir import Op, Value
from ...ir.ops import Conv, ConvInteger, MatMul, MatMulInteger, PackPanels, PanelMatMul, Pool
from ...targets import Target
from .integer_calls import IntegerCaller
from .kernel_calls import Caller, KernelCall
from .region import Region

ANCHORS = (Conv, ConvInteger, Pool, MatMul, MatMulInteger, PanelMatMul, PackPanels)


def kernel_call(region: Region, pointers: dict[Value, str], name: str, target: Target) -> KernelCall | None:
    """The call that serves a region's anchor; None where a generated loop does."""
    anchor = next((op for op in region.ops if isinstance(op, ANCHORS)), None)
    if anchor is None:
        return None
    if isinstance(anchor, ConvInteger | MatMulInteger) or (isinstance(anchor, Pool) and anchor.x.dtype.name != "f32"):
        return _integer_call(IntegerCaller(region, anchor, pointers, name, target), anchor)
    return _float_call(Caller(region, anchor, pointers, name, target), anchor)


def _integer_call(caller: IntegerCaller, anchor: Op) -> KernelCall:
    if isinstance(anchor, ConvInteger):
        return caller.conv_integer(anchor)
    return caller.product_integer(anchor) if isinstance(anchor, MatMulInteger) else caller.pool_integer(anchor)  # type: ignore[arg-type]


def _float_call(caller: Caller, anchor: Op) -> KernelCall:
    if isinstance(anchor, Conv):
        return caller.depthwise(anchor) if anchor.is_depthwise else caller.conv(anchor)
    if isinstance(anchor, Pool):
        return caller.pool(anchor)
    return caller.pack(anchor) if isinstance(anchor, PackPanels) else caller.product(anchor)  # type: ignore[arg-type]

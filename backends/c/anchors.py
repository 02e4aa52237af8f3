"""Which kernel call serves which anchor."""

from __future__ import annotations

from dataclasses import replace

from ...ir import Op, Value
from ...ir.ops import (
    Attention,
    Conv,
    ConvInteger,
    HalfConv,
    HalfMatMul,
    MatMul,
    MatMulInteger,
    PackPanels,
    PanelMatMul,
    Pool,
    Recurrent,
    WinogradConv,
)
from ...ir.types import f16
from ...kernels.schedules import MODEL, Book
from ...targets import Target
from .attention_calls import AttentionCaller
from .four_bit_calls import FourBitCaller, has_four_bits
from .integer_calls import IntegerCaller
from .interleave_calls import interleave_call
from .kernel_call import KernelCall
from .kernel_calls import Caller
from .product_calls import HalfCaller, ProductCaller
from .recurrent_calls import RecurrentCaller
from .region import Region
from .sparse_calls import SparseCaller
from .stored_calls import half_target
from .table_calls import table_call
from .winograd_calls import WinogradCaller
from .word_calls import WordCaller

ANCHORS = (Conv, ConvInteger, Pool, MatMul, MatMulInteger, PanelMatMul, PackPanels, Recurrent, Attention)


def kernel_call(
    region: Region, pointers: dict[Value, str], name: str, target: Target, book: Book = MODEL
) -> KernelCall | None:
    """The call that serves a region's anchor; None where a generated loop does."""
    anchor = next((op for op in region.ops if isinstance(op, ANCHORS)), None)
    if anchor is None:
        return interleave_call(region, pointers) if not region.ops else table_call(region, pointers)
    if isinstance(anchor, Recurrent):
        return RecurrentCaller(region, anchor, pointers, name, target).recurrent(anchor)
    if isinstance(anchor, Attention):
        return AttentionCaller(region, anchor, pointers, name, target).attention(anchor)
    if isinstance(anchor, ConvInteger | MatMulInteger) or (isinstance(anchor, Pool) and anchor.x.dtype.name != "f32"):
        integers = _integer_caller(region, anchor)(region, anchor, pointers, name, target, book)
        return replace(_integer_call(integers, anchor), asked=integers.asked)
    if isinstance(anchor, WinogradConv):
        tiles = WinogradCaller(region, anchor, pointers, name, target, book)
        return replace(tiles.winograd(anchor), asked=tiles.asked)
    if isinstance(anchor, HalfConv | HalfMatMul) and anchor.to == f16:
        halves = HalfCaller(region, anchor, pointers, name, half_target(target), book)
        call = halves.conv(anchor) if isinstance(anchor, HalfConv) else halves.product(anchor)
        return replace(call, asked=halves.asked)
    kind = Caller if isinstance(anchor, Conv | Pool) else ProductCaller
    caller = kind(region, anchor, pointers, name, target, book)
    dense = replace(_float_call(caller, anchor), asked=caller.asked)
    return SparseCaller(region, anchor, pointers, name, target, book).instead(dense)


def _integer_caller(region: Region, anchor: Op) -> type[IntegerCaller]:
    if anchor.operands[0].dtype.name == "i16":
        return WordCaller
    return FourBitCaller if has_four_bits(region, anchor) else IntegerCaller


def _integer_call(caller: IntegerCaller, anchor: Op) -> KernelCall:
    if isinstance(anchor, ConvInteger):
        return caller.conv_integer(anchor)
    return caller.product_integer(anchor) if isinstance(anchor, MatMulInteger) else caller.pool_integer(anchor)  # type: ignore[arg-type]


def _float_call(caller: Caller, anchor: Op) -> KernelCall:
    if isinstance(anchor, Conv):
        return caller.depthwise(anchor) if anchor.is_depthwise else caller.conv(anchor)
    if isinstance(anchor, Pool):
        return caller.pool(anchor)
    assert isinstance(caller, ProductCaller)
    return caller.pack(anchor) if isinstance(anchor, PackPanels) else caller.product(anchor)  # type: ignore[arg-type]

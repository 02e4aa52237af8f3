"""Convolutions, pools and matrix products of any rank, in terms of the ranks that kernels serve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ir import Skip, Value
from ...ir.ops import (
    Add,
    Conv,
    ConvInteger,
    ConvTranspose,
    MatMul,
    Max,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Slice,
    Transpose,
    array_of,
    constant,
)
from .match import is_constant


def _reshaped(x: Value, shape: tuple[int, ...]) -> Value:
    array = array_of(x)
    return Reshape(x, shape).result if array is None else constant(array.reshape(shape))


# --- one spatial dimension ------------------------------------------------------------------------------------------


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 1, *shape[2:])


def conv_of_rank_3(conv: Conv) -> Value | Skip:
    """A convolution of sequences is one of images of height 1."""
    return _conv_as_image(conv) if conv.x.rank == 3 else Skip()


def integer_conv_of_rank_3(conv: ConvInteger) -> Value | Skip:
    """An integer convolution of sequences is one of images of height 1."""
    return _conv_as_image(conv) if conv.x.rank == 3 else Skip()


def conv_transpose_of_rank_3(conv: ConvTranspose) -> Value | Skip:
    """A transposed convolution of sequences is one of images of height 1."""
    if conv.x.rank != 3:
        return Skip()
    return _conv_as_image(conv, output_padding=(0, *conv.output_padding))


def _conv_as_image(conv: Conv | ConvInteger | ConvTranspose, **more: Any) -> Value:
    begin, end = conv.pads
    made = conv.replace(
        x=_reshaped(conv.x, _flat(conv.x.shape)),
        w=_reshaped(conv.w, _flat(conv.w.shape)),
        strides=(1, *conv.strides),
        dilations=(1, *conv.dilations),
        pads=(0, begin, 0, end),
        **more,
    )
    return Reshape(made.result, conv.type.shape).result


def pool_of_rank_3(pool: Pool) -> Value | Skip:
    """A pool of sequences is one of images of height 1."""
    if pool.x.rank != 3:
        return Skip()
    made = pool.replace(
        x=_reshaped(pool.x, _flat(pool.x.shape)),
        kernel_shape=(1, *pool.kernel_shape),
        strides=(1, *pool.strides),
        dilations=(1, *pool.dilations),
        pads=(0, pool.pads[0], 0, pool.pads[1]),
        counted=(0, pool.counted[0], 0, pool.counted[1]) if pool.counted else (),
    )
    return Reshape(made.result, pool.type.shape).result


# --- three spatial dimensions ---------------------------------------------------------------------------------------


def _depth_first(x: Value, begin: int, end: int, filling: float) -> Value:
    """[N, C, D, H, W] as [N, D, C, H, W] with a border around D."""
    turned = Transpose(x, (0, 2, 1, 3, 4)).result
    if not begin and not end:
        return turned
    return Pad(turned, (0, begin, 0, 0, 0, 0, end, 0, 0, 0), filling).result


def _depth_tap(x: Value, first: int, count: int, stride: int) -> Value:
    """Images [N * count, C, H, W] from [N, D, C, H, W]: depths first, first + stride ..."""
    n, _, *image = x.shape
    part = Slice(x, (0, first, 0, 0, 0), (n, count, *image), (1, stride, 1, 1, 1)).result
    return Reshape(part, (n * count, *image)).result


def _depth_last(images: Value, shape: tuple[int, ...]) -> Value:
    """Images [N * D, C, H, W] as [N, C, D, H, W]."""
    n, _, depth = shape[:3]
    return Transpose(Reshape(images, (n, depth, *images.shape[1:])).result, (0, 2, 1, 3, 4)).result


def conv_of_rank_5(conv: Conv) -> Value | Skip:
    """A convolution of volumes is a sum over its depth taps of convolutions of images."""
    if conv.x.rank != 5:
        return Skip()
    source = _depth_first(conv.x, conv.pads[0], conv.pads[3], 0.0)
    found: Value | None = None
    for tap in range(conv.w.shape[2]):
        images = _depth_tap(source, tap * conv.dilations[0], conv.type.shape[2], conv.strides[0])
        part = conv.replace(
            x=images,
            w=_depth_weight(conv.w, tap),
            bias=conv.bias if found is None else None,
            strides=conv.strides[1:],
            pads=(*conv.pads[1:3], *conv.pads[4:6]),
            dilations=conv.dilations[1:],
        ).result
        found = part if found is None else Add(found, part).result
    assert found is not None
    return _depth_last(found, conv.type.shape)


def _depth_weight(w: Value, tap: int) -> Value:
    array = array_of(w)
    if array is not None:
        return constant(np.ascontiguousarray(array[:, :, tap]))
    m, c, _, *image = w.shape
    return Reshape(Slice(w, (0, 0, tap, 0, 0), (m, c, 1, *image)).result, (m, c, *image)).result


def pool_of_rank_5(pool: Pool) -> Value | Skip:
    """A maximum or sum over volumes is one over depth of those over images."""
    if pool.x.rank != 5 or pool.kind == "average":
        return Skip()
    largest = pool.kind == "max"
    source = _depth_first(pool.x, pool.pads[0], pool.pads[3], _lowest(pool.x) if largest else 0.0)
    depth: Value | None = None
    for tap in range(pool.kernel_shape[0]):
        images = _depth_tap(source, tap * pool.dilations[0], pool.type.shape[2], pool.strides[0])
        depth = images if depth is None else (Max if largest else Add)(depth, images).result
    assert depth is not None
    pads = (*pool.pads[1:3], *pool.pads[4:6])
    flat = Pool(depth, pool.kind, pool.kernel_shape[1:], pool.strides[1:], pads, pool.dilations[1:]).result
    return _depth_last(flat, pool.type.shape)


def _lowest(x: Value) -> float:
    info = np.finfo(x.dtype.numpy) if x.dtype.is_float else np.iinfo(x.dtype.numpy)
    return float(info.min)


# --- matrix products ------------------------------------------------------------------------------------------------


def matmul_of_vectors(product: MatMul) -> Value | Skip:
    """A vector is a matrix of one row or one column."""
    if product.a.rank > 1 and product.b.rank > 1:
        return Skip()
    a = product.a if product.a.rank > 1 else _reshaped(product.a, (1, *product.a.shape))
    b = product.b if product.b.rank > 1 else _reshaped(product.b, (*product.b.shape, 1))
    return Reshape(product.replace(a=a, b=b).result, product.type.shape).result


def matmul_by_matrix(product: MatMul) -> Value | Skip:
    """[..., M, K] @ [1, K, N] -> [..., M, K] @ [K, N]: one matrix for all rows, which kernels take as one product."""
    a, b = product.a, product.b
    if b.rank <= 2 or b.rank > a.rank:
        return Skip()
    if math.prod(b.shape[:-2]) != 1:
        return Skip("both operands are batches") if is_constant(b) else Skip()
    return product.replace(b=_reshaped(b, b.shape[-2:])).result  # type: ignore[no-any-return]


def keep_reduced_dimensions(reduce: Reduce) -> Value | Skip:
    """reduce(keepdims=false) -> reshape(reduce): a reduction keeps its rank, so it fuses with what broadcasts it"""
    if reduce.keepdims:
        return Skip()
    return Reshape(reduce.replace(keepdims=True).result, reduce.type.shape).result


RULES = (
    keep_reduced_dimensions,
    conv_of_rank_3, integer_conv_of_rank_3, conv_transpose_of_rank_3, pool_of_rank_3, conv_of_rank_5, pool_of_rank_5,
    matmul_of_vectors,
    matmul_by_matrix,
)  # fmt: skip

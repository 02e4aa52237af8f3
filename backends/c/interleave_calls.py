"""Calls of the kernel that turns the planes of a picture into pixels."""

from __future__ import annotations

from ...ir import Value
from ...passes.places import Place
from .affine import Affine
from .code import Address, Call, Do, For, Name, Statement, size
from .kernel_call import KernelCall
from .region import Region
from .sizes import number

CHANNELS = 3


def interleave_call(region: Region, pointers: dict[Value, str]) -> KernelCall | None:
    """The call for a copy of [N, 3, H, W] from planes to pixels; None for any other region. A task is a row."""
    source = region.result
    if region.ops or list(region.leaves) != [source] or source.dtype.name != "f32" or source.rank != 4:
        return None
    images, channels, height, width = source.shape
    at, to = region.leaves[source], region.target
    if channels != CHANNELS or at.strides[3] != 1 or (to.strides[1], to.strides[3]) != (1, CHANNELS):
        return None
    args = (_row(pointers[source], at), number(at.strides[1]), _row("y", to), size(width))
    body: list[Statement] = [Do(Call("ec_interleave_f32", args))]
    rows = For("h", Name("begin"), Name("end"), size(1), body)
    return KernelCall("interleave", [For("n", size(0), size(images), size(1), [rows])], height, "ec_interleave_f32.h")


def _row(pointer: str, place: Place) -> Address:
    """Where row h of image n begins."""
    n, _, h, _ = place.strides
    return Address(pointer, Affine.variable("n") * n + Affine.variable("h") * h)

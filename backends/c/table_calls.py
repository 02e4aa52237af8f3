"""Calls of the kernel that looks bytes up in a table."""

from __future__ import annotations

import itertools
import operator

from ...ir import Value
from ...ir.ops import Lookup
from ...passes.places import Place
from .affine import Affine
from .code import Address, Call, Do, Infix, Name
from .kernel_call import KernelCall
from .region import Region


def table_call(region: Region, pointers: dict[Value, str]) -> KernelCall | None:
    """The call for one lookup of unsigned bytes that lie as their results do; None for any other region."""
    op = region.ops[0] if len(region.ops) == 1 else None
    if not isinstance(op, Lookup) or (op.x.dtype.name, op.type.dtype.bits) != ("u8", 8):
        return None
    steps, to = (_steps(op.x.shape, place) for place in (region.leaves[op.x], region.target))
    if steps != to or not _is_dense(steps):
        return None
    begin = Affine.variable("begin")
    count = Infix("-", Name("end"), Name("begin"))
    args = (Address(pointers[op.x], begin), Name(pointers[op.table]), Address("y", begin), count)
    return KernelCall("table_i8", [Do(Call("ec_table_i8", args))], op.type.size, "ec_table_i8.h")


def _steps(shape: tuple[int, ...], place: Place) -> list[tuple[int, int]]:
    """The stride and the extent of each dimension that has more than one element."""
    return [(s, e) for s, e in zip(place.strides, shape, strict=True) if e > 1]


def _is_dense(steps: list[tuple[int, int]]) -> bool:
    """Whether the elements fill one piece of memory, in whatever order."""
    ordered = sorted(steps)
    sizes = itertools.accumulate((extent for _, extent in ordered), operator.mul, initial=1)
    return all(stride == size for (stride, _), size in zip(ordered, sizes, strict=False))

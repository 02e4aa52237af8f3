"""Loops that fill the border of a padded tensor."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.dims import magnitude, upper
from ...ir.ops import Assembly, Box
from ...passes.places import Place
from .affine import Affine, address
from .code import Assign, Element, For, If, Infix, Literal, Name, Statement, size
from .spelling import number

Span = tuple[int, int, int]
"""Start, stop and step along one dimension."""


def border(op: Assembly, box: Box, place: Place) -> list[Statement]:
    """Fill everything outside the box of an assembly of one operand."""
    shape, inner = op.type.shape, op.operands[0].shape
    filling = op.filling
    assert filling is not None
    body: list[Statement] = []
    for spans in slabs(shape, box, inner):
        body.append(_slab(spans, place, number(filling, op.type.dtype)))
    return [If(Infix("<", Name("begin"), Name("end")), body)]


def slabs(shape: tuple[int, ...], box: Box, inner: tuple[int, ...]) -> Iterator[list[Span]]:
    """Spans by dimension that cover what an inner box leaves of a shape, without overlap."""
    within = [(s, s + (n - 1) * t + 1, t) for s, n, t in zip(box.starts, inner, box.steps, strict=True)]
    for axis, extent in enumerate(shape):
        start, stop, step = within[axis]
        gaps = [(start + i, stop - step + i, step) for i in range(1, step)]
        for span in ((0, start, 1), (stop, extent, 1), *gaps):
            if upper(span[1] - span[0]) > 0:
                yield [*within[:axis], span, *((0, d, 1) for d in shape[axis + 1 :])]


def _slab(spans: list[Span], place: Place, value: Literal) -> Statement:
    index = tuple(Affine.variable(f"i{a}") if b - s != 1 else Affine(s) for a, (s, b, _) in enumerate(spans))
    statement: Statement = Assign(Element("y", address(index, place.strides)), value)
    axes = [a for a, (s, b, _) in enumerate(spans) if b - s != 1]
    for axis in sorted(axes, key=lambda a: magnitude(place.strides[a])):
        start, stop, step = spans[axis]
        statement = For(f"i{axis}", size(start), size(stop), size(step), [statement])
    return statement

"""Loops that fill the border of a padded tensor."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.dims import magnitude, upper
from ...ir.ops import Assembly, Box
from ...passes.places import Place
from .affine import Affine, address
from .code import Assign, Element, For, If, Infix, Literal, Name, Statement, size

Span = tuple[int, int]


def border(op: Assembly, box: Box, place: Place, ctype: str) -> list[Statement]:
    """Fill everything outside the box of an assembly of one operand."""
    shape, inner = op.type.shape, op.operands[0].shape
    filling = op.filling
    assert filling is not None
    body: list[Statement] = []
    for spans in slabs(shape, box.starts, inner):
        body.append(_slab(spans, place, Literal(filling, ctype)))
    return [If(Infix("<", Name("begin"), Name("end")), body)]


def slabs(shape: tuple[int, ...], starts: tuple[int, ...], inner: tuple[int, ...]) -> Iterator[list[Span]]:
    """Boxes (start, stop by dimension) that cover what an inner box leaves of a shape, without overlap."""
    for axis, extent in enumerate(shape):
        inside = [(s, s + n) for s, n in zip(starts[:axis], inner[:axis], strict=True)]
        outside = [(0, d) for d in shape[axis + 1 :]]
        for span in ((0, starts[axis]), (starts[axis] + inner[axis], extent)):
            if upper(span[1] - span[0]) > 0:
                yield [*inside, span, *outside]


def _slab(spans: list[Span], place: Place, value: Literal) -> Statement:
    index = tuple(Affine.variable(f"i{a}") if b - s != 1 else Affine(s) for a, (s, b) in enumerate(spans))
    statement: Statement = Assign(Element("y", address(index, place.strides)), value)
    axes = [a for a, (s, b) in enumerate(spans) if b - s != 1]
    for axis in sorted(axes, key=lambda a: magnitude(place.strides[a])):
        start, stop = spans[axis]
        statement = For(f"i{axis}", size(start), size(stop), size(1), [statement])
    return statement

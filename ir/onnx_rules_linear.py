"""Rules: linear algebra on small matrices."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .ops import Add, Mul, Reshape, Slice, Sub
from .value import Value

MOST_ROWS = 4


@rule("Det")
def determinant(node: Node) -> Value:
    """Along the first row: each element times the determinant of what is left without its row and column."""
    x = node.x
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise ModelError(f"{x.type} holds no square matrices")
    if not 1 <= x.shape[-1] <= MOST_ROWS:
        raise NotCovered(f"a determinant of {x.shape[-1]} rows", f"at most {MOST_ROWS}")
    return _minor(x, 0, range(x.shape[-1]))


def _minor(x: Value, row: int, columns: Sequence[int]) -> Value:
    """The determinant of the columns from a row on."""
    first, *others = columns
    total = _entry(x, row, first)
    if not others:
        return total
    total = Mul(total, _minor(x, row + 1, others)).result
    for place, column in enumerate(columns[1:], 1):
        rest = [other for other in columns if other != column]
        term = Mul(_entry(x, row, column), _minor(x, row + 1, rest)).result
        total = Sub(total, term).result if place % 2 else Add(total, term).result
    return total


def _entry(x: Value, row: int, column: int) -> Value:
    starts = (*[0] * (x.rank - 2), row, column)
    return Reshape(Slice(x, starts, (*x.shape[:-2], 1, 1)).result, x.shape[:-2]).result

"""Routines: ops whose places depend on data, each computed by one plain function on row-major tensors."""

from __future__ import annotations

from typing import ClassVar

from ...errors import ModelError
from ..op import EXACT, Op
from ..types import DType, TensorType, i64

MAX_RANK = 8
"""Dimensions that a routine can count through."""

Number = int | float | str | DType | tuple[int, ...]


class Routine(Op):
    """An op that neither fuses nor has loops of its own: a function gets its operands, its results and `numbers`.

    Indices are i64. One that lies outside its dimension is never followed: what would be written there is dropped.
    """

    family: ClassVar[str] = ""
    """Where its function stands."""
    tolerance = EXACT

    def numbers(self) -> dict[str, Number]:
        """What the function is told beside pointers: sizes, element types and choices by name."""
        raise NotImplementedError(f"{type(self).__name__}.numbers")

    @property
    def tasks(self) -> int:
        """Parts of the work that may be done in any order."""
        return 1


def needs_indices(indices: TensorType, what: str = "indices") -> None:
    """Refuse indices that are not i64."""
    if indices.dtype != i64:
        raise ModelError(f"{what} must be i64, are {indices.dtype.name}", hint="cast them")


def needs_rank(*types: TensorType) -> None:
    """Refuse tensors of more dimensions than a routine can count through."""
    for kind in types:
        if kind.rank > MAX_RANK:
            raise ModelError(f"{kind} has {kind.rank} dimensions, at most {MAX_RANK} are supported")

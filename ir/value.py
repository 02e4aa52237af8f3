"""Values of the graph: results of ops and inputs of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .types import DType, TensorType

if TYPE_CHECKING:
    from .op import Op


class Value:
    """One tensor in single assignment: its type, who computes it and who reads it.

    `name` is what the model called it; it may be empty and is for people only, never for identifiers.
    """

    __slots__ = ("index", "name", "producer", "type", "users")

    def __init__(self, type: TensorType, producer: Op | None = None, index: int = 0, name: str = "") -> None:
        self.type = type
        self.producer = producer
        self.index = index
        self.name = name
        self.users: dict[Op, int] = {}
        """Ops of the graph that read this value, and how many times each; graph outputs count as one user."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return self.type.rank

    @property
    def has_one_use(self) -> bool:
        """Whether exactly one operand or graph output reads this value."""
        return sum(self.users.values()) == 1

    def __repr__(self) -> str:
        return f"<{self.name or 'value'}: {self.type}>"

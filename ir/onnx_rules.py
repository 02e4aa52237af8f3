"""What the rules that translate ONNX nodes are made of: the node as a rule sees it, and the table of rules.

    @rule("Flatten")
    def flatten(node: Node) -> Value:
        axis = normal_axis(node.integer("axis"), node.x.rank)
        ...

A rule returns the value of the first output, or a tuple for several (None for one that it cannot give). It raises
`NotCovered` for a sound node that cannot be expressed, `ModelError` for a malformed one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ..errors import ModelError
from .dims import is_open
from .ops import FindSize, array_of, known_sizes
from .types import TEXT_BYTES, DType, TensorType, text
from .value import Value

Array = np.ndarray
Results = Any
"""A value, a tuple of values, a sequence."""


class NotCovered(Exception):
    """A sound node that cannot be expressed: why, and the nearest thing that works."""

    def __init__(self, reason: str, nearest: str = "") -> None:
        self.reason, self.nearest = reason, nearest
        super().__init__(reason)


@dataclass
class Node:
    """One node: its operands as values, its attributes as plain Python with the defaults of its version filled in."""

    op_type: str
    inputs: list[Any]
    """Values; sequences and optionals for the few rules that take them."""
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("",)
    version: int = 0
    domain: str = ""
    name: str = ""
    declared: tuple[TensorType | None, ...] = ()
    """The types that the model declares for its results, where it gives all their dimensions as numbers."""
    examples: dict[Value, Array] = field(default_factory=dict)
    """Values of operands that a run may have, where not every value will do."""
    strings: DType = field(default_factory=partial(text, TEXT_BYTES))
    """The element type of strings."""
    effects: list[Value] = field(default_factory=list)
    """What must be computed before the results although no result reads it: sizes that the run finds."""

    @property
    def declared_shapes(self) -> tuple[tuple[int, ...] | None, ...]:
        """The shape of each result where the model declares it in numbers."""
        return tuple(None if kind is None else kind.shape for kind in self.declared)

    @property
    def declared_first(self) -> tuple[int, ...] | None:
        """The shape that the model declares for the first result."""
        return self.declared_shapes[0] if self.declared else None

    def expects(self, number: Value, wanted: int) -> None:
        """Let the run fail where an i64 number that it computes is not what was compiled for."""
        self.effects.append(FindSize(number, wanted).result)

    def has(self, position: int) -> bool:
        """Whether an operand is given."""
        return self.optional(position) is not None

    def optional(self, position: int) -> Value | None:
        """The operand at a position, None where it is left out."""
        found: Value | None = self.inputs[position] if position < len(self.inputs) else None
        return found

    def input(self, position: int) -> Value:
        """The operand at a position, which must be given."""
        value = self.optional(position)
        if value is None:
            raise ModelError(f"operand {position} is missing")
        return value

    @property
    def x(self) -> Value:
        """The first operand."""
        return self.input(0)

    @property
    def given(self) -> list[Value]:
        """All operands, none of which may be left out."""
        return [self.input(i) for i in range(len(self.inputs))]

    def wants(self, position: int) -> bool:
        """Whether an output is named, so that somebody may read it."""
        return position < len(self.outputs) and bool(self.outputs[position])

    def known(self, position: int, what: str) -> Array:
        """The array of an operand that must be known at compile time; `what` says in errors what it holds."""
        found = array_of(self.input(position))
        if found is None:
            raise NotCovered(f"its {what} (operand {position}) is not known at compile time", f"a constant {what}")
        return found

    def known_ints(self, position: int, what: str) -> tuple[int, ...]:
        """The integers of an operand that must be known at compile time; open sizes among them are dimensions."""
        found = known_sizes(self.input(position))
        if found is None:
            found = self.known(position, what)
        if found.dtype.kind not in "iuO" or found.ndim > 1:
            got = f"{found.dtype}{list(found.shape)}"
            raise ModelError(f"{what} (operand {position}) must be a list of integers, is {got}")
        return tuple(v if is_open(v) else int(v) for v in found.reshape(-1))

    def known_int(self, position: int, what: str) -> int:
        """The integer of an operand that must be known at compile time."""
        found = self.known_ints(position, what)
        if len(found) != 1:
            raise ModelError(f"{what} (operand {position}) must be one integer, has {len(found)}")
        return found[0]

    def known_number(self, position: int, what: str) -> float:
        """The number of an operand of one element that must be known at compile time."""
        found = self.known(position, what)
        if found.size != 1:
            raise ModelError(f"{what} (operand {position}) must be one number, has {found.size}")
        return float(found.reshape(-1)[0])

    def declared_shape(self, position: int, what: str) -> tuple[int, ...]:
        """The shape that the model declares for a result, for want of an operand that is known at compile time."""
        found = self.declared[position] if position < len(self.declared) else None
        if found is None:
            reason = f"its {what} is not known at compile time, nor is the size of its result declared"
            raise NotCovered(reason, f"a constant {what}, or a result of declared size")
        return found.shape

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        return int(self._attribute(name, default, int))

    def flag(self, name: str, default: int | None = 0) -> bool:
        """An integer attribute that means yes or no."""
        return self.integer(name, default) != 0

    def number(self, name: str, default: float | None = None) -> float:
        """A number attribute."""
        return float(self._attribute(name, default, float))

    def text(self, name: str, default: str | None = None) -> str:
        """A string attribute."""
        return str(self._attribute(name, default, str))

    def ints(self, name: str) -> tuple[int, ...] | None:
        """A list attribute, None where it is left out."""
        found = self.attributes.get(name)
        if found is not None and not isinstance(found, tuple):
            raise ModelError(f"attribute '{name}' must be a list")
        return found

    def _attribute(self, name: str, default: Any, kind: type) -> Any:
        found = self.attributes.get(name, default)
        if found is None:
            raise ModelError(f"attribute '{name}' is missing")
        if not isinstance(found, kind) and not (kind is float and isinstance(found, int)):
            raise ModelError(f"attribute '{name}' must be {kind.__name__}, is {type(found).__name__}")
        return found


Rule = Callable[[Node], Results]
RULES: dict[tuple[str, str], Rule] = {}
"""The rule of each (domain, operator)."""

Declared = TypeVar("Declared", bound=Rule)


def rule(*names: str, domain: str = "") -> Callable[[Declared], Declared]:
    """Make a function the rule of ONNX operators."""

    def declare(function: Declared) -> Declared:
        for name in names:
            RULES[(domain, name)] = function
        return function

    return declare


def needs_float(x: Value) -> None:
    """Refuse operands that are not floating-point."""
    if not x.dtype.is_float:
        raise NotCovered(f"element type {x.dtype.name}", "floating-point operands")

"""A small C: the expressions and statements that generated kernels are made of. `printer` turns them into text."""

from __future__ import annotations

from dataclasses import dataclass, field

from .affine import Affine


@dataclass(frozen=True)
class Name:
    """A variable or macro."""

    text: str


@dataclass(frozen=True)
class Literal:
    """A number of a C type: float, double, or an integer type."""

    value: float
    ctype: str = "float"


@dataclass(frozen=True)
class Index:
    """An affine expression of loop variables, of type size_t."""

    affine: Affine


@dataclass(frozen=True)
class Call:
    function: str
    args: tuple[Expression, ...]


@dataclass(frozen=True)
class Infix:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Prefix:
    operator: str
    operand: Expression


@dataclass(frozen=True)
class Choose:
    """condition ? yes : no"""

    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True)
class Convert:
    """A cast to a C type."""

    ctype: str
    operand: Expression


@dataclass(frozen=True)
class Element:
    """pointer[index]"""

    pointer: str
    index: Affine


@dataclass(frozen=True)
class Address:
    """pointer + index"""

    pointer: str
    index: Affine


@dataclass(frozen=True)
class Member:
    """structure.member or, through a pointer, structure->member"""

    structure: str
    member: str


@dataclass(frozen=True)
class Listed:
    """The elements of an array, as the value of a structure's field."""

    items: tuple[Expression, ...]


Expression = Name | Literal | Index | Call | Infix | Prefix | Choose | Convert | Element | Address | Member | Listed


@dataclass(frozen=True)
class Declare:
    """A new variable with its value."""

    ctype: str
    name: str
    value: Expression
    constant: bool = True


@dataclass(frozen=True)
class Assign:
    target: Expression
    value: Expression


@dataclass(frozen=True)
class Do:
    """An expression for its effect."""

    expression: Expression


@dataclass(frozen=True)
class Return:
    value: Expression


@dataclass(frozen=True)
class For:
    """for (size_t variable = start; variable < stop; variable += step)"""

    variable: str
    start: Expression
    stop: Expression
    step: Expression
    body: list[Statement]


@dataclass(frozen=True)
class If:
    condition: Expression
    body: list[Statement]


@dataclass(frozen=True)
class Scope:
    """Statements in braces of their own."""

    body: list[Statement]


@dataclass(frozen=True)
class Remark:
    """A comment; the printer escapes it."""

    text: str


@dataclass(frozen=True)
class Structure:
    """A constant structure or array: `type name = {.field = value, ...};` (fields without names for arrays)."""

    ctype: str
    name: str
    fields: tuple[tuple[str, Expression], ...]


Statement = Declare | Assign | Do | Return | For | If | Scope | Remark | Structure


@dataclass
class Function:
    """A static function; `inline` for epilogues that a kernel takes in, `apart` for those that it calls."""

    result: str
    name: str
    parameters: tuple[str, ...]
    body: list[Statement] = field(default_factory=list)
    inline: bool = False
    apart: bool = False


def size(number: int) -> Index:
    """A constant of type size_t."""
    return Index(Affine(number))


def variable(name: str) -> Index:
    """A loop variable as an expression."""
    return Index(Affine.variable(name))

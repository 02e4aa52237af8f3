"""Scalar expressions: what an elementwise operator means, said once.

`sigmoid(x) = 1 / (1 + exp(-x))` is written as an expression over `Scalar`; numpy evaluation here, C with SIMD and
every other rendering are derived from it. Literals take the element type of the expression around them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scalar:
    """A node of an expression: a primitive applied to others, a literal (`const`) or an operand (`arg`)."""

    primitive: str
    args: tuple[Scalar, ...] = ()
    literal: float = 0.0

    def __add__(self, other: Operand) -> Scalar:
        return apply("add", self, other)

    def __radd__(self, other: Operand) -> Scalar:
        return apply("add", other, self)

    def __sub__(self, other: Operand) -> Scalar:
        return apply("sub", self, other)

    def __rsub__(self, other: Operand) -> Scalar:
        return apply("sub", other, self)

    def __mul__(self, other: Operand) -> Scalar:
        return apply("mul", self, other)

    def __rmul__(self, other: Operand) -> Scalar:
        return apply("mul", other, self)

    def __truediv__(self, other: Operand) -> Scalar:
        return apply("div", self, other)

    def __rtruediv__(self, other: Operand) -> Scalar:
        return apply("div", other, self)

    def __neg__(self) -> Scalar:
        return apply("neg", self)

    def __lt__(self, other: Operand) -> Scalar:
        return apply("lt", self, other)

    def __le__(self, other: Operand) -> Scalar:
        return apply("le", self, other)

    def __gt__(self, other: Operand) -> Scalar:
        return apply("lt", other, self)

    def __ge__(self, other: Operand) -> Scalar:
        return apply("le", other, self)


Operand = Scalar | float


def lift(value: Operand) -> Scalar:
    """A literal as an expression."""
    return value if isinstance(value, Scalar) else Scalar("const", literal=float(value))


def argument(position: int) -> Scalar:
    """The operand at a position."""
    return Scalar("arg", literal=float(position))


def apply(primitive: str, *args: Operand) -> Scalar:
    """A primitive applied to expressions and literals."""
    return Scalar(primitive, tuple(lift(a) for a in args))


def _named(primitive: str) -> Callable[..., Scalar]:
    return lambda *args: apply(primitive, *args)


exp, log, tanh, erf, sqrt = (_named(n) for n in ("exp", "log", "tanh", "erf", "sqrt"))
asin, acos, atan = (_named(n) for n in ("asin", "acos", "atan"))
sin, cos, floor, ceil, round_even = (_named(n) for n in ("sin", "cos", "floor", "ceil", "round"))
absolute, power, select, equal = (_named(n) for n in ("abs", "pow", "select", "eq"))
sigmoid = _named("sigmoid")
power_of_two = _named("power_of_two")
"""`power_of_two(n)`: 2^n, exact, for whole n from -126 to 127."""
maximum, minimum = _named("max"), _named("min")
"""`maximum(constant, x)`: the constant stands first, so that a NaN in x survives on every instruction set."""
logical_and, logical_or, logical_not, remainder = (_named(n) for n in ("and", "or", "not", "mod"))


def _erf(x: Array) -> Array:
    """erf by the complementary error function's continued rational fit, in double precision (below 1e-15)."""
    import math

    wide = np.asarray(x, np.float64)
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(wide), np.asarray(x).dtype)


def divide(a: Array, b: Array) -> Array:
    """The quotient; of integers rounded to zero, exact, and 0 where the divisor is."""
    if np.issubdtype(np.result_type(a, b), np.floating):
        return np.divide(a, b)
    return np.asarray(np.floor_divide(a - np.fmod(a, b), b))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + e), e / (1 + e)), x.dtype)


def _ordered(choose: Callable[..., Array]) -> Callable[[Array, Array], Array]:
    """min or max that returns its second operand when the two are unordered."""
    return lambda a, b: np.where(np.isnan(b), b, np.where(np.isnan(a), b, choose(a, b)))


@dataclass(frozen=True)
class Primitive:
    """What a primitive computes on numpy arrays, how many operands it takes and its rough cost in operations."""

    numpy: Callable[..., Array]
    arity: int
    cost: int = 1
    result: str = "same"


PRIMITIVES: dict[str, Primitive] = {
    "add": Primitive(np.add, 2),
    "sub": Primitive(np.subtract, 2),
    "mul": Primitive(np.multiply, 2),
    "div": Primitive(divide, 2, 8),
    "mod": Primitive(np.fmod, 2, 20),
    "pow": Primitive(np.power, 2, 40),
    "min": Primitive(_ordered(np.minimum), 2),
    "max": Primitive(_ordered(np.maximum), 2),
    "neg": Primitive(np.negative, 1),
    "abs": Primitive(np.abs, 1),
    "sqrt": Primitive(np.sqrt, 1, 8),
    "exp": Primitive(np.exp, 1, 15),
    "log": Primitive(np.log, 1, 20),
    "tanh": Primitive(np.tanh, 1, 20),
    "sigmoid": Primitive(_sigmoid, 1, 20),
    "power_of_two": Primitive(lambda n: np.ldexp(np.ones_like(n), n.astype(np.int32)), 1, 2),
    "erf": Primitive(_erf, 1, 30),
    "sin": Primitive(np.sin, 1, 25),
    "cos": Primitive(np.cos, 1, 25),
    "floor": Primitive(np.floor, 1),
    "ceil": Primitive(np.ceil, 1),
    "round": Primitive(np.round, 1),
    "lt": Primitive(np.less, 2, result="bool"),
    "le": Primitive(np.less_equal, 2, result="bool"),
    "eq": Primitive(np.equal, 2, result="bool"),
    "and": Primitive(np.logical_and, 2, result="bool"),
    "or": Primitive(np.logical_or, 2, result="bool"),
    "xor": Primitive(np.logical_xor, 2, result="bool"),
    "not": Primitive(np.logical_not, 1, result="bool"),
    "select": Primitive(np.where, 3),
    "asin": Primitive(np.arcsin, 1, 25),
    "acos": Primitive(np.arccos, 1, 25),
    "atan": Primitive(np.arctan, 1, 25),
    "bitand": Primitive(np.bitwise_and, 2),
    "bitor": Primitive(np.bitwise_or, 2),
    "bitxor": Primitive(np.bitwise_xor, 2),
    "bitnot": Primitive(np.invert, 1),
    "shl": Primitive(np.left_shift, 2),
    "shr": Primitive(np.right_shift, 2),
}


def nodes_of(expression: Scalar) -> tuple[list[Scalar], dict[int, int]]:
    """The distinct nodes of an expression, operands first, and how often each is used, by identity."""
    order: list[Scalar] = []
    uses: dict[int, int] = {id(expression): 1}
    placed: set[int] = set()
    stack: list[tuple[Scalar, bool]] = [(expression, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in placed:
            placed.add(id(node))
            stack.append((node, True))
            for arg in reversed(node.args):
                uses[id(arg)] = uses.get(id(arg), 0) + 1
                stack.append((arg, False))
    return order, uses


def evaluate(expression: Scalar, operands: Sequence[Array], kind: np.dtype) -> Array:
    """The numpy value of an expression; `kind` is the element type that literals take."""
    values: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for node in nodes_of(expression)[0]:
            if node.primitive == "arg":
                values[id(node)] = operands[int(node.literal)]
            elif node.primitive == "const":
                values[id(node)] = np.asarray(node.literal).astype(kind)
            else:
                values[id(node)] = PRIMITIVES[node.primitive].numpy(*(values[id(a)] for a in node.args))
    return values[id(expression)]


def cost(expression: Scalar) -> int:
    """Rough operations per element."""
    return sum(PRIMITIVES[n.primitive].cost for n in nodes_of(expression)[0] if n.primitive in PRIMITIVES)

"""Scalar expressions in tensor IR: what an elementwise operator means, from its one declaration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...ir import DType
from ...ir.scalar import Scalar, nodes_of
from . import functions
from .functions import Bind, larger, number, smaller
from .packages import Expr, kind_of, tirx

DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "bool": "bool",
    **{f"{short}{bits}": f"{long}{bits}" for short, long in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)},
}  # fmt: skip
"""TVM's name of each element type."""

MOST_SPELLED = 2
"""Elementary functions of one expression that are spelled out; further ones are calls, for TVM takes too long else."""

PREDICATES = {"lt", "le", "eq", "and", "or", "xor", "not"}
_PLAIN: dict[str, Callable[..., Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": larger,
    "min": smaller,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "eq": lambda a, b: _whole(a).equal(_whole(b)),
    "and": lambda a, b: tirx.all(_truth(a), _truth(b)),
    "or": lambda a, b: tirx.any(_truth(a), _truth(b)),
    "xor": lambda a, b: _whole(_truth(a)) != _whole(_truth(b)),
    "not": lambda a: tirx.Not(_truth(a)),
    "select": lambda c, a, b: tirx.Select(_truth(c), a, b),
}
_FLOAT = {"abs": "abs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "nearbyint"}
_FLOAT |= {"exp": "exp", "log": "log", "tanh": "tanh", "erf": "erf", "sigmoid": "sigmoid", "sin": "sin", "cos": "cos"}
_FLOAT |= {name: name for name in ("asin", "acos", "atan")}


def spelled(expression: Scalar, operands: Sequence[Expr], dtype: DType, bind: Bind) -> Expr:
    """The value of an expression over elements of one type.

    Parts that occur more than once go through `bind`. Every operation is rounded by itself, as `evaluate` does it.
    """
    order, uses = nodes_of(expression)
    values: dict[int, Expr] = {}
    dear = 0
    for node in order:
        if node.primitive == "arg":
            values[id(node)] = operands[int(node.literal)]
        elif node.primitive == "const":
            values[id(node)] = literal(node.literal, dtype)
        else:
            dear += node.primitive in functions.UNARY
            args = [values[id(a)] for a in node.args]
            if dear > MOST_SPELLED and node.primitive in functions.UNARY and dtype.is_float:
                value = getattr(tirx, node.primitive)(args[0])
            else:
                value = _applied(node.primitive, args, dtype, bind)
            values[id(node)] = bind(value) if uses[id(node)] > 1 else value
    return values[id(expression)]


def literal(value: float, dtype: DType) -> Expr:
    """A number of an element type."""
    if dtype.name == "bool":
        return tirx.const(bool(value), "bool")
    return number(value if dtype.is_float else int(value), DTYPES[dtype.name])


def _applied(primitive: str, args: list[Expr], dtype: DType, bind: Bind) -> Expr:
    if primitive == "mul" and dtype.name == "f32":
        return fenced(args[0] * args[1])
    if primitive in _PLAIN:
        return _PLAIN[primitive](*args)
    return _float(primitive, args, dtype, bind) if dtype.is_float else _integer(primitive, args, dtype)


def fenced(product: Expr) -> Expr:
    """A product that no multiply-add swallows: it is rounded as `evaluate` rounds it."""
    return tirx.call_llvm_pure_intrin("float32", "llvm.arithmetic.fence", product)


def _float(primitive: str, args: list[Expr], dtype: DType, bind: Bind) -> Expr:
    if primitive == "div":
        return args[0] / args[1]
    if primitive == "neg":
        return number(-0.0, DTYPES[dtype.name]) - args[0]
    if primitive == "mod":
        return tirx.call_pure_extern(DTYPES[dtype.name], "fmodf" if dtype.name == "f32" else "fmod", *args)
    if dtype.name != "f32" and primitive in ("pow", "power_of_two"):
        base = args[0] if primitive == "pow" else number(2.0, DTYPES[dtype.name])
        return tirx.power(base, args[-1])
    if primitive == "pow":
        return functions.power(bind(args[0]), bind(args[1]), bind)
    if primitive == "power_of_two":
        return functions.power_of_two(args[0])
    if dtype.name == "f32" and primitive in functions.UNARY:
        return functions.UNARY[primitive](bind(args[0]), bind)
    return getattr(tirx, _FLOAT[primitive])(args[0])


def _integer(primitive: str, args: list[Expr], dtype: DType) -> Expr:
    kind = DTYPES[dtype.name]
    zero = tirx.const(0, kind)
    if primitive in ("div", "mod"):
        divisor = tirx.Select(args[1].equal(zero), tirx.const(1, kind), args[1])
        return tirx.truncdiv(args[0], divisor) if primitive == "div" else tirx.truncmod(args[0], divisor)
    if primitive == "neg":
        return zero - args[0]
    if primitive == "abs":
        return args[0] if dtype.name.startswith("u") else tirx.Select(args[0] < zero, zero - args[0], args[0])
    if primitive in ("floor", "ceil", "round"):
        return args[0]
    if primitive in _BITS:
        return getattr(tirx, _BITS[primitive])(*args)
    if primitive in ("shl", "shr"):
        return _shifted(primitive, args, dtype)
    wide = [tirx.Cast("float64", a) for a in args]
    found = tirx.power(*wide) if primitive == "pow" else getattr(tirx, _FLOAT[primitive])(wide[0])
    return tirx.Cast(kind, found)


def _shifted(primitive: str, args: list[Expr], dtype: DType) -> Expr:
    """A shift by the width or more, or by less than nothing, leaves the sign of a shift to the right, else 0."""
    kind = DTYPES[dtype.name]
    zero, last = tirx.const(0, kind), tirx.const(dtype.bits - 1, kind)
    within = tirx.all(args[1] >= zero, args[1] <= last)
    places = tirx.Select(within, args[1], last)
    if primitive == "shr" and dtype.name.startswith("i"):
        return tirx.shift_right(args[0], places)
    moved = (tirx.shift_left if primitive == "shl" else tirx.shift_right)(args[0], places)
    return tirx.Select(within, moved, zero)


_BITS = {"bitand": "bitwise_and", "bitor": "bitwise_or", "bitxor": "bitwise_xor", "bitnot": "bitwise_not"}


def _whole(value: Expr) -> Expr:
    """A value that LLVM compares as a number: a bool as an integer."""
    return tirx.Cast("int32", value) if kind_of(value) == "bool" else value


def _truth(value: Expr) -> Expr:
    return value if kind_of(value) == "bool" else value != tirx.const(0, kind_of(value))

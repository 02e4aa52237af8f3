"""How primitives are spelled in C: on vectors of floats, and on scalars of any element type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...ir import DType
from ...ir.scalar import Scalar, nodes_of
from ...ir.types import DTYPES
from .code import Call, Choose, Convert, Expression, Infix, Literal, Prefix

CTYPES = {
    "f32": "float", "f64": "double", "i8": "int8_t", "i16": "int16_t", "i32": "int32_t", "i64": "int64_t",
    "u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "bool": "uint8_t",
}  # fmt: skip
CTYPES |= {kind.name: f"uint{8 * kind.bytes}_t" for kind in DTYPES.values() if kind.is_narrow}
"""The C type that an element is stored and computed in."""


def ctype_of(dtype: DType) -> str:
    """The C type of an element, that of a string being a structure of its bytes."""
    return f"ec_{dtype.name}" if dtype.is_text else CTYPES[dtype.name]


TEXT_TYPE = """\
#ifndef EC_TEXT_{size}
#define EC_TEXT_{size}
typedef struct {{
    char bytes[{size}];
}} ec_text{size};
#endif"""
"""The structure of a string."""

VECTOR = {
    "add": "ec_f32_add", "sub": "ec_f32_sub", "mul": "ec_f32_mul", "div": "ec_f32_div", "min": "ec_f32_min",
    "max": "ec_f32_max", "neg": "ec_f32_neg", "abs": "ec_f32_abs", "sqrt": "ec_f32_sqrt", "exp": "ec_f32_exp",
    "log": "ec_f32_log", "tanh": "ec_f32_tanh", "erf": "ec_f32_erf", "sigmoid": "ec_f32_sigmoid", "sin": "ec_f32_sin",
    "cos": "ec_f32_cos", "pow": "ec_f32_pow", "floor": "ec_f32_floor", "ceil": "ec_f32_ceil", "round": "ec_f32_round",
    "lt": "ec_f32_lt", "le": "ec_f32_le", "eq": "ec_f32_eq", "and": "ec_m32_and", "or": "ec_m32_or",
    "xor": "ec_m32_xor", "not": "ec_m32_not", "select": "ec_f32_select",
    "power_of_two": "ec_f32_power_of_two", "asin": "ec_f32_asin", "acos": "ec_f32_acos", "atan": "ec_f32_atan",
}  # fmt: skip
"""Primitives on vectors; predicates give and take masks."""

MATH_HEADER = {"exp", "log", "tanh", "erf", "sigmoid", "sin", "cos", "asin", "acos", "atan", "pow", "power_of_two"}
PREDICATES = {"lt", "le", "eq", "and", "or", "xor", "not"}

_LIBM = {n: n for n in ("exp", "log", "tanh", "erf", "sin", "cos", "sqrt", "floor", "ceil", "pow", "fmod")}
_LIBM |= {n: n for n in ("asin", "acos", "atan")}
_LIBM |= {"round": "rint", "abs": "fabs", "mod": "fmod"}
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_INFIX |= {"lt": "<", "le": "<=", "eq": "==", "xor": "!=", "and": "&&", "or": "||"}
_INFIX |= {"bitand": "&", "bitor": "|", "bitxor": "^"}


def number(value: float, dtype: DType) -> Literal:
    """A number as an element is stored: narrow ones by their bits."""
    if dtype.is_narrow:
        bits = np.asarray(value).astype(dtype.numpy).reshape(1).view(f"u{dtype.bytes}")[0]
        value = int(bits) & (1 << dtype.bits) - 1
    return Literal(value, CTYPES[dtype.name])


def cast(operand: Expression, given: DType, to: DType, saturate: bool, rounding: str) -> Expression:
    """An element of one type as an element of another."""
    value = Call(f"ec_{given.name}_value", (operand,)) if given.is_narrow else operand
    if to.name == "bool":
        return Infix("!=", value, Literal(0, CTYPES[given.wide.name]))
    if not to.is_narrow:
        return Convert(CTYPES[to.name], value)
    if to.is_integer:
        return Call(f"ec_{to.name}_bits", (Convert("int64_t", value),))
    ways = (Literal(("up", "down", "nearest").index(rounding), "int32_t"),) if to.name == "f8e8m0" else ()
    limit = int(saturate and to.bits == 8)
    return Call(f"ec_{to.name}_bits", (Convert("double", value), Literal(limit, "int32_t"), *ways))


_BITS_OF = {"f32": "ec_bits_of_float", "f64": "ec_bits_of_double"}
_OF_BITS = {"f32": "ec_float_of_bits", "f64": "ec_double_of_bits"}


def bit_cast(operand: Expression, given: DType, to: DType) -> Expression:
    """The bits of an element as an element of another type."""
    bits = Call(_BITS_OF[given.name], (operand,)) if given.name in _BITS_OF else operand
    if to.name in _OF_BITS:
        return Call(_OF_BITS[to.name], (Convert(f"uint{to.bits}_t", bits),))
    return Infix("!=", bits, Literal(0, "int32_t")) if to.name == "bool" else Convert(CTYPES[to.name], bits)


Share = Callable[[Expression, str], Expression]
"""Puts an expression of a C type in a variable and returns the variable."""


def vector(expression: Scalar, operands: Sequence[Expression], share: Share) -> Expression:
    """A scalar expression over vectors of floats; parts that occur more than once are shared."""

    def spell(node: Scalar, args: list[Expression]) -> Expression:
        if node.primitive == "const":
            return Call("ec_f32_set", (Literal(node.literal),))
        return Call(VECTOR[node.primitive], tuple(args))

    def ctype(node: Scalar) -> str:
        return "ec_m32" if node.primitive in PREDICATES else "ec_f32"

    return _walk(expression, operands, spell, lambda node, value: share(value, ctype(node)))


def _walk(
    expression: Scalar,
    operands: Sequence[Expression],
    spell: Callable[[Scalar, list[Expression]], Expression],
    share: Callable[[Scalar, Expression], Expression],
) -> Expression:
    """Spell an expression from its leaves up, each node once however often it occurs (nodes are told by identity)."""
    order, uses = nodes_of(expression)
    spelled: dict[int, Expression] = {}
    for node in order:
        if node.primitive == "arg":
            spelled[id(node)] = operands[int(node.literal)]
            continue
        value = spell(node, [spelled[id(a)] for a in node.args])
        spelled[id(node)] = share(node, value) if uses[id(node)] > 1 and node.args else value
    return spelled[id(expression)]


def is_vector(expression: Scalar) -> bool:
    """Whether every primitive has a spelling on vectors."""
    return all(n.primitive in VECTOR or n.primitive in ("arg", "const") for n in nodes_of(expression)[0])


def scalar(expression: Scalar, operands: Sequence[Expression], dtype: DType, share: Share) -> Expression:
    """A scalar expression over single elements of one type; parts that occur more than once are shared."""

    def spell(node: Scalar, args: list[Expression]) -> Expression:
        if node.primitive == "const":
            return Literal(node.literal, CTYPES[dtype.name])
        special = _SPECIAL.get(node.primitive)
        return special(args, dtype) if special else _plain(node.primitive, args, dtype)

    def ctype(node: Scalar) -> str:
        return "uint8_t" if node.primitive in PREDICATES else CTYPES[dtype.name]

    return _walk(expression, operands, spell, lambda node, value: share(value, ctype(node)))


def _plain(primitive: str, args: list[Expression], dtype: DType) -> Expression:
    if primitive in _LIBM:
        return _libm(_LIBM[primitive], args, dtype)
    return _narrowed(Infix(_INFIX[primitive], *args), primitive, dtype)


def _narrowed(value: Expression, primitive: str, dtype: DType) -> Expression:
    """C computes small integers as int: bring the result back to its type."""
    small = dtype.is_integer and dtype.bits < 32 and primitive not in PREDICATES
    return Convert(CTYPES[dtype.name], value) if small else value


def _libm(name: str, args: list[Expression], dtype: DType) -> Expression:
    if dtype.is_float:
        return Call(name + ("f" if dtype.name == "f32" else ""), tuple(args))
    return Convert(CTYPES[dtype.name], Call(name, tuple(Convert("double", a) for a in args)))


def _divide(args: list[Expression], dtype: DType) -> Expression:
    return _integer_call("ec_divide", args, dtype) if dtype.is_integer else Infix("/", *args)


def _remainder(args: list[Expression], dtype: DType) -> Expression:
    return _integer_call("ec_remainder", args, dtype) if dtype.is_integer else _libm("fmod", args, dtype)


def _integer_call(name: str, args: list[Expression], dtype: DType) -> Expression:
    kind = "u64" if dtype.name.startswith("u") else "i64"
    return Convert(CTYPES[dtype.name], Call(f"{name}_{kind}", tuple(args)))


def _absolute(args: list[Expression], dtype: DType) -> Expression:
    if dtype.is_float:
        return _libm("fabs", args, dtype)
    return _narrowed(Choose(Infix("<", args[0], Literal(0, "int32_t")), Prefix("-", args[0]), args[0]), "abs", dtype)


def _sigmoid(args: list[Expression], dtype: DType) -> Expression:
    return Call("ec_sigmoid_double" if dtype.name == "f64" else "ec_sigmoid_float", tuple(args))


def _power_of_two(args: list[Expression], dtype: DType) -> Expression:
    one = Literal(1.0, CTYPES[dtype.name])
    return Call("ldexp" if dtype.name == "f64" else "ldexpf", (one, Convert("int", args[0])))


def _shifted_left(args: list[Expression], dtype: DType) -> Expression:
    ctype = CTYPES[dtype.name]
    moved = Convert(ctype, Infix("<<", Convert("uint64_t", args[0]), args[1]))
    return Choose(_within(args[1], dtype), moved, Literal(0, ctype))


def _shifted_right(args: list[Expression], dtype: DType) -> Expression:
    ctype = CTYPES[dtype.name]
    sign: Expression = Literal(0, ctype)
    if dtype.name.startswith("i"):
        sign = Convert(ctype, Prefix("-", Convert("int", Infix("<", args[0], sign))))
    return Choose(_within(args[1], dtype), Convert(ctype, Infix(">>", *args)), sign)


def _within(places: Expression, dtype: DType) -> Expression:
    """Whether a shift is by less than the width; C leaves others open."""
    return Infix("<", Convert("uint64_t", places), Literal(dtype.bits, "int32_t"))


_SPECIAL: dict[str, Callable[[list[Expression], DType], Expression]] = {
    "div": _divide,
    "mod": _remainder,
    "abs": _absolute,
    "sigmoid": _sigmoid,
    "power_of_two": _power_of_two,
    "min": lambda args, dtype: Choose(Infix("<", *args), *args),
    "max": lambda args, dtype: Choose(Infix(">", *args), *args),
    "neg": lambda args, dtype: _narrowed(Prefix("-", args[0]), "neg", dtype),
    "not": lambda args, dtype: Prefix("!", args[0]),
    "select": lambda args, dtype: Choose(*args),
    "bitnot": lambda args, dtype: Convert(CTYPES[dtype.name], Prefix("~", args[0])),
    "shl": _shifted_left,
    "shr": _shifted_right,
}

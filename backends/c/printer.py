"""Text of the small C, indented as clang-format would have it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...escaping import comment
from ...ir.dims import is_open
from .affine import Affine
from .code import (
    Address,
    Assign,
    Call,
    Choose,
    Convert,
    Declare,
    Do,
    Element,
    Expression,
    For,
    Function,
    If,
    Index,
    Infix,
    Listed,
    Literal,
    Member,
    Name,
    Prefix,
    Remark,
    Return,
    Scope,
    Statement,
    Structure,
)
from .sizes import spelled

WIDTH = 116


def print_function(function: Function) -> str:
    """The text of a function definition."""
    inline = "EC_APART " if function.apart else "EC_INLINE " if function.inline else "static "
    head = f"{inline}{function.result} {function.name}("
    head = _wrapped(head, list(function.parameters), ")", len(head))
    return "\n".join([head, "{", *print_block(function.body, 1), "}", ""])


def print_block(statements: Iterable[Statement], depth: int) -> list[str]:
    """Lines of statements at an indentation."""
    return [line for s in statements for line in _statement(s, depth)]


def _statement(s: Statement, depth: int) -> list[str]:
    pad = "    " * depth
    if isinstance(s, For):
        v = s.variable
        step = f"{v}++" if s.step == Index(Affine(1)) else f"{v} += {expression(s.step)}"
        head = f"{pad}for (size_t {v} = {expression(s.start)}; {v} < {expression(s.stop)}; {step}) {{"
        return [head, *print_block(s.body, depth + 1), pad + "}"]
    if isinstance(s, If):
        return [f"{pad}if ({expression(s.condition)}) {{", *print_block(s.body, depth + 1), pad + "}"]
    if isinstance(s, Scope):
        return [pad + "{", *print_block(s.body, depth + 1), pad + "}"]
    if isinstance(s, Remark):
        return [f"{pad}/* {comment(s.text, WIDTH)} */"]
    if isinstance(s, Structure):
        fields = [f".{n} = {expression(e)}" if n else expression(e) for n, e in s.fields]
        head = f"{pad}{s.ctype} {s.name} = {{"
        return [_wrapped(head, fields, "};", len(head))]
    return [pad + _simple(s)]


def _simple(s: Statement) -> str:
    if isinstance(s, Declare):
        const = "const " if s.constant and not s.ctype.startswith("const") and "*" not in s.ctype else ""
        space = "" if s.ctype.endswith("*") else " "
        return f"{const}{s.ctype}{space}{s.name} = {expression(s.value)};"
    if isinstance(s, Assign):
        return f"{expression(s.target)} = {expression(s.value)};"
    if isinstance(s, Do):
        return f"{expression(s.expression)};"
    if isinstance(s, Return):
        return f"return {expression(s.value)};"
    raise TypeError(f"no text for {s}")


def _wrapped(head: str, items: list[str], tail: str, indent: int) -> str:
    """Items after a head, broken into lines at the width and aligned under the first."""
    lines, line = [], head
    for i, item in enumerate(items):
        text = item + (tail if i == len(items) - 1 else ",")
        if len(line) + len(text) > WIDTH and line.strip() and line != head:
            lines.append(line.rstrip())
            line = " " * indent
        line += text + " "
    return "\n".join([*lines, line.rstrip() if items else head + tail])


def expression(e: Expression) -> str:
    """The text of an expression."""
    return _TEXTS[type(e)](e)


def _call(e: Call) -> str:
    return f"{e.function}({', '.join(expression(a) for a in e.args)})"


def _choose(e: Choose) -> str:
    return f"{_operand(e.condition)} ? {_operand(e.yes)} : {_operand(e.no)}"


def _address(e: Address) -> str:
    return e.pointer if e.index == Affine() else f"{e.pointer} + {affine(e.index)}"


_TEXTS: dict[type, Callable[[Any], str]] = {
    Name: lambda e: e.text,
    Literal: lambda e: literal(e.value, e.ctype),
    Index: lambda e: affine(e.affine),
    Call: _call,
    Infix: lambda e: f"{_operand(e.left)} {e.operator} {_operand(e.right)}",
    Prefix: lambda e: f"{e.operator}{_operand(e.operand)}",
    Choose: _choose,
    Convert: lambda e: f"({e.ctype}){_operand(e.operand)}",
    Element: lambda e: f"{e.pointer}[{affine(e.index)}]",
    Address: _address,
    Listed: lambda e: f"{{{', '.join(expression(i) for i in e.items)}}}",
    Member: lambda e: f"{e.structure}->{e.member}",
}


def _operand(e: Expression) -> str:
    text = expression(e)
    simple = isinstance(e, Name | Call | Element | Member) or (isinstance(e, Literal) and e.value >= 0)
    return text if simple or text.isdigit() or text.isidentifier() else f"({text})"


def _term(name: str, factor: int) -> str:
    if is_open(factor):
        return f"{name} * {_grouped(spelled(factor))}"
    return name if abs(factor) == 1 else f"{name} * {abs(factor)}"


def is_negative(factor: int) -> bool:
    """Whether a factor is written with a minus before it; an open one brings its own."""
    return not is_open(factor) and factor < 0


def _grouped(text: str) -> str:
    return text if text.isidentifier() else f"({text})"


def affine(a: Affine) -> str:
    """`n * 12 + h + 3`; negative factors are subtracted."""
    parts = [(is_negative(f), _term(n, f)) for n, f in a.terms]
    parts.sort(key=lambda part: part[0])
    text = ""
    for negative, term in parts:
        sign = ("-" if negative else "") if not text else (" - " if negative else " + ")
        text += sign + term
    if not text:
        return spelled(a.constant)
    if is_open(a.constant):
        return f"{text} + {_grouped(spelled(a.constant))}"
    return text if not a.constant else f"{text} {'-' if a.constant < 0 else '+'} {abs(a.constant)}"


def literal(value: float, ctype: str) -> str:
    """A number as C writes it, so that it reads back to the same bits."""
    if ctype not in ("float", "double"):
        return _integer(int(value), ctype)
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "-INFINITY" if value < 0 else "INFINITY"
    short = repr(float(np.float32(value))) if ctype == "double" and float(np.float32(value)) == value else repr(value)
    if ctype == "float":
        short = str(np.float32(value))
    if "." not in short and "e" not in short:
        short += ".0"
    return short + ("f" if ctype == "float" else "")


def _integer(value: int, ctype: str) -> str:
    if ctype == "int64_t" and value == -(2**63):
        return "INT64_MIN"
    if ctype in ("int64_t", "uint64_t"):
        return f"{'U' if ctype[0] == 'u' else ''}INT64_C({value})"
    return f"{value}U" if ctype.startswith("u") and value > 2**31 - 1 else str(value)

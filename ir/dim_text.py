"""Reading dimensions: `batch`, `seq*2+1`, `(width+1)//2`, `min(a, 8)`, and the bounds `batch=1..8`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from ..errors import ModelError
from ..escaping import escape
from .dims import Symbol, greatest, least, symbol

LONGEST = 1000
"""Characters of a dimension's text."""
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def identifier(name: str) -> str:
    """A name as C and the text form spell it."""
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return found if NAME.fullmatch(found) else f"dim_{found}"


def parse_dim(text: str, symbols: Mapping[str, Symbol]) -> int:
    """The dimension that a text spells; `ModelError` where it is not one or names a size that is not declared."""
    if text.strip().isdecimal():
        return int(text)
    try:
        tree = ast.parse(text[: LONGEST + 1].strip(), mode="eval") if len(text) <= LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None:
        raise _malformed(text)
    return _value(tree.body, symbols, text)


def split_dims(text: str) -> Iterator[str]:
    """The parts of a list of dimensions: cut at commas outside parentheses."""
    part, depth = "", 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            yield part
            part = ""
        else:
            part += character
    if part.strip():
        yield part


def _value(node: ast.expr, symbols: Mapping[str, Symbol], text: str) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in symbols:
            raise ModelError(f"the size '{escape(node.id)}' is not declared", hint=f"declared: {', '.join(symbols)}")
        return symbol(symbols[node.id])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, symbols, text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2 and not node.keywords:
        choose = {"min": least, "max": greatest}.get(node.func.id)
        if choose is not None:
            return choose(_value(node.args[0], symbols, text), _value(node.args[1], symbols, text))
    if isinstance(node, ast.BinOp):
        return _combined(node, symbols, text)
    raise _malformed(text)


def _combined(node: ast.BinOp, symbols: Mapping[str, Symbol], text: str) -> int:
    left, right = _value(node.left, symbols, text), _value(node.right, symbols, text)
    if isinstance(node.op, ast.Add):
        return left + right
    if isinstance(node.op, ast.Sub):
        return left - right
    if isinstance(node.op, ast.Mult):
        return left * right
    if isinstance(node.op, ast.FloorDiv) and right != 0:
        return left // right
    raise _malformed(text)


def _malformed(text: str) -> ModelError:
    return ModelError(f"'{escape(text[:80].strip())}' is no dimension", hint="write it like 8, seq or seq*2+1")

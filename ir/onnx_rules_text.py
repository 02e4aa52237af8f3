"""Rules: strings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ModelError
from .automaton import automaton
from .dims import is_open, upper
from .onnx_generic import generic_rule
from .onnx_rules import Node, NotCovered, Results, rule
from .onnx_rules_select import counted
from .onnx_rules_shape import expanded, reshaped
from .ops import TextConcat, TextEqual, TextMatch, TextNormalize, TextSplit, array_of, constant
from .regex import NoPattern
from .strings import case_table, cased, stored
from .types import DType, TensorType, broadcast
from .value import Value

OTHER_LETTERS = ("tr", "az", "lt")
"""Languages in which single letters have other capitals than elsewhere."""


def needs_strings(*values: Value) -> None:
    """Refuse operands that are no strings."""
    for value in values:
        if not value.dtype.is_text:
            raise ModelError(f"operand {value.type} holds no strings")


def _alike(node: Node) -> tuple[Value, Value]:
    """Both operands in the shape to which they broadcast."""
    x, y = node.x, node.input(1)
    needs_strings(x, y)
    shape = broadcast(x.shape, y.shape)
    return expanded(x, shape), expanded(y, shape)


@rule("Equal")
def equal(node: Node) -> Results:
    """Of strings or of numbers."""
    if node.x.dtype.is_text:
        return TextEqual(*_alike(node)).result
    numbers = generic_rule(node.domain, node.op_type)
    assert numbers is not None
    return numbers(node)


@rule("StringConcat")
def string_concat(node: Node) -> Value:
    """The run fails where a result has no room."""
    joined, cut = TextConcat(*_alike(node)).results
    node.expects(cut, 0)
    return joined


@rule("RegexFullMatch")
def regex_full_match(node: Node) -> Value:
    needs_strings(node.x)
    try:
        found = automaton(node.text("pattern"))
    except NoPattern as error:
        raise NotCovered(str(error), "a shorter or simpler pattern") from None
    return TextMatch(node.x, constant(found.classes), constant(found.steps), constant(found.accepts)).result


# --- StringSplit --------------------------------------------------------------------------------------------------


@rule("StringSplit")
def string_split(node: Node) -> tuple[Value, Value]:
    """Parts between delimiters, as many for each string as the one with the most has."""
    x, most = node.x, node.attributes.get("maxsplit")
    needs_strings(x)
    most = -1 if most is None else max(int(most), -1)
    mark = node.text("delimiter", "").encode("utf-8", "replace")
    if any(map(is_open, x.shape)):
        raise NotCovered("its strings are of an open shape", "a shape of numbers")
    room = _most_parts(x.dtype, mark, most)
    declared = node.declared_first
    if declared is not None and len(declared) == x.rank + 1:
        room = min(room, declared[-1])
        _split_example(node, mark, declared[-1])
    if 0 in x.shape:
        none = np.zeros(x.shape, np.int64)
        return constant(np.zeros((*x.shape, declared[-1] if declared else 0), x.dtype.numpy)), constant(none)
    # a delimiter that is longer than all strings splits none of them
    fits = len(mark) <= x.dtype.bytes
    delimiter = constant(stored(mark, x.dtype)) if mark and fits else None
    op = TextSplit(x, delimiter, room, most if not mark or fits else 0)
    (parts,) = counted(node, op, {0: x.rank})
    return parts, op.results[1]


def _most_parts(kind: DType, mark: bytes, most: int) -> int:
    """How many parts a string may have."""
    parts = kind.bytes // len(mark) + 1 if mark else (kind.bytes + 1) // 2
    return parts if most < 0 else min(parts, most + 1)


def _split_example(node: Node, mark: bytes, count: int) -> None:
    one = (mark or b" ").join([b"a"] * count)
    if len(one) <= node.x.dtype.bytes and (count or not mark):
        node.examples[node.x] = np.full(node.x.shape, one, node.x.dtype.numpy)


# --- StringNormalizer ---------------------------------------------------------------------------------------------


@rule("StringNormalizer")
def string_normalizer(node: Node) -> Value:
    """Strings [C] or [1, C] without stop words, in one case; an empty one where none is left."""
    x, case = node.x, node.text("case_change_action")
    needs_strings(x)
    if x.rank not in (1, 2) or (x.rank == 2 and x.shape[0] != 1):
        raise ModelError(f"{x.type} is neither [C] nor [1, C]")
    if case not in ("NONE", "LOWER", "UPPER"):
        raise ModelError(f"there is no case_change_action '{case}'", hint="LOWER, UPPER, NONE")
    if case != "NONE" and str(node.attributes.get("locale") or "").lower().startswith(OTHER_LETTERS):
        raise NotCovered("letters of its locale", "a locale whose letters are those of en_US")
    table = None if case == "NONE" else constant(case_table(case == "UPPER"))
    words = _stop_words(node, x.dtype)
    folded = constant(case_table(False)) if words is not None and not node.flag("is_case_sensitive") else None
    op = TextNormalize(reshaped(x, (x.type.size,)), words, table, folded)
    declared = node.declared_first
    if words is None:
        return reshaped(op.results[0], (*x.shape[:-1], op.results[0].shape[0]))
    if declared is not None:
        _normal_example(node, words, declared[-1] if declared else 1)
    flat = None if declared is None or len(declared) != x.rank else TensorType(x.dtype, declared[-1:])
    (kept,) = counted(replace(node, declared=(flat,)), op, {0: 0})
    return reshaped(kept, (*x.shape[:-1], kept.shape[0]))


def _stop_words(node: Node, kind: DType) -> Value | None:
    """The words that there can be among strings of a type, small letters where case does not count."""
    listed = [word.encode("utf-8", "replace") for word in node.attributes.get("stopwords") or ()]
    if not node.flag("is_case_sensitive"):
        table = case_table(False)
        listed = [cased(word, table) for word in listed]
    fitting = [word for word in dict.fromkeys(listed) if len(word) <= kind.bytes and b"\0" not in word]
    return constant(stored(np.array(fitting, object), kind)) if fitting else None


def _normal_example(node: Node, words: Value, count: int) -> None:
    """Strings of which as many are left as the model says."""
    unwanted = array_of(words)
    assert unwanted is not None
    size = upper(node.x.type.size)
    other = next(one for one in (b"%d" % n for n in range(len(unwanted) + 1)) if one not in unwanted.tolist())
    if count <= size and len(other) <= node.x.dtype.bytes:
        left = np.full(size, unwanted[0], node.x.dtype.numpy)
        left[:count] = other
        node.examples[node.x] = left.reshape(node.x.shape)

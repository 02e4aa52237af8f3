"""Rules: sequences and optionals, which are known while a model is read and never reach the graph."""

from __future__ import annotations

import numpy as np

from ..errors import ModelError
from .onnx_rules import Node, NotCovered, rule
from .onnx_rules_shape import part, reshaped
from .onnx_scope import ABSENT, Absent, Listed
from .ops import Concat, Reshape, array_of, constant
from .types import i64, normal_axis
from .value import Value

TAKES_SEQUENCES = frozenset({
    "ConcatFromSequence", "Identity", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt",
    "SequenceErase", "SequenceInsert", "SequenceLength",
})  # fmt: skip
"""Operators whose rules take a sequence or an optional as first operand."""


def _listed(node: Node) -> tuple[Value, ...]:
    found = node.inputs[0] if node.inputs else None
    if not isinstance(found, Listed):
        raise ModelError("its first operand is no sequence")
    if found.hidden:
        raise NotCovered("the shapes of its tensors are not known at compile time", "a split by constant sizes")
    return found.items


def _position(node: Node, operand: int, length: int, end: int) -> int:
    """A known place in a sequence, counted from the end where it is negative; `end` where it is left out."""
    if not node.has(operand):
        return end
    place = node.known_int(operand, "position")
    if not -length <= place < length + (end == length):
        raise ModelError(f"position {place} is outside a sequence of {length}")
    return place + length if place < 0 else place


@rule("SequenceEmpty")
def sequence_empty(node: Node) -> Listed:
    return Listed()


@rule("SequenceConstruct")
def sequence_construct(node: Node) -> Listed:
    return Listed(tuple(node.given))


@rule("SequenceAt")
def sequence_at(node: Node) -> Value:
    items = _listed(node)
    if not node.has(1):
        raise ModelError("operand 1 is missing")
    return items[_position(node, 1, len(items), -1)]


@rule("SequenceInsert")
def sequence_insert(node: Node) -> Listed:
    items, new = _listed(node), node.input(1)
    place = _position(node, 2, len(items), len(items))
    return Listed((*items[:place], new, *items[place:]))


@rule("SequenceErase")
def sequence_erase(node: Node) -> Listed:
    items = _listed(node)
    place = _position(node, 1, len(items), len(items) - 1)
    if not items:
        raise ModelError("the sequence is empty")
    return Listed((*items[:place], *items[place + 1 :]))


@rule("SequenceLength")
def sequence_length(node: Node) -> Value:
    found = node.inputs[0]
    return constant(found.hidden if isinstance(found, Listed) and found.hidden else len(_listed(node)), i64)


@rule("SplitToSequence")
def split_to_sequence(node: Node) -> Listed:
    """Parts of the sizes given, of one size given, or of size 1 whose dimension goes unless `keepdims`."""
    x, axis = node.x, normal_axis(node.integer("axis", 0), node.x.rank)
    extent = x.shape[axis]
    if node.has(1) and array_of(node.input(1)) is None and node.input(1).rank == 1:
        return Listed(hidden=node.input(1).shape[0])
    sizes = _sizes(node, extent)
    if min(sizes, default=0) < 0 or sum(sizes) != extent:
        raise ModelError(f"sizes {list(sizes)} do not split a dimension of {extent}")
    starts = np.cumsum([0, *sizes])
    parts = [part(x, axis, int(s), n) for s, n in zip(starts, sizes, strict=False)]
    if not node.has(1) and not node.flag("keepdims", 1):
        parts = [reshaped(p, p.shape[:axis] + p.shape[axis + 1 :]) for p in parts]
    return Listed(tuple(parts))


def _sizes(node: Node, extent: int) -> tuple[int, ...]:
    if not node.has(1):
        return (1,) * extent
    given = node.known_ints(1, "sizes")
    if node.input(1).rank:
        return given
    if given[0] < 1:
        raise ModelError(f"parts of size {given[0]}")
    whole, rest = divmod(extent, given[0])
    return (given[0],) * whole + ((rest,) if rest else ())


@rule("ConcatFromSequence")
def concat_from_sequence(node: Node) -> Value:
    items = _listed(node)
    if not items:
        raise ModelError("the sequence is empty")
    new = node.flag("new_axis", 0)
    axis = normal_axis(node.integer("axis"), items[0].rank + new)
    if new:
        items = tuple(Reshape(v, (*v.shape[:axis], 1, *v.shape[axis:])).result for v in items)
    return items[0] if len(items) == 1 else Concat(items, axis).result


@rule("Optional")
def optional(node: Node) -> Value | Listed | Absent:
    return node.inputs[0] if node.has(0) else ABSENT


@rule("OptionalHasElement")
def optional_has_element(node: Node) -> Value:
    return constant(np.array(node.has(0) and node.inputs[0] is not ABSENT))


@rule("OptionalGetElement")
def optional_get_element(node: Node) -> Value | Listed:
    found: Value | Listed | Absent | None = node.inputs[0]
    if found is None or isinstance(found, Absent):
        raise NotCovered("the optional has no content", "an optional with content")
    return found

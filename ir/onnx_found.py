"""Operands that shape a result but are known only at run time.

Where few values are possible (axes of a reduction) each is computed and the run chooses; where the model declares the
shape of the result, the operand is taken to be what that shape implies. In both cases the run checks that it is so:
`find-size` makes it fail where it is not.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ModelError
from .dims import is_open
from .onnx_rules import Node, NotCovered, Results, Rule
from .ops import Add, Cast, Equal, Gather, Less, Or, Reduce, Reshape, Where, constant, known_sizes, like
from .types import i64, normal_axis
from .value import Value

MAX_CHOICES = 24

Shape = tuple[int, ...]


def found(node: Node, rule: Rule) -> Results | None:
    """The results of a node one of whose operands is known only at run time; None where that changes nothing."""
    if node.domain:
        return None
    for position, rank_of in _AXES.get(node.op_type, ()):
        if _is_unknown(node, position):
            return _chosen(node, position, rank_of(node), rule)
    for position, implied_by in _IMPLIED.get(node.op_type, ()):
        if _is_unknown(node, position) and node.declared_shapes and node.declared_shapes[0] is not None:
            return _implied(node, position, implied_by(node), rule)
    return None


def _is_unknown(node: Node, position: int) -> bool:
    value = node.optional(position)
    return value is not None and known_sizes(value) is None


def _with(node: Node, position: int, numbers: np.ndarray) -> Node:
    inputs = list(node.inputs)
    inputs[position] = constant(numbers)
    return replace(node, inputs=inputs)


# --- few values are possible --------------------------------------------------------------------------------------


def _chosen(node: Node, position: int, rank: int, rule: Rule) -> Value:
    """The result for each choice of axes that gives the declared shape; the run picks one."""
    operand = node.input(position)
    if any(map(is_open, operand.shape)) or math.comb(rank, operand.type.size) > MAX_CHOICES:
        raise NotCovered(f"its axes (operand {position}) are not known at compile time", "constant axes")
    choices: dict[int, Value] = {}
    examples: dict[int, np.ndarray] = {}
    for axes in itertools.combinations(range(rank), operand.type.size):
        numbers = np.array(axes, operand.dtype.numpy).reshape(operand.shape)
        with contextlib.suppress(ModelError):  # axes that cannot be, as those of a squeeze that are not 1
            result = rule(_with(node, position, numbers))
            assert isinstance(result, Value)
            mask = sum(1 << a for a in axes)
            choices[mask], examples[mask] = result, numbers
    fitting = _fitting(node, position, choices)
    node.examples[operand] = examples[next(iter(fitting))]
    return _picked(node, _mask(operand, rank), fitting)


def _fitting(node: Node, position: int, choices: dict[int, Value]) -> dict[int, Value]:
    declared = node.declared_shapes[0] if node.declared_shapes else None
    fitting = {mask: v for mask, v in choices.items() if declared in (None, v.shape)}
    if len({v.shape for v in fitting.values()}) != 1:
        raise NotCovered(
            f"its axes (operand {position}) are not known at compile time, nor the shape of its result",
            "constant axes, or a declared shape of the result",
        )
    return fitting


def _picked(node: Node, mask: Value, choices: dict[int, Value]) -> Value:
    conditions = {m: Equal(mask, like(mask, m)).result for m in choices}
    _require(node, conditions.values())
    *others, last = choices
    result = choices[last]
    for m in reversed(others):
        result = Where(conditions[m], choices[m], result).result
    return result


def _require(node: Node, conditions: Iterable[Value]) -> None:
    """Let the run fail unless one of several conditions holds."""
    first, *others = conditions
    for other in others:
        first = Or(first, other).result
    node.expects(Cast(first, i64).result, 1)


def _mask(axes: Value, rank: int) -> Value:
    """The sum of 2^axis."""
    flat = Cast(Reshape(axes, (axes.type.size,)).result, i64).result
    counted = Where(Less(flat, like(flat, 0)).result, Add(flat, like(flat, rank)).result, flat).result
    powers = Gather(constant(1 << np.arange(rank, dtype=np.int64)), counted, 0).result
    return Reduce(powers, "sum", (0,), False).result


# --- the declared shape implies them ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Implied:
    """What an operand must hold, and other numbers that mean the same there."""

    numbers: Sequence[int]
    others: Sequence[Sequence[int]] = ()


def _implied(node: Node, position: int, implied: Implied, rule: Rule) -> Results:
    operand = node.input(position)
    if operand.type.size != len(implied.numbers):
        raise NotCovered(f"operand {position} is not known at compile time", "a constant operand")
    numbers = np.array(implied.numbers, operand.dtype.numpy).reshape(operand.shape)
    node.examples[operand] = numbers
    result = rule(_with(node, position, numbers))
    flat = Reshape(operand, (operand.type.size,)).result
    for i, number in enumerate(implied.numbers):
        element = Gather(flat, constant(np.array(i)), 0).result
        others = implied.others[i] if implied.others else ()
        _require(node, [Equal(element, like(element, n)).result for n in (number, *others)])
    shapes = [v.shape for v in (result if isinstance(result, tuple) else (result,)) if v is not None]
    wanted = [d for d in node.declared_shapes[: len(shapes)] if d is not None]
    if shapes != wanted:
        raise NotCovered(f"operand {position} is not known at compile time", "a constant operand")
    return result


def _reshape(node: Node) -> Implied:
    wanted, shape, keeps = _declared(node), node.x.shape, not node.flag("allowzero")
    kept = [i < len(shape) and shape[i] == d and keeps for i, d in enumerate(wanted)]
    return Implied(wanted, [(-1, 0) if k else (-1,) for k in kept])


def _expand(node: Node) -> Implied:
    """The operand may be shorter than the result, and 1 where the tensor has the extent already."""
    count = node.input(1).type.size
    wanted = _declared(node)[len(_declared(node)) - count :]
    own = (1,) * (len(_declared(node)) - node.x.rank) + node.x.shape
    own = own[len(own) - count :]
    return Implied(wanted, [(1,) if d == w else () for d, w in zip(own, wanted, strict=True)])


def _tile(node: Node) -> Implied:
    pairs = zip(_declared(node), node.x.shape, strict=True)
    return Implied([w // d if d else 1 for w, d in pairs])


def _split(node: Node) -> Implied:
    axis = normal_axis(node.integer("axis", 0), node.x.rank)
    if any(shape is None for shape in node.declared_shapes):
        raise NotCovered("its sizes (operand 1) are not known at compile time", "declared shapes of all results")
    return Implied([shape[axis] for shape in node.declared_shapes if shape is not None])


def _declared(node: Node) -> Shape:
    shape = node.declared_shapes[0]
    assert shape is not None
    return shape


def _rank(node: Node) -> int:
    return node.x.rank


_REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
_AXES: dict[str, tuple[tuple[int, Callable[[Node], int]], ...]] = {
    **{f"Reduce{kind}": ((1, _rank),) for kind in _REDUCTIONS},
    "Squeeze": ((1, _rank),),
    "Unsqueeze": ((1, lambda node: node.x.rank + node.input(1).type.size),),
}
"""Operands that hold axes, and of how many they are."""

_IMPLIED: dict[str, tuple[tuple[int, Callable[[Node], Implied]], ...]] = {
    "Reshape": ((1, _reshape),),
    "Expand": ((1, _expand),),
    "Tile": ((1, _tile),),
    "Split": ((1, _split),),
    "ConstantOfShape": ((0, lambda node: Implied(_declared(node))),),
}
"""Operands that the declared shapes of the results imply."""

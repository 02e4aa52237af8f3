"""Rules: the optimizers of ONNX's training domain, one step for each of several tensors."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ModelError
from .onnx_rules import Node, rule
from .onnx_rules_math import cast
from .onnx_rules_shape import reshaped
from .ops import Add, Div, Less, Mul, Pow, Sqrt, Sub, Where, like
from .value import Value

DOMAIN = "ai.onnx.preview.training"


def _plus(a: Value, b: Value) -> Value:
    return Add(a, b).result


def _times(a: Value, b: Value | float) -> Value:
    return Mul(a, b if isinstance(b, Value) else like(a, b)).result


def _scalar(node: Node, position: int, x: Value) -> Value:
    """The learning rate or the count of updates, in the element type of the tensors."""
    given = node.input(position)
    if given.type.size != 1:
        raise ModelError(f"operand {position} must be one number, is {given.type}")
    return cast(reshaped(given, ()), x.dtype)


def _groups(node: Node, kinds: int) -> Iterator[tuple[Value, ...]]:
    """A tensor, its gradient and its states, for each tensor; operands list all tensors, then all gradients, ..."""
    given = [node.input(i) for i in range(2, len(node.inputs))]
    count, rest = divmod(len(given), kinds)
    if rest or not count:
        raise ModelError(f"{len(given)} tensors are not {kinds} for each that is updated")
    for i in range(count):
        group = tuple(given[i::count])
        if len({v.type for v in group}) != 1:
            raise ModelError(f"tensor {i} is {group[0].type}, its gradient and states are of other types")
        yield group


def _columns(rows: Iterator[tuple[Value, ...]]) -> tuple[Value, ...]:
    """All tensors, then all first states, ..."""
    return tuple(v for column in zip(*rows, strict=True) for v in column)


def _regular(node: Node, x: Value, gradient: Value) -> Value:
    """The gradient with that of the squared norm."""
    return _plus(_times(x, node.number("norm_coefficient", 0.0)), gradient)


def _stepped(x: Value, rate: Value, direction: Value) -> Value:
    return Sub(x, _times(direction, rate)).result


def _scaled(direction: Value, squares: Value, epsilon: float) -> Value:
    root = Sqrt(squares).result
    return Div(direction, _plus(root, like(root, epsilon))).result


@rule("Adagrad", domain=DOMAIN)
def adagrad(node: Node) -> tuple[Value, ...]:
    """Steps over the root of all squared gradients so far (Duchi et al. 2011)."""

    def update(x: Value, gradient: Value, squares: Value) -> tuple[Value, ...]:
        decayed = _times(_scalar(node, 1, x), node.number("decay_factor", 0.0))
        rate = Div(_scalar(node, 0, x), _plus(decayed, like(decayed, 1))).result
        slope = _regular(node, x, gradient)
        summed = _plus(squares, _times(slope, slope))
        return _stepped(x, rate, _scaled(slope, summed, node.number("epsilon", 0.0))), summed

    return _columns(update(*group) for group in _groups(node, 3))


@rule("Momentum", domain=DOMAIN)
def momentum(node: Node) -> tuple[Value, ...]:
    """Steps along a running sum of gradients, `nesterov` ones as if that step were taken already."""
    alpha, mode = node.number("alpha"), node.text("mode")
    if mode not in ("standard", "nesterov"):
        raise ModelError(f"there is no mode '{mode}'")

    def update(x: Value, gradient: Value, velocity: Value) -> tuple[Value, ...]:
        count = _scalar(node, 1, x)
        beta = _after_first(count, like(count, node.number("beta")), like(count, 1))
        slope = _regular(node, x, gradient)
        moved = _plus(_times(velocity, alpha), _times(slope, beta))
        ahead = moved if mode == "standard" else _plus(slope, _times(moved, alpha))
        return _stepped(x, _scalar(node, 0, x), ahead), moved

    return _columns(update(*group) for group in _groups(node, 3))


@rule("Adam", domain=DOMAIN)
def adam(node: Node) -> tuple[Value, ...]:
    """Running means of gradients and of their squares, corrected for starting at zero (Kingma and Ba 2015)."""
    alpha, beta = node.number("alpha", 0.9), node.number("beta", 0.999)

    def update(x: Value, gradient: Value, mean: Value, squares: Value) -> tuple[Value, ...]:
        slope = _regular(node, x, gradient)
        mean = _plus(_times(mean, alpha), _times(slope, 1 - alpha))
        squares = _plus(_times(squares, beta), _times(_times(slope, slope), 1 - beta))
        rate = _corrected(_scalar(node, 0, x), _scalar(node, 1, x), alpha, beta)
        moved = _stepped(x, rate, _scaled(mean, squares, node.number("epsilon", 0.0)))
        return _times(moved, 1 - node.number("norm_coefficient_post", 0.0)), mean, squares

    return _columns(update(*group) for group in _groups(node, 4))


def _corrected(rate: Value, count: Value, alpha: float, beta: float) -> Value:
    def missing(base: float) -> Value:
        return Sub(like(count, 1), Pow(like(count, base), count).result).result

    return _after_first(count, Div(_times(rate, Sqrt(missing(beta)).result), missing(alpha)).result, rate)


def _after_first(count: Value, later: Value, first: Value) -> Value:
    return Where(Less(like(count, 0), count).result, later, first).result

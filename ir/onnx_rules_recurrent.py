"""Rules: RNN, GRU, LSTM.

The inputs of all steps are projected by one matrix product; what runs over time is a `recurrent` op for each direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import ModelError
from .onnx_rules import Node, rule
from .onnx_rules_math import cast
from .onnx_rules_matrix import product
from .onnx_rules_shape import part, reshaped, transposed
from .ops import Add, Concat, Recurrent, array_of, constant
from .ops.recurrent import ACTIVATIONS, FUNCTIONS, GATES, STATES
from .types import i32
from .value import Value

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each direction runs backwards."""
ALPHAS = {
    "affine": 1.0, "elu": 1.0, "hardsigmoid": 0.2, "leakyrelu": 0.01, "scaledtanh": 1.0, "thresholdedrelu": 1.0,
}  # fmt: skip
"""The activations that take an alpha, and its default."""
BETAS = {"affine": 0.0, "hardsigmoid": 0.5, "scaledtanh": 1.0}
BATCH_FIRST = (1, 0, 2)


@rule("RNN", "GRU", "LSTM")
def recurrent(node: Node) -> tuple[Value | None, ...]:
    """Y [T, D, B, H], Y_h and Y_c [D, B, H]; with layout 1 the batch comes first."""
    cell, batch_first = node.op_type.lower(), node.flag("layout")
    reverses = DIRECTIONS.get(node.text("direction", "forward"))
    if reverses is None:
        raise ModelError(f"there is no direction '{node.text('direction')}'")
    x = transposed(node.x, BATCH_FIRST) if batch_first else node.x
    _check_weights(node, x, len(reverses), GATES[cell])
    found = [_direction(node, cell, x, d, len(reverses), reverse) for d, reverse in enumerate(reverses)]
    steps = x.shape[0]
    states = [_joined([part(v, 0, steps + s, 1) for v in found], 0) for s in range(STATES[cell])]
    every = _joined([_with_direction(part(v, 0, 0, steps)) for v in found], 1)
    if batch_first:
        return (transposed(every, (2, 0, 1, 3)), *(transposed(s, BATCH_FIRST) for s in states))
    return (every, *states)


def _check_weights(node: Node, x: Value, directions: int, gates: int) -> None:
    w, r = node.input(1), node.input(2)
    if x.rank != 3 or w.rank != 3 or r.rank != 3:
        raise ModelError(f"X, W and R must have rank 3, are {x.type}, {w.type} and {r.type}")
    size = r.shape[2]
    wanted = (directions, gates * size, x.shape[2]), (directions, gates * size, size)
    if (w.shape, r.shape) != wanted or node.integer("hidden_size", size) != size:
        raise ModelError(f"W {list(w.shape)} and R {list(r.shape)} do not fit together; expected {wanted}")


def _with_direction(v: Value) -> Value:
    return reshaped(v, (v.shape[0], 1, *v.shape[1:]))


def _joined(values: Sequence[Value], axis: int) -> Value:
    return values[0] if len(values) == 1 else Concat(tuple(values), axis).result


def _direction(node: Node, cell: str, x: Value, d: int, directions: int, reverse: bool) -> Value:
    def own(position: int) -> Value | None:
        """What an operand [D, ...] holds for this direction."""
        value = node.optional(position)
        return None if value is None else reshaped(part(value, 0, d, 1), value.shape[1:])

    w, r, biases = own(1), own(2), own(3)
    assert w is not None and r is not None  # noqa: PT018
    apart = cell == "gru" and node.flag("linear_before_reset")
    projected, bias = product(x, w, turn_b=True), None
    if biases is not None:
        shared, bias = _biases(biases, r.shape[1], apart)
        projected = Add(projected, shared).result
    lengths, (hidden, memory) = node.optional(4), (_state(node, position, d) for position in (5, 6))
    activations, alphas, betas = _activations(node, cell, d, directions)
    return Recurrent(
        projected, r, bias, own(7) if cell == "lstm" else None, hidden, memory,
        None if lengths is None else cast(lengths, i32), cell, reverse, activations, alphas, betas,
        node.number("clip", 0.0), node.flag("input_forget"), apart,
    ).result  # fmt: skip


def _biases(biases: Value, size: int, apart: bool) -> tuple[Value, Value | None]:
    """The bias of the projection, and that of the candidate's product where it is reset after it."""
    gates = biases.type.size // 2
    of_input, of_state = part(biases, 0, 0, gates), part(biases, 0, gates, gates)
    if not apart:
        return Add(of_input, of_state).result, None
    zeros = constant([0.0] * size, biases.dtype)
    shared = Concat((part(of_state, 0, 0, gates - size), zeros), 0).result
    return Add(of_input, shared).result, part(of_state, 0, gates - size, size)


def _state(node: Node, position: int, d: int) -> Value | None:
    """A direction's initial state [B, H]; None where it is known to be zero."""
    value = node.optional(position)
    known = None if value is None else array_of(value)
    if value is None or (known is not None and not known.any()):
        return None
    if node.flag("layout"):
        value = transposed(value, BATCH_FIRST)
    return reshaped(part(value, 0, d, 1), value.shape[1:])


def _activations(
    node: Node, cell: str, d: int, directions: int
) -> tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...]]:
    """A direction's functions with their parameters, which the attributes list for those that take any."""
    count = len(FUNCTIONS[cell])
    given = node.attributes.get("activations") or FUNCTIONS[cell] * directions
    names = [str(n).lower() for n in given][: count * directions]  # the schema's defaults are for two directions
    if len(names) < count * directions:
        raise ModelError(f"{directions} directions have {count * directions} activations, {len(names)} are given")
    unknown = [n for n in names if n not in ACTIVATIONS]
    if unknown:
        raise ModelError(f"there is no activation '{unknown[0]}'", hint=f"activations: {', '.join(ACTIVATIONS)}")
    mine = slice(d * count, (d + 1) * count)
    alphas, betas = (_parameters(node, attribute, names, defaults) for attribute, defaults in PARAMETERS.items())
    return tuple(names[mine]), tuple(alphas[mine]), tuple(betas[mine])


PARAMETERS = {"activation_alpha": ALPHAS, "activation_beta": BETAS}


def _parameters(node: Node, attribute: str, names: list[str], defaults: dict[str, float]) -> list[float]:
    listed: Iterator[float] = iter(node.attributes.get(attribute) or ())
    return [float(next(listed, defaults[name])) if name in defaults else 0.0 for name in names]

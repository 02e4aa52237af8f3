"""Export rule: recurrent layers.

The IR projects the inputs of all steps before the cell runs; ONNX projects within it. So the projection of ONNX is the
identity, and what enters it is projected already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .onnx_export_rules import rule
from .onnx_export_writer import Tensor, Writer
from .onnx_rules_recurrent import ALPHAS, BETAS
from .ops import Recurrent
from .ops.recurrent import GATES, STATES
from .value import Value

NAMES = {
    "affine": "Affine", "elu": "Elu", "hardsigmoid": "HardSigmoid", "leakyrelu": "LeakyRelu", "relu": "Relu",
    "scaledtanh": "ScaledTanh", "sigmoid": "Sigmoid", "softplus": "Softplus", "softsign": "Softsign", "tanh": "Tanh",
    "thresholdedrelu": "ThresholdedRelu",
}  # fmt: skip


@rule
def recurrent(op: Recurrent, writer: Writer) -> Tensor | None:
    if op.panel:
        return None
    steps, batch, size = op.x.shape[0], op.x.shape[1], op.size
    gates = GATES[op.cell]
    projection = writer.weights(np.eye(gates * size, dtype=op.x.dtype.numpy)[None])
    weight = writer.reshape(writer.of(op.weight), (1, gates * size, size))
    lengths = None if op.lengths is None else writer.emit("Clip", writer.of(op.lengths), *_limits(steps, writer))
    states = [_state(v, writer) for v in (op.hidden, op.memory)][: STATES[op.cell]]
    peephole = [] if op.peephole is None else [writer.reshape(writer.of(op.peephole), (1, 3 * size))]
    operands = _trimmed([writer.of(op.x), projection, weight, _biases(op, writer), lengths, *states, *peephole])
    attributes = {**_activations(op), "direction": "reverse" if op.reverse else "forward", "hidden_size": size}
    every, *last = writer.emit_many(op.cell.upper(), 1 + STATES[op.cell], *operands, **attributes, **_options(op))
    if lengths is not None:
        last = [_or_first(lengths, new, old, batch, writer) for new, old in zip(last, states, strict=True)]
    flat = writer.reshape(every, (steps, batch, size))
    return writer.emit("Concat", flat, *last, axis=0)


def _limits(steps: int, writer: Writer) -> tuple[Tensor, Tensor]:
    return writer.weights(np.asarray(0, np.int32)), writer.weights(np.asarray(steps, np.int32))


def _or_first(lengths: Tensor, new: Tensor, old: Tensor | None, batch: int, writer: Writer) -> Tensor:
    """A row without steps keeps its first state, which runtimes do not agree on."""
    if old is None:
        return new
    some = writer.emit("Greater", lengths, writer.weights(np.asarray(0, np.int32)))
    return writer.emit("Where", writer.reshape(some, (1, batch, 1)), new, old)


def _state(value: Value | None, writer: Writer) -> Tensor | None:
    return None if value is None else writer.reshape(writer.of(value), (1, *value.shape))


def _biases(op: Recurrent, writer: Writer) -> Tensor | None:
    """The bias of a gru's candidate stands last, behind those of the projection and of the other gates."""
    if op.bias is None:
        return None
    zeros = writer.weights(np.zeros(5 * op.size, op.x.dtype.numpy))
    return writer.reshape(writer.emit("Concat", zeros, writer.of(op.bias), axis=0), (1, 6 * op.size))


def _trimmed(operands: list[Tensor | None]) -> list[Tensor | None]:
    while operands[-1] is None:
        operands = operands[:-1]
    return operands


def _activations(op: Recurrent) -> dict[str, Any]:
    """The functions, and the parameters of those that take any."""
    found: dict[str, Any] = {"activations": [NAMES[kind] for kind in op.activations]}
    alphas = [a for kind, a in zip(op.activations, op.alphas, strict=False) if kind in ALPHAS]
    betas = [b for kind, b in zip(op.activations, op.betas, strict=False) if kind in BETAS]
    return found | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})


def _options(op: Recurrent) -> dict[str, Any]:
    clip = {"clip": op.clip} if op.clip else {}
    coupled = {"input_forget": 1} if op.input_forget else {}
    return {**clip, **coupled, **({"linear_before_reset": 1} if op.linear_before_reset else {})}

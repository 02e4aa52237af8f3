"""Recurrent layers: a cell that runs over time, its inputs projected already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ModelError
from .. import scalar
from ..op import Array, Op, Tolerance, arg, operator
from ..scalar import Scalar
from ..types import DType, TensorType, f32, i32
from ..value import Value
from .functions import Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, Tanh, ThresholdedRelu

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Gates of each cell, in ONNX's order: i; z r h; i o f c."""
STATES = {"rnn": 1, "gru": 1, "lstm": 2}
FUNCTIONS = {"rnn": ("tanh",), "gru": ("sigmoid", "tanh"), "lstm": ("sigmoid", "tanh", "tanh")}
"""The usual activations of each cell: of the gates, of what enters the state, of what leaves it."""


def activation_expression(kind: str, alpha: float, beta: float) -> Scalar:
    """An activation function by its name, as an expression of one operand."""
    if kind not in ACTIVATIONS:
        raise ModelError(f"there is no activation '{kind}'", hint=f"activations: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[kind](scalar.argument(0), alpha, beta)


def activation(kind: str, alpha: float, beta: float) -> Callable[[Array], Array]:
    """The same on arrays."""
    expression = activation_expression(kind, alpha, beta)
    return lambda x: np.asarray(scalar.evaluate(expression, [x], x.dtype))


_X = arg(f32)
ACTIVATIONS: dict[str, Callable[[Scalar, float, float], Scalar]] = {
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "elu": lambda x, alpha, beta: Elu(_X, alpha).scalar(x),
    "hardsigmoid": lambda x, alpha, beta: HardSigmoid(_X, alpha, beta).scalar(x),
    "leakyrelu": lambda x, alpha, beta: LeakyRelu(_X, alpha).scalar(x),
    "relu": lambda x, alpha, beta: Relu(_X).scalar(x),
    "scaledtanh": lambda x, alpha, beta: alpha * scalar.tanh(beta * x),
    "sigmoid": lambda x, alpha, beta: Sigmoid(_X).scalar(x),
    "softplus": lambda x, alpha, beta: Softplus(_X).scalar(x),
    "softsign": lambda x, alpha, beta: Softsign(_X).scalar(x),
    "tanh": lambda x, alpha, beta: Tanh(_X).scalar(x),
    "thresholdedrelu": lambda x, alpha, beta: ThresholdedRelu(_X, alpha).scalar(x),
}
"""What gates may compute, from x, alpha and beta."""


@operator("recurrent")
class Recurrent(Op):
    """One direction of a recurrent layer over projected inputs x [T, B, G * H]: weights [G * H, H] act on the state.

    The result [T + states, B, H] holds the state h after each step at that step's place, then the last h, then for an
    lstm the last memory c. `bias` [H] is added to the product of a gru's candidate before it is reset
    (`linear_before_reset`), `peephole` [3 * H] weighs c in the gates i, o, f, `hidden` and `memory` [B, H] are the
    states before the first step (zeros where they are missing), `lengths` [B] counts the steps of each row, limited
    to 0 .. T; later places hold zeros. `clip` bounds what enters the activations; 0 does not. With `panel` the weights
    come as [panels, H, G, panel]: columns in panels, the last filled with zeros.
    """

    x: Value
    weight: Value
    bias: Value | None = None
    peephole: Value | None = None
    hidden: Value | None = None
    memory: Value | None = None
    lengths: Value | None = None
    cell: str = "lstm"
    reverse: bool = False
    activations: tuple[str, ...] = FUNCTIONS["lstm"]
    alphas: tuple[float, ...] = (0.0, 0.0, 0.0)
    betas: tuple[float, ...] = (0.0, 0.0, 0.0)
    clip: float = 0.0
    input_forget: bool = False
    linear_before_reset: bool = False
    panel: int = 0
    kernel = "recurrent"
    tolerance = Tolerance(3e-5, 3e-5)

    @property
    def size(self) -> int:
        """Elements of the state of one row."""
        return self.x.shape[-1] // GATES[self.cell]

    def infer(
        self, x: TensorType, weight: TensorType, bias: TensorType | None, peephole: TensorType | None,
        hidden: TensorType | None, memory: TensorType | None, lengths: TensorType | None,
    ) -> TensorType:  # fmt: skip
        self._check_attributes()
        gates = GATES[self.cell]
        if x.rank != 3 or x.shape[2] % gates:
            raise ModelError(f"needs [steps, batch, {gates} * size], has {x}")
        panels = -(-self.size // self.panel) if self.panel else 0
        shape = (panels, self.size, gates, self.panel) if self.panel else (gates * self.size, self.size)
        self._check("weight", weight, x.dtype, shape)
        self._check_states(x.dtype, bias, peephole, hidden, memory, lengths, x.dtype)
        return x.with_shape((x.shape[0] + STATES[self.cell], x.shape[1], self.size))

    def _check_states(
        self, dtype: DType, bias: TensorType | None, peephole: TensorType | None, hidden: TensorType | None,
        memory: TensorType | None, lengths: TensorType | None, state: DType,
    ) -> None:  # fmt: skip
        batch, size = self.x.shape[1], self.size
        self._check("bias", bias, dtype, (size,))
        self._check("peephole", peephole, dtype, (3 * size,))
        self._check("hidden", hidden, state, (batch, size))
        self._check("memory", memory, state, (batch, size))
        self._check("lengths", lengths, i32, (batch,))

    def _check(self, name: str, given: TensorType | None, dtype: DType, shape: tuple[int, ...]) -> None:
        if given is not None and (given.dtype, given.shape) != (dtype, shape):
            raise ModelError(f"{name} is {given}, expected {TensorType(dtype, shape)}")

    def _check_attributes(self) -> None:
        if self.cell not in GATES:
            raise ModelError(f"there is no cell '{self.cell}'", hint=f"cells: {', '.join(GATES)}")
        count = len(FUNCTIONS[self.cell])
        if len(self.activations) != count or min(len(self.alphas), len(self.betas)) < count:
            raise ModelError(f"a {self.cell} has {count} activations, {len(self.activations)} are given")
        for kind in self.activations:
            activation(kind, 0, 0)

    def evaluate(
        self, x: Array, weight: Array, bias: Array | None, peephole: Array | None, hidden: Array | None,
        memory: Array | None, lengths: Array | None,
    ) -> Array:  # fmt: skip
        h, c = (np.zeros((x.shape[1], self.size), x.dtype) if s is None else s.copy() for s in (hidden, memory))
        return self.run(Cell(self, self.columns(weight), bias, peephole), x, h, c, lengths)

    def run(self, cell: Cell, x: Array, h: Array, c: Array, lengths: Array | None) -> Array:
        """The cell on all steps; h and c are overwritten."""
        steps, batch = x.shape[:2]
        y = np.zeros(self.type.shape, x.dtype)
        count = np.full(batch, steps) if lengths is None else np.clip(lengths, 0, steps)
        for step in range(int(count.max(initial=0))):
            rows = np.flatnonzero(step < count)
            at = count[rows] - 1 - step if self.reverse else np.full(len(rows), step)
            h[rows], c[rows] = cell.step(x[at, rows], h[rows], c[rows])
            y[at, rows] = h[rows]
        y[steps:] = np.stack([h, c][: STATES[self.cell]])
        return y

    def columns(self, weight: Array) -> Array:
        """The weights as [H, G * H]."""
        if not self.panel:
            return np.asarray(weight.T)
        wide = weight.transpose(1, 2, 0, 3).reshape(self.size, GATES[self.cell], -1)
        return np.asarray(wide[..., : self.size].reshape(self.size, -1))

    def macs(self) -> int:
        return self.x.type.size * self.size

    @classmethod
    def samples(cls) -> Any:
        state = (arg(f32, 3, 5), arg(f32, 3, 5))
        yield cls(arg(f32, 4, 3, 20), arg(f32, 20, 5), None, arg(f32, 15), *state, arg(i32, 3))
        yield cls(arg(f32, 3, 1, 68), arg(f32, 68, 17), reverse=True, clip=1.5, input_forget=True)
        yield cls(arg(f32, 1, 1, 4), arg(f32, 4, 1), activations=("hardsigmoid", "softsign", "affine"),
                  alphas=(0.2, 0, 1.5), betas=(0.5, 0, 0.1))  # fmt: skip
        gru: dict[str, Any] = {"cell": "gru", "activations": FUNCTIONS["gru"]}
        yield cls(arg(f32, 5, 2, 27), arg(f32, 27, 9), hidden=arg(f32, 2, 9), **gru)
        yield cls(arg(f32, 5, 7, 99), arg(f32, 99, 33), arg(f32, 33), reverse=True, linear_before_reset=True, **gru)
        yield cls(arg(f32, 3, 4, 3), arg(f32, 3, 3), lengths=arg(i32, 4), cell="rnn", activations=("tanh",))


class Cell:
    """The step of one cell on rows [B, ...]."""

    def __init__(self, op: Recurrent, columns: Array, bias: Array | None, peephole: Array | None) -> None:
        self.op, self.columns, self.bias, self.peephole = op, columns, bias, peephole
        given = zip(op.activations, op.alphas, op.betas, strict=False)
        self.functions = [activation(kind, alpha, beta) for kind, alpha, beta in given]

    def product(self, h: Array, gates: slice = slice(None)) -> Array:
        """The state times the weights of some gates [B, G, H]."""
        by_gate = self.columns.reshape(self.op.size, -1, self.op.size)
        return np.asarray(np.tensordot(h, by_gate[:, gates], (1, 0)))

    def kept(self, h: Array) -> Array:
        """A state as it is stored."""
        return h

    def remembered(self, c: Array) -> Array:
        """The memory of an lstm as it is stored."""
        return c

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        """h and c after one step."""
        found, c = {"rnn": self.rnn, "gru": self.gru, "lstm": self.lstm}[self.op.cell](x, h, c)
        return self.kept(found), c

    def clipped(self, x: Array) -> Array:
        return np.clip(x, -self.op.clip, self.op.clip).astype(x.dtype) if self.op.clip else x

    def rnn(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        return self.functions[0](self.clipped(x + self.product(h)[:, 0])), c

    def gru(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        f, g = self.functions
        of_update, of_reset, of_candidate = np.split(x, 3, axis=1)
        product = self.product(h, slice(0, 2))
        update, reset = f(self.clipped(of_update + product[:, 0])), f(self.clipped(of_reset + product[:, 1]))
        if self.op.linear_before_reset:
            product = self.product(h, slice(2, 3))[:, 0]
            candidate = reset * (product if self.bias is None else product + self.bias)
        else:
            update = self.kept(update)
            candidate = self.product(self.kept(reset * h), slice(2, 3))[:, 0]
        return (1 - update) * g(self.clipped(of_candidate + candidate)) + update * h, c

    def lstm(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        f, g, out = self.functions
        sums = x.reshape(-1, 4, self.op.size) + self.product(h)
        i, o, forget, entering = (sums[:, gate] for gate in range(4))
        if self.peephole is not None:
            i, forget = i + self.peephole[: self.op.size] * c, forget + self.peephole[2 * self.op.size :] * c
        i = f(self.clipped(i))
        forget = 1 - i if self.op.input_forget else f(self.clipped(forget))
        c = self.remembered(forget * c + i * g(self.clipped(entering)))
        if self.peephole is not None:
            o = o + self.peephole[self.op.size : 2 * self.op.size] * c
        return f(self.clipped(o)) * out(c), c

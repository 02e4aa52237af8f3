"""Recurrent layers on integers: int8 weights, int16 states, the same bits on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from .. import scalar
from ..op import EXACT, Array, arg, operator
from ..scalar import Scalar
from ..types import TensorType, f32, i8, i16, i32
from ..value import Value
from .constant import constant
from .recurrent import FUNCTIONS, GATES, STATES, Cell, Recurrent

STATE_UNIT = 2.0**-15
"""What one unit of a state h counts: it lies between -1 and 1."""
MEMORY_UNIT = 2.0**-11
"""The same of an lstm's memory c, which reaches 16; from there on tanh(c) is 1 in 16 bits."""
EXACT_SUM = 512
"""So many products of int16 and int8 fit into 32 bits."""
NUMERATOR = (3.93000016e-06, 0.00227698657, 0.123021808, 0.999995689)
DENOMINATOR = (0.00014235057, 0.0210721699, 0.456340296, 1.0)
TANH_REACH = 7.0


def _tanh(x: Scalar) -> Scalar:
    x = scalar.minimum(TANH_REACH, scalar.maximum(-TANH_REACH, x))
    square = x * x
    return x * _polynomial(square, NUMERATOR) / _polynomial(square, DENOMINATOR)


def _polynomial(x: Scalar, coefficients: tuple[float, ...]) -> Scalar:
    total = scalar.lift(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


_X = scalar.argument(0)
EXACT_FUNCTIONS = {"sigmoid": 0.5 * _tanh(0.5 * _X) + 0.5, "tanh": _tanh(_X)}
"""The activations that have the same bits everywhere: each operation in float32, rounded once."""


def exact_tanh(x: Array) -> Array:
    """tanh as a ratio of polynomials in single float32 additions, products and one division; at most 1.2e-6 off."""
    return np.asarray(scalar.evaluate(EXACT_FUNCTIONS["tanh"], [x], np.dtype(np.float32)))


def exact_sigmoid(x: Array) -> Array:
    """(tanh(x / 2) + 1) / 2 in the same arithmetic."""
    return np.asarray(scalar.evaluate(EXACT_FUNCTIONS["sigmoid"], [x], np.dtype(np.float32)))


@operator("recurrent-integer")
class RecurrentInteger(Recurrent):
    """A `recurrent` layer with int8 weights, a float scale for each of their rows [G * H], and int16 states.

    x, bias and peephole are f32. h counts 2^-15, an lstm's c `memory_unit` (a power of two). Products of h and weights
    are summed exactly in 32 bits, 512 at a time; each sum becomes a float32 number, these are added in order and
    multiplied by `scale` (which holds the unit of h). Gates are float32 operations, each rounded once; sigmoid and tanh
    are ratios of polynomials. What is stored (h, c, and the update gate and reset state of a gru without
    `linear_before_reset`) is rounded to whole units, halves to even, and limited to 16 bits. With `panel` the weights
    come as [panels, ceil(H / 2), G, panel, 2], the scales as [panels, G, panel].
    """

    scale: Value | None = None
    memory_unit: float = MEMORY_UNIT
    tolerance = EXACT

    def infer(self, *types: TensorType | None) -> TensorType:
        x, weight, bias, peephole, hidden, memory, lengths, scale = types
        assert x is not None
        self._check_attributes()
        gates = GATES[self.cell]
        if x.rank != 3 or x.shape[2] % gates or x.dtype != f32 or scale is None:
            raise ModelError(f"needs f32[steps, batch, {gates} * size] and a scale, has {x}")
        if any(kind not in EXACT_FUNCTIONS for kind in self.activations):
            raise ModelError(f"computes {' and '.join(EXACT_FUNCTIONS)} only, not {', '.join(self.activations)}")
        size, panels = self.size, -(-self.size // self.panel) if self.panel else 0
        self._check(
            "weight", weight, i8, (panels, -(-size // 2), gates, self.panel, 2) if self.panel else (gates * size, size)
        )
        self._check("scale", scale, f32, (panels, gates, self.panel) if self.panel else (gates * size,))
        self._check_states(f32, bias, peephole, hidden, memory, lengths, i16)
        return TensorType(i16, (x.shape[0] + STATES[self.cell], x.shape[1], size))

    def evaluate(self, x: Array, weight: Array, *others: Array | None) -> Array:
        bias, peephole, hidden, memory, lengths, scale = others
        assert scale is not None
        units = (STATE_UNIT, self.memory_unit)
        given = zip((hidden, memory), units, strict=True)
        none = np.zeros((x.shape[1], self.size), np.float32)
        h, c = (none.copy() if s is None else s.astype(np.float32) * np.float32(unit) for s, unit in given)
        cell = IntegerCell(self, self.columns(weight), self.scales(scale), bias, peephole)
        y = self.run(cell, x, h, c, lengths)
        steps = np.full(len(y), STATE_UNIT)
        steps[x.shape[0] + 1 :] = self.memory_unit
        return np.asarray(y / steps[:, None, None], np.int16)

    @property
    def fixed(self) -> tuple[Value, ...]:
        """Operands that kernels need to know at compile time."""
        return (self.weight,) if self.scale is None else (self.weight, self.scale)

    def columns(self, weight: Array) -> Array:
        """The weights as [H, G * H]."""
        if not self.panel:
            return np.asarray(weight.T)
        wide = weight.transpose(1, 4, 2, 0, 3).reshape(-1, GATES[self.cell], weight.shape[0] * self.panel)
        return np.asarray(wide[: self.size, :, : self.size].reshape(self.size, -1))

    def scales(self, scale: Array) -> Array:
        """The scales as [G, H]."""
        if not self.panel:
            return np.asarray(scale.reshape(-1, self.size))
        return np.asarray(scale.transpose(1, 0, 2).reshape(GATES[self.cell], -1)[:, : self.size])

    @classmethod
    def samples(cls) -> Any:
        rng = np.random.default_rng(0)

        def weights(gates: int, size: int) -> tuple[Value, Value]:
            scale = rng.uniform(0.1, 2, gates * size) * STATE_UNIT / 127
            return constant(rng.integers(-127, 128, (gates * size, size)), i8), constant(scale, f32)

        gru: dict[str, Any] = {"cell": "gru", "activations": FUNCTIONS["gru"]}
        w, scale = weights(4, 17)
        states = (arg(i16, 3, 17), arg(i16, 3, 17))
        yield cls(arg(f32, 5, 3, 68), w, None, arg(f32, 51), *states, arg(i32, 3), clip=1.5, scale=scale)
        w, scale = weights(4, 1)
        yield cls(arg(f32, 3, 1, 4), w, reverse=True, input_forget=True, scale=scale)
        w, scale = weights(3, 33)
        yield cls(arg(f32, 5, 7, 99), w, arg(f32, 33), scale=scale, linear_before_reset=True, **gru)
        w, scale = weights(3, 9)
        yield cls(arg(f32, 4, 2, 27), w, hidden=arg(i16, 2, 9), scale=scale, **gru)
        w, scale = weights(1, 516)
        yield cls(arg(f32, 3, 1, 516), w, scale=scale, cell="rnn", activations=("tanh",))


_ON_ARRAYS = {"sigmoid": exact_sigmoid, "tanh": exact_tanh}


class IntegerCell(Cell):
    """The step of one cell: states are floats that hold whole units."""

    def __init__(
        self, op: RecurrentInteger, columns: Array, scales: Array, bias: Array | None, peephole: Array | None
    ) -> None:  # fmt: skip
        super().__init__(op, columns, bias, peephole)
        self.functions = [_ON_ARRAYS[kind] for kind in op.activations]
        self.scales, self.memory_unit = scales, op.memory_unit

    def product(self, h: Array, gates: slice = slice(None)) -> Array:
        """In double precision, which holds every sum exactly."""
        whole = h.astype(np.float64) / STATE_UNIT
        by_gate = self.columns.reshape(self.op.size, -1, self.op.size)[:, gates].astype(np.float64)
        total = np.zeros((len(h), *by_gate.shape[1:]), np.float32)
        for first in range(0, self.op.size, EXACT_SUM):
            part = slice(first, first + EXACT_SUM)
            total = total + np.tensordot(whole[:, part], by_gate[part], (1, 0)).astype(np.float32)
        return np.asarray(total * self.scales[gates])

    def kept(self, h: Array) -> Array:
        return _rounded(h, STATE_UNIT)

    def remembered(self, c: Array) -> Array:
        return _rounded(c, self.memory_unit)


def _rounded(v: Array, unit: float) -> Array:
    """Whole units that fit into 16 bits; the least number for a NaN."""
    units = np.where(np.isnan(v), np.float32(-32768), v * np.float32(1 / unit))
    return np.asarray(np.rint(np.clip(units, -32768, 32767)) * unit, np.float32)

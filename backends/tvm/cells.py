"""One step of a recurrent cell on a panel of units: the sums of the gates become the gates in place, then the states.

Every product is rounded by itself, as `evaluate` rounds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ir.ops import Recurrent, RecurrentInteger
from ...ir.ops.recurrent import activation_expression
from ...ir.ops.recurrent_integer import EXACT_FUNCTIONS
from ...ir.scalar import Scalar
from ...ir.types import f32
from .elements import Variables
from .functions import larger, number, smaller
from .packages import Expr, statements
from .spelling import fenced, spelled

if TYPE_CHECKING:
    from .recurrent import Writer

OfUnit = Callable[[Expr, Expr], Expr]
"""An expression for a lane of the panel and the unit behind it."""


@dataclass(frozen=True)
class Step:
    """The statements of a step, at its place among the steps, of one row; `sums` begin with gate `first`."""

    layer: Writer
    sums: Any
    panel: Expr
    at: Expr
    row: Expr
    first: int = 0

    def rnn(self) -> None:
        """h = f(sum)."""
        self.gate(0, 0, self.sum(0))
        self.to_state(lambda lane, unit: self.sums[0, lane])

    def gru(self) -> None:
        """Gates z, r, h; the candidate's product is reset."""
        bias = self.layer.op.bias
        self.gate(0, 0, self.sum(0))
        self.gate(1, 0, self.sum(1))

        def candidate(lane: Expr, unit: Expr) -> Expr:
            product = self.product(2, lane, unit)
            product = product if bias is None else product + self.layer.at(bias, unit)
            return self.x(2, unit) + fenced(self.sums[1, lane] * product)

        self.gate(2, 1, candidate)
        self.to_state(lambda lane, unit: self.mixed(self.sums[0, lane], self.sums[2, lane], unit))

    def gates_before_reset(self, update: Any, reset: Any) -> None:
        """The first half of a gru whose state is reset before the product: its update gate and its reset state."""
        self.gate(0, 0, self.sum(0))
        self.gate(1, 0, self.sum(1))
        self.into(update, lambda lane, unit: self.sums[0, lane])
        self.into(reset, lambda lane, unit: self.sums[1, lane] * self.layer.state(self.row, unit))

    def candidate_after_reset(self, update: Any) -> None:
        """The second half; `sums` are those of the candidate."""
        self.gate(2, 1, self.sum(2))
        known = self.layer.number_of
        self.to_state(lambda lane, unit: self.mixed(known(update[unit]), self.sums[0, lane], unit))

    def lstm(self) -> None:
        """Gates i, o, forget, entering; c first, then h."""
        self.gate(0, 0, self.seeing_memory(0, 0))
        if not self.layer.op.input_forget:
            self.gate(2, 0, self.seeing_memory(2, 2))
        self.gate(3, 1, self.sum(3))

        def memory(lane: Expr, unit: Expr) -> Expr:
            i = self.sums[0, lane]
            forget = number(1.0) - i if self.layer.op.input_forget else self.sums[2, lane]
            return fenced(forget * self.layer.memory(self.row, unit)) + fenced(i * self.sums[3, lane])

        self.to_memory(memory)
        self.gate(1, 0, self.seeing_memory(1, 1))
        self.gate(3, 2, lambda lane, unit: self.layer.memory(self.row, unit), clipped=False)
        self.to_state(lambda lane, unit: fenced(self.sums[1, lane] * self.sums[3, lane]))

    # --- what enters ----------------------------------------------------------------------------------------------

    def x(self, gate: int, unit: Expr) -> Expr:
        """The layer's input for a gate."""
        return self.layer.at(self.layer.op.x, self.at, self.row, unit + gate * self.layer.size)

    def product(self, gate: int, lane: Expr, unit: Expr) -> Expr:
        """The product of the weights of a gate and the state."""
        return self.layer.scaled(self.sums[gate - self.first, lane], gate, unit)

    def sum(self, gate: int) -> OfUnit:
        """What enters the activation of a gate."""
        return lambda lane, unit: self.x(gate, unit) + self.product(gate, lane, unit)

    def seeing_memory(self, gate: int, weight: int) -> OfUnit:
        """The same where the gate sees the memory through a peephole."""
        peephole, plain = self.layer.op.peephole, self.sum(gate)
        if peephole is None:
            return plain

        def seen(lane: Expr, unit: Expr) -> Expr:
            factor = self.layer.at(peephole, unit + weight * self.layer.size)
            return plain(lane, unit) + fenced(factor * self.layer.memory(self.row, unit))

        return seen

    def mixed(self, update: Expr, candidate: Expr, unit: Expr) -> Expr:
        """The state of a gru."""
        kept = fenced(update * self.layer.state(self.row, unit))
        return fenced((number(1.0) - update) * candidate) + kept

    # --- statements -----------------------------------------------------------------------------------------------

    def gate(self, gate: int, function: int, entering: OfUnit, clipped: bool = True) -> None:
        """Put the activation of what enters in the place of a gate's sum."""
        bound = self.layer.op.clip if clipped else 0.0
        with self.layer.lanes(self.panel) as (lane, unit):
            variables, value = Variables(), entering(lane, unit)
            value = smaller(number(bound), larger(number(-bound), value)) if bound else value
            value = spelled(self.layer.functions[function], [variables.bind(value)], f32, variables.bind)
            statements.buffer_store(self.sums, variables.whole(value), [gate - self.first, lane])

    def into(self, buffer: Any, value: OfUnit) -> None:
        """Keep a state in a buffer of its own."""
        with self.layer.lanes(self.panel) as (lane, unit):
            statements.buffer_store(buffer, self.layer.stored(value(lane, unit)), [unit])

    def to_state(self, value: OfUnit) -> None:
        """The new h, at the step's place."""
        with self.layer.lanes(self.panel) as (lane, unit):
            self.layer.store(self.layer.stored(value(lane, unit)), self.at, self.row, unit)

    def to_memory(self, value: OfUnit) -> None:
        """The new c."""
        with self.layer.lanes(self.panel) as (lane, unit):
            stored = self.layer.stored(value(lane, unit), self.layer.memory_unit)
            self.layer.store(stored, self.layer.memory_place, self.row, unit)


def functions_of(op: Recurrent) -> list[Scalar]:
    """The activations of a cell."""
    if isinstance(op, RecurrentInteger):
        return [EXACT_FUNCTIONS[kind] for kind in op.activations]
    given = zip(op.activations, op.alphas, op.betas, strict=False)
    return [activation_expression(kind, alpha, beta) for kind, alpha, beta in given]

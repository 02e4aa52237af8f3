"""Recurrent layers as loops over time that are written out: no schedule is left to choose.

The result holds the state: its place behind the steps is h (and c) while the steps run, so that nothing is allocated
but sums of a panel of units. Weights are packed so that one element of h feeds whole vectors of units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ...ir import Value
from ...ir.ops import Recurrent, RecurrentInteger, array_of
from ...ir.ops.recurrent import GATES
from ...ir.ops.recurrent_integer import EXACT_SUM, STATE_UNIT
from .cells import Step, functions_of
from .elements import Variables
from .functions import larger, number, smaller
from .loops import Array, Buffer, Loops, Memory, loop, whole
from .packages import Expr, statements, tirx
from .schedule import SHARED_MACS
from .spelling import DTYPES, fenced
from .tiles import Machine


def recurrent_loops(op: Recurrent, machine: Machine) -> Loops:
    """The function of a recurrent layer."""
    return Writer(op, machine).write()


@dataclass(frozen=True)
class Panel:
    """Units that are computed together, as vectors of a width; unless `whole`, the last panel of all is not full."""

    vectors: int
    width: int
    whole: bool

    @property
    def units(self) -> int:
        """How many units it has."""
        return self.vectors * self.width

    @staticmethod
    def of(units: int, gates: int, machine: Machine) -> Panel:
        """The panel whose sums fill about half of the registers, of whole vectors if they divide the units."""
        width = math.gcd(units, machine.lanes)
        if width < min(machine.lanes, 4):
            return Panel(1, machine.lanes, False)
        most = max(1, min(4, (machine.registers - 4) // (2 * gates)))
        return Panel(max(v for v in range(1, most + 1) if units // width % v == 0), width, True)


class Writer(Memory):
    """Writes the function of one layer."""

    def __init__(self, op: Recurrent, machine: Machine) -> None:
        super().__init__(op)
        self.op: Recurrent = op
        self.gates, self.size = GATES[op.cell], op.size
        self.tile = Panel.of(self.size, self.gates, machine)
        self.panel = self.tile.units
        self.panels = -(-self.size // self.panel)
        self.steps, self.batch = op.x.shape[:2]
        self.state_place, self.memory_place = whole(self.steps), whole(self.steps + 1)
        self.memory_unit = op.memory_unit if isinstance(op, RecurrentInteger) else 1.0
        self.functions = functions_of(op)

    @property
    def is_integer(self) -> bool:
        """Whether states are whole numbers."""
        return isinstance(self.op, RecurrentInteger)

    def write(self) -> Loops:
        """The function."""
        return self.written(self.body, self.packed())

    # --- weights --------------------------------------------------------------------------------------------------

    def packed(self) -> dict[str, tuple[Value, Array]]:
        """Weights that are known as [panels, H, G, panel], scales as [G, H]."""
        op, found = self.op, {}
        weight = array_of(op.weight)
        if weight is not None:
            columns = op.columns(weight).reshape(self.size, self.gates, self.size)
            wide = np.zeros((self.size, self.gates, self.panels * self.panel), columns.dtype)
            wide[..., : self.size] = columns
            blocks = wide.reshape(self.size, self.gates, self.panels, self.panel).transpose(2, 0, 1, 3)
            found["weights"] = op.weight, blocks
        if isinstance(op, RecurrentInteger) and op.scale is not None:
            scale = array_of(op.scale)
            assert scale is not None
            found["scales"] = op.scale, op.scales(scale)
        return found

    def weight(self, panel: Expr, k: Expr, gate: int, lane: Expr) -> Expr:
        if "weights" in self.forms:
            return self.forms["weights"][panel, k, gate, lane]
        unit = tirx.min(panel * self.panel + lane, self.size - 1)
        if not self.op.panel:
            return self.at(self.op.weight, unit + gate * self.size, k)
        width = self.op.panel
        return self.at(self.op.weight, tirx.floordiv(unit, width), k, gate, tirx.floormod(unit, width))

    # --- memory ---------------------------------------------------------------------------------------------------

    def at_state(self, row: Expr, unit: Expr) -> Expr:
        """h as it is stored."""
        return self.at(self.op.result, self.state_place, row, unit)

    def state(self, row: Expr, unit: Expr) -> Expr:
        """h."""
        return self.number_of(self.at_state(row, unit))

    def memory(self, row: Expr, unit: Expr) -> Expr:
        """c."""
        return self.number_of(self.at(self.op.result, self.memory_place, row, unit), self.memory_unit)

    def number_of(self, stored: Expr, unit: float = STATE_UNIT) -> Expr:
        """What a stored state means."""
        return tirx.Cast("float32", stored) * number(unit) if self.is_integer else stored

    def stored(self, value: Expr, unit: float = STATE_UNIT) -> Expr:
        """A state as it is stored: whole units in 16 bits, the least number for a NaN."""
        if not self.is_integer:
            return value
        variables = Variables()
        value = variables.bind(value)
        units = smaller(number(32767.0), larger(number(-32768.0), value * number(1 / unit)))
        units = tirx.Select(value != value, number(-32768.0), units)
        return variables.whole(tirx.Cast("int16", tirx.nearbyint(units)))

    # --- loops ----------------------------------------------------------------------------------------------------

    def body(self) -> None:
        shared = self.batch > 1 and self.op.macs() >= SHARED_MACS
        with loop("row", self.batch, statements.parallel if shared else statements.serial) as row:
            self.begin(row)
            with loop("step", self.count(row)) as step:
                at = self.count(row) - 1 - step if self.op.reverse else step
                self.step(at, row)
                with self.units() as unit:
                    self.store(self.at(self.op.result, at, row, unit), self.state_place, row, unit)

    def begin(self, row: Expr) -> None:
        """The states before the first step, zeros where no step writes."""
        dtype = DTYPES[self.op.type.dtype.name]
        zero = number(0.0) if dtype == "float32" else tirx.const(0, dtype)
        given = (self.op.hidden, self.op.memory)[: self.op.type.shape[0] - self.steps]
        for place, value in enumerate(given):
            with self.units() as unit:
                first = zero if value is None else self.at(value, row, unit)
                self.store(first, whole(self.steps + place), row, unit)
        if self.op.lengths is not None:
            with loop("step", self.steps) as step, self.units() as unit:
                self.store(zero, step, row, unit)

    def count(self, row: Expr) -> Expr:
        """The steps of a row."""
        if self.op.lengths is None:
            return whole(self.steps)
        return tirx.max(tirx.min(self.at(self.op.lengths, row), self.steps), 0)

    @contextmanager
    def units(self) -> Iterator[Expr]:
        with loop("unit", self.size) as unit:
            yield unit

    @contextmanager
    def lanes(self, panel: Expr) -> Iterator[tuple[Expr, Expr]]:
        """A panel's lanes and the units behind them: vectors, or one by one where panels are not full."""
        if self.tile.whole:
            with self.every_lane() as lane:
                yield lane, panel * self.panel + lane
        else:
            with loop("lane", tirx.min(whole(self.panel), self.size - panel * self.panel)) as lane:
                yield lane, panel * self.panel + lane

    def step(self, at: Expr, row: Expr) -> None:
        """One step of one row."""
        if self.op.cell == "gru" and not self.op.linear_before_reset:
            self.reset_first(at, row)
            return
        with loop("panel", self.panels) as panel:
            sums = self.sums(panel, range(self.gates), lambda k: self.at_state(row, k))
            made = Step(self, sums, panel, at, row)
            {"rnn": made.rnn, "gru": made.gru, "lstm": made.lstm}[self.op.cell]()

    def reset_first(self, at: Expr, row: Expr) -> None:
        """A gru whose candidate sees the state after the reset: all resets come before the candidates."""
        kind = DTYPES[self.op.type.dtype.name]
        update, reset = (statements.alloc_buffer((self.size,), kind, layout=None) for _ in range(2))
        with loop("panel", self.panels) as panel:
            sums = self.sums(panel, (0, 1), lambda k: self.at_state(row, k))
            Step(self, sums, panel, at, row).gates_before_reset(update, reset)
        with loop("panel", self.panels) as panel:
            sums = self.sums(panel, (2,), lambda k: reset[k])
            Step(self, sums, panel, at, row, first=2).candidate_after_reset(update)

    # --- products -------------------------------------------------------------------------------------------------

    def scaled(self, total: Expr, gate: int, unit: Expr) -> Expr:
        return fenced(total * self.forms["scales"][gate, unit]) if "scales" in self.forms else total

    def sums(self, panel: Expr, gates: Sequence[int], state: Callable[[Expr], Expr]) -> Buffer:
        """The products of some gates' weights and the state, in a buffer [gates, panel] of float32."""
        total = statements.alloc_buffer((len(gates), self.panel), "float32", scope="local", layout=None)
        self.clear(total, number(0.0))
        if not self.is_integer:
            self.add_products(total, panel, gates, 0, self.size, state)
            return total
        part = statements.alloc_buffer((len(gates), self.panel), "int32", scope="local", layout=None)
        for first in range(0, self.size, EXACT_SUM):
            self.clear(part, tirx.const(0, "int32"))
            self.add_products(part, panel, gates, first, min(first + EXACT_SUM, self.size), state)
            for gate in range(len(gates)):
                with self.every_lane() as lane:
                    more = tirx.Cast("float32", part[gate, lane])
                    statements.buffer_store(total, total[gate, lane] + more, [gate, lane])
        return total

    def add_products(
        self, total: Buffer, panel: Expr, gates: Sequence[int], first: int, end: int, state: Callable[[Expr], Expr]
    ) -> None:  # fmt: skip
        """Add the products of the state's elements from `first` to `end`."""
        with loop("k", end - first) as place:
            k = place + first
            for row, gate in enumerate(gates):
                with self.every_lane() as lane:
                    product = self.product(state(k), self.weight(panel, k, gate, lane))
                    statements.buffer_store(total, total[row, lane] + product, [row, lane])

    def product(self, state: Expr, weight: Expr) -> Expr:
        return tirx.Cast("int32", state) * tirx.Cast("int32", weight) if self.is_integer else state * weight

    def clear(self, buffer: Buffer, zero: Expr) -> None:
        for gate in range(int(buffer.shape[0])):
            with self.every_lane() as lane:
                statements.buffer_store(buffer, zero, [gate, lane])

    @contextmanager
    def every_lane(self) -> Iterator[Expr]:
        several = loop("vector", self.tile.vectors, statements.unroll)
        with several as vector, loop("lane", self.tile.width, statements.vectorized) as lane:
            yield vector * self.tile.width + lane

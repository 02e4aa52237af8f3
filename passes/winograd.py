"""Compute 3x3 convolutions on transformed tiles, with a half to a fifth of the multiplications, where that is faster.

A form is F(2x2), F(4x4) or F(6x6) by the outputs of a tile: larger tiles multiply less, lose more bits and weigh more.
Each layer takes the form that is estimated to be fastest on the target, if random data shows that its result stays
within `error` of the largest value of the direct one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, f32
from ..ir.dims import is_open
from ..ir.ops import Constant, Conv, WinogradConv, array_of, constant
from ..ir.ops.winograd import transform_weights
from ..kernels.database import shipped
from ..kernels.schedules import Book, Question, Schedule, unfit
from ..kernels.table_winograd import (
    EDGES,
    LARGEST_BLOCK,
    Layer,
    Machine,
    WinogradPlan,
    choose_winograd,
    direct_cycles,
    plan_winograd,
    weight_rate,
)
from ..targets import Target
from .registry import register

GAIN = 1.1
"""A form must be estimated to be faster by this factor than the direct kernel."""
MEASURED_GAIN = 1.02
"""The same where both were measured."""
DIRECT: Schedule = (0, 0)
LARGER = 1.03
"""What one more output along the edge of a tile must win, for the bytes and the bits that it costs."""
TRIED_CHANNELS = 64
LIMITS = {"growth": 1.0, "megabytes": 0.0, "error": 0.0}


@dataclass(frozen=True)
class _Choice:
    """A form for a layer, with the cycles of direct convolution and of this."""

    conv: Conv
    layer: Layer
    plan: WinogradPlan
    direct: float
    cycles: float

    @property
    def added(self) -> int:
        """Bytes of weights beside those of the direct kernel."""
        return self.layer.weight_bytes(self.plan.edge) - self.layer.weight_bytes()

    @property
    def worth(self) -> float:
        """Cycles saved by each byte."""
        return (self.direct - self.cycles) / self.added

    def __str__(self) -> str:
        edge = self.plan.edge
        return f"F({edge}x{edge}): expected {self.direct / self.cycles:.1f}x as fast as direct"


@register
@dataclass(frozen=True)
class Winograd:
    """conv -> winograd-conv where the target is faster that way.

    `form` is `auto`, `off`, or 2, 4 or 6 for one form wherever it is possible. With `auto` the weights of the network
    grow to no more than `growth` times their bytes, or by `megabytes` where that is more, and where a byte saves most.
    `error` bounds the distance from the direct result as a part of the largest value. `book` knows what layers took
    that were measured; without one those of the target that come with edgec are taken.
    """

    name: ClassVar[str] = "winograd"
    form: str = "auto"
    growth: float = 2.5
    megabytes: float = 8.0
    error: float = 1e-4
    target: Target | None = None
    book: Book | None = None

    def run(self, graph: Graph) -> Graph:
        edges = self.edges()
        total = sum(op.type.bytes for op in graph if isinstance(op, Constant))
        machine, left = machine_of(self.target, total), max((self.growth - 1) * total, self.megabytes * 2**20)
        for op in graph:
            if isinstance(op, WinogradConv) and not op.scratch:
                plan_given(op, machine)
        found = [op for op in graph if isinstance(op, Conv) and fits(op)] if edges else []
        layers = [choices for op in found if (choices := self.choices(op, machine, edges))]
        for choices in sorted(layers, key=lambda choices: -choices[0].worth):
            taken = next((choice for choice in choices if self.takes(graph, choice, left)), None)
            if taken is not None:
                replace(graph, taken)
                left -= taken.added
        return graph

    def edges(self) -> tuple[int, ...]:
        """The forms to try; UsageError where an option makes no sense."""
        forms = {"auto": EDGES, "off": (), **{str(edge): (edge,) for edge in EDGES}}
        if self.form not in forms:
            raise UsageError(f"there is no Winograd form '{escape(self.form)}'", hint=f"forms: {', '.join(forms)}")
        wrong = [name for name, least in LIMITS.items() if not least <= getattr(self, name) < math.inf]
        if wrong:
            what = f"option '{wrong[0]}' of pass 'winograd' is {getattr(self, wrong[0]):g}"
            raise UsageError(what, hint=f"it is a number from {LIMITS[wrong[0]]:g} on")
        return forms[self.form]

    def choices(self, conv: Conv, machine: Machine, edges: tuple[int, ...]) -> list[_Choice]:
        """The forms of a layer that are fast enough, the best first."""
        layer = layer_of(conv)
        direct = direct_cycles(machine, layer)
        known = self.known(layer) if self.form == "auto" else {}
        if DIRECT in known:
            return self.measured(conv, layer, machine, known)
        plans = [choose_winograd(machine, layer, edge) for edge in edges]
        fast = [(plan, cycles) for plan, cycles in plans if direct >= GAIN * cycles or self.form != "auto"]
        choices = [_Choice(conv, layer, plan, direct, cycles) for plan, cycles in fast]
        return sorted(choices, key=lambda choice: choice.cycles * LARGER**choice.plan.edge)

    def known(self, layer: Layer) -> Mapping[Schedule, float]:
        """What the forms of a layer took, as far as that was measured."""
        book = self.book
        if book is None and self.target is not None:
            book = shipped(self.target)
        return book.times(question_of(layer)) if book is not None else {}

    def measured(self, conv: Conv, layer: Layer, machine: Machine, known: Mapping[Schedule, float]) -> list[_Choice]:
        """The forms that took less time than the direct kernel, the best first; in cycles as estimates are."""
        direct = direct_cycles(machine, layer)
        fast = sorted((us, form) for form, us in known.items() if MEASURED_GAIN * us < known[DIRECT])
        choices = []
        for us, (edge, block) in fast:
            if edge not in EDGES or not 1 <= block <= min(LARGEST_BLOCK, layer.tiles(edge)):
                raise unfit("measured schedules", question_of(layer), (edge, block))
            plan = plan_winograd(machine, layer, edge, block)
            choices.append(_Choice(conv, layer, plan, direct, direct * us / known[DIRECT]))
        return choices

    def takes(self, graph: Graph, choice: _Choice, left: float) -> bool:
        """Whether the limits allow a form; a note says which does not."""
        if self.form == "auto" and choice.added > left:
            why = f"the weights of the network would grow to more than {self.growth:g} times their bytes"
            graph.note(self.name, f"{choice}, but {why}", choice.conv)
            return False
        error = error_of(choice.conv, choice.plan.edge)
        if error > self.error:
            graph.note(self.name, f"{choice}, but an error of {error:.0e} of the largest value", choice.conv)
            return False
        return True


def plan_given(op: WinogradConv, machine: Machine) -> None:
    """Block and scratch of a form that the model itself asks for."""
    plan, _ = choose_winograd(machine, layer_of(op), op.edge)
    op.block, op.scratch = plan.block, plan.scratch


def fits(conv: Conv) -> bool:
    """Whether an op is a convolution without border that tiles can compute."""
    numbers = {*conv.strides, *conv.dilations, conv.groups}
    constants = [v for v in (conv.w, conv.bias) if v is not None]
    known = all(isinstance(v.producer, Constant) and v.dtype == f32 for v in constants)
    known = known and not any(map(is_open, conv.x.shape))
    return known and type(conv) is Conv and numbers == {1} and not any(conv.pads) and conv.w.shape[2:] == (3, 3)


def layer_of(conv: Conv) -> Layer:
    """The numbers of a convolution."""
    n, out_c, h, w = conv.type.shape
    return Layer(n, h, w, out_c, conv.w.shape[1])


def question_of(layer: Layer) -> Question:
    """What a database of measured schedules is asked about a layer."""
    return Question("winograd_f32", (layer.batch, layer.out_h, layer.out_w, layer.out_c, layer.in_c))


def machine_of(target: Target | None, total: int) -> Machine:
    """What the costs depend on: the target, AVX2 where there is none, and the bytes of all weights."""
    if target is None:
        return Machine("avx2", None, 256 << 10, 8 << 20, weight_rate(total, 256 << 10, 8 << 20))
    rate = weight_rate(total, target.l2_bytes, target.l3_bytes)
    return Machine(target.isa, target.registers, target.l2_bytes, target.l3_bytes, rate, target.core)


def error_of(conv: Conv, edge: int) -> float:
    """The largest distance from the direct result on random data, as a part of its largest value, on some channels."""
    weights = array_of(conv.w)
    assert weights is not None
    some = weights[:: -(-len(weights) // TRIED_CHANNELS)]
    x = np.random.default_rng(0).standard_normal((1, weights.shape[1], 2 * edge + 2, 2 * edge + 2)).astype(np.float32)
    direct = Conv(constant(x), constant(some)).evaluate(x.astype(np.float64), some.astype(np.float64), None)
    turned = transform_weights(some, edge)
    found = WinogradConv(constant(x), constant(turned), edge=edge).evaluate(x, turned, None)
    largest = float(np.abs(direct).max())
    return float(np.abs(found - direct).max()) / largest if largest else 0.0


def replace(graph: Graph, choice: _Choice) -> Op:
    """Put the form in the place of the convolution."""
    conv, plan = choice.conv, choice.plan
    weights = array_of(conv.w)
    assert weights is not None
    turned = constant(transform_weights(weights, plan.edge))
    graph.note("winograd", f"{choice}, weights {choice.added / 1e6:+.1f} MB", conv)
    made = WinogradConv(conv.x, turned, conv.bias, edge=plan.edge, block=plan.block, scratch=plan.scratch)
    made.origin, made.result.type, made.result.name = conv.origin, conv.type, conv.result.name
    graph.replace_op(conv, [made.result])
    if not conv.w.users and conv.w.producer is not None:
        graph.remove(conv.w.producer)
    return made

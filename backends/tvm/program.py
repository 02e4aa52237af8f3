"""A lowered graph as calls of functions on tensors: what the Relax module and the executor are both made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir import Graph, Op, Value
from ...ir.ops import Constant, Contract, Fused, Recurrent, View, WinogradConv
from ...passes.places import Buffer, Place, same_places, view_place
from .elements import physical_shape
from .loops import Loops
from .packages import ffi
from .recurrent import recurrent_loops
from .region import Region
from .scatter import SCATTERS, scatter_loops
from .schedule import NAME, scheduled
from .spelling import DTYPES
from .stages import Stages, stages_of
from .strided import strided_loops
from .tiles import Machine
from .winograd import winograd_loops

Array = np.ndarray


@dataclass(eq=False)
class Slot:
    """A tensor in memory: an input, an output of a call, or a constant (which has an `array`)."""

    shape: tuple[int, ...]
    dtype: str
    name: str = ""
    array: Array | None = None
    input: int = -1

    @property
    def bytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape, dtype=np.int64)) * element_bytes(self.dtype)


@dataclass(frozen=True)
class Argument:
    """A slot under the shape that a function takes it in."""

    slot: Slot
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A function called on arguments, the result last."""

    kernel: str
    op: Op
    arguments: tuple[Argument, ...]

    @property
    def result(self) -> Slot:
        """What it writes."""
        return self.arguments[-1].slot


@dataclass
class Program:
    """Functions by name (scheduled, as they were before, and what a schedule did), and the calls in order."""

    graph: Graph
    machine: Machine
    kernels: dict[str, Any] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    traces: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    inputs: list[Slot] = field(default_factory=list)
    outputs: list[Argument] = field(default_factory=list)

    @property
    def constants(self) -> list[Slot]:
        """The constants that calls or outputs read, each once, in order of use."""
        used = [a.slot for call in self.calls for a in call.arguments] + [a.slot for a in self.outputs]
        return [slot for slot in dict.fromkeys(used) if slot.array is not None]


def element_bytes(dtype: str) -> int:
    """Bytes of an element of a type, by TVM's name."""
    return 1 if dtype == "bool" else int(np.dtype(dtype).itemsize)


def program_of(graph: Graph, machine: Machine, say: Callable[[str], None] = lambda text: None) -> Program:
    """Translate a graph in which all regions are fused."""
    return _Translator(graph, machine, say).run()


class _Translator:
    def __init__(self, graph: Graph, machine: Machine, say: Callable[[str], None]) -> None:
        self.graph, self.machine, self.say = graph, machine, say
        self.program = Program(graph, machine)
        self.slots: dict[Value, Slot] = {}
        self.arrays: dict[tuple[str, tuple[int, ...], bytes], Slot] = {}
        self.by_text: dict[str, str] = {}

    def run(self) -> Program:
        for place, value in enumerate(self.graph.inputs):
            self.slots[value] = Slot(physical_shape(value.type), DTYPES[value.dtype.name], value.name, None, place)
            self.program.inputs.append(self.slots[value])
        for count, op in enumerate(self.graph):
            self.say(f"{count + 1} of {len(self.graph)}")
            self.add(op)
        self.program.outputs = [Argument(self.slot(v), v.shape) for v in self.graph.outputs]
        return self.program

    def slot(self, value: Value) -> Slot:
        """Where a value lies; constants in their physical order."""
        if value not in self.slots:
            assert isinstance(value.producer, Constant)
            self.slots[value] = self.constant(value.producer.value.transpose(value.type.physical))
        return self.slots[value]

    def constant(self, array: Array) -> Slot:
        """The slot of an array; equal ones share it."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.arrays:
            self.arrays[key] = Slot(array.shape, str(array.dtype), f"weight_{len(self.arrays)}", array)
        return self.arrays[key]

    def add(self, op: Op) -> None:
        if isinstance(op, Constant):
            return
        if isinstance(op, View) and renames(op):
            self.slots[op.result] = self.slot(op.operands[0])
            return
        stages = translated(op, self.machine)
        value = op.results[0]
        self.slots[value] = Slot(physical_shape(value.type), DTYPES[value.dtype.name], value.name)
        arguments = [Argument(self.slot(stages.region.outer[v]), physical_shape(v.type)) for v, _ in stages.operands]
        arguments += [Argument(self.constant(array), array.shape) for _, array in stages.constants]
        arguments.append(Argument(self.slots[value], self.slots[value].shape))
        self.program.calls.append(Call(self.kernel(op, stages), op, tuple(arguments)))

    def kernel(self, op: Op, stages: Stages | Loops) -> str:
        """The name of the function; equal functions are one."""
        plain = stages.function()
        text = str(ffi.structural_hash(plain, map_free_vars=True))
        for name, known in self.program.plain.items():
            if self.by_text[name] == text and ffi.structural_equal(known, plain, map_free_vars=True):
                return name
        name = f"{label(op)}_{len(self.program.plain)}"
        self.by_text[name] = text
        self.program.plain[name] = self.program.kernels[name] = plain
        if isinstance(stages, Stages):
            schedule = scheduled(stages)
            self.program.kernels[name], self.program.traces[name] = schedule.mod[NAME], schedule.trace
        return name


def translated(op: Op, machine: Machine) -> Stages | Loops:
    """The function of an op, before a schedule."""
    if isinstance(op, Recurrent):
        return recurrent_loops(op, machine)
    if isinstance(op, Contract):
        return strided_loops(op)
    if isinstance(Region.of(op).anchor, WinogradConv):
        return winograd_loops(op, machine)
    return scatter_loops(op) if isinstance(op, SCATTERS) else stages_of(op, machine)


def renames(op: View) -> bool:
    """Whether a view shows the very same memory."""
    source = op.operands[0].type
    dense = Place(Buffer("arena", source.bytes, source.dtype), 0, source.strides)
    at = view_place(op, dense)
    same = at is not None and at.offset == 0 and same_places(op.type.shape, at.strides, op.type.strides)
    return same and op.type.size == source.size


def label(op: Op) -> str:
    """A name for the function of an op, from the names of IR operators alone."""
    names = op.label.split("+") if isinstance(op, Fused) else [op.name]
    return "_".join(names[:3]).replace("-", "_")


def lifetimes(program: Program) -> Iterator[tuple[Slot, int, int]]:
    """Each slot that a call writes, the call that writes it and the last one that reads it."""
    first: dict[Slot, int] = {}
    last: dict[Slot, int] = {}
    for step, call in enumerate(program.calls):
        first.setdefault(call.result, step)
        for argument in call.arguments:
            last[argument.slot] = step
    for argument in program.outputs:
        last[argument.slot] = len(program.calls)
    for slot, step in first.items():
        yield slot, step, last[slot]

"""Runs a planned graph in simulated memory: every value is read and written at the place that the plan gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgec.ir import Graph, Op, Value
from edgec.ir.aliases import aliases_of
from edgec.ir.ops import Assembly, Constant, View
from edgec.passes.places import (
    ARENA,
    INPUT,
    OUTPUT,
    WEIGHT,
    Buffer,
    Place,
    box_place,
    coincide,
    same_places,
    view_place,
)
from edgec.passes.plan import MemoryPlan

POISON = 0xFF


class Memory:
    """Buffers as bytes: the arena and the outputs full of poison, inputs and constants as they are."""

    def __init__(self, graph: Graph, inputs: Sequence[np.ndarray]) -> None:
        self.plan: MemoryPlan = graph.metadata["plan"]
        self.arena = np.full(self.plan.arena_bytes, POISON, np.uint8)
        self.bytes: dict[Buffer, np.ndarray] = {}
        for value, array in zip(graph.inputs, inputs, strict=True):
            self.read(value)[...] = array
        for op in graph:
            if isinstance(op, Constant):
                stored = np.ascontiguousarray(op.value.transpose(op.type.physical))
                self.bytes[self.plan.place(op.result).buffer] = stored.reshape(-1).view(np.uint8)

    def at(self, value: Value, place: Place) -> np.ndarray:
        """The elements of a value at a place, as an array that writes through."""
        buffer, width = place.buffer, value.dtype.bytes
        if buffer.kind == ARENA:
            room = self.arena[buffer.offset : buffer.offset + buffer.bytes]
        else:
            room = self.bytes.setdefault(buffer, np.full(buffer.bytes, POISON, np.uint8))
        strides = tuple(s * width for s in place.strides)
        return np.ndarray(value.shape, value.dtype.numpy, room, place.offset * width, strides)

    def read(self, value: Value) -> np.ndarray:
        return self.at(value, self.plan.place(value))

    def write(self, value: Value, array: np.ndarray) -> None:
        place = self.plan.place(value)
        assert place.buffer.kind in (ARENA, OUTPUT), f"{value} is written to {place.buffer.kind} memory"
        self.at(value, place)[...] = array


def run(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a planned graph."""
    memory = executed(graph, inputs)
    assert all(memory.plan.place(v).buffer.kind == INPUT for v in graph.inputs)
    return [_delivered(memory, i, v) for i, v in enumerate(graph.outputs)]


def run_shared(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a planned graph that has aliases: as the caller finds them in the buffers at the end."""
    memory = executed(graph, inputs)
    shared = {alias.output: memory.plan.place(graph.inputs[alias.input]) for alias in aliases_of(graph)}
    places = {}
    for index in memory.plan.storage.deliveries:
        value = graph.outputs[index]
        place = memory.plan.place(value)
        own = (place.buffer.kind, place.buffer.index) == (OUTPUT, index)
        kind = value.type.with_order(())
        fresh = Place(Buffer(OUTPUT, kind.bytes, kind.dtype, index), 0, kind.strides)
        places[index] = place if own else shared.get(index, fresh)
        if not own:
            memory.at(value, places[index])[...] = memory.read(value).copy()
        if index in shared:
            assert coincide(value.shape, places[index], replace(shared[index], strides=places[index].strides))
    return [memory.at(value, places[i]).copy() for i, value in enumerate(graph.outputs)]


def executed(graph: Graph, inputs: Sequence[np.ndarray]) -> Memory:
    """The memory after all ops of a planned graph."""
    memory = Memory(graph, inputs)
    for op in graph:
        if isinstance(op, Assembly):
            _assemble(memory, op)
        elif not isinstance(op, Constant) and not (isinstance(op, View) and lies_in_place(memory.plan, op)):
            arrays = op.compute(lambda v: memory.read(v).copy())
            for result, array in zip(op.results, arrays, strict=True):
                memory.write(result, array)
    return memory


def _delivered(memory: Memory, index: int, value: Value) -> np.ndarray:
    """An output from the caller's buffer where it is computed there, else copied at the end."""
    place = memory.plan.place(value)
    if place.buffer.kind == OUTPUT and place.buffer.index == index:
        kind = value.type.with_order(())
        assert (place.offset, place.buffer.bytes) == (0, kind.bytes)
        assert same_places(kind.shape, place.strides, kind.strides), "an output is not row-major"
    return memory.read(value).copy()


def _assemble(memory: Memory, op: Assembly) -> None:
    place = memory.plan.place(op.result)
    covered = np.zeros(op.type.shape, bool)
    for operand, box in zip(op.operands, op.boxes(), strict=True):
        target = box_place(place, box)
        if not coincide(operand.shape, memory.plan.place(operand), target):
            memory.at(operand, target)[...] = memory.read(operand).copy()
        spans = zip(box.starts, box.steps, operand.shape, strict=True)
        covered[tuple(slice(a, a + t * n, t) for a, t, n in spans)] = True
    if op.filling is not None:
        memory.read(op.result)[~covered] = op.filling


def lies_in_place(plan: MemoryPlan, op: View) -> bool:
    """Whether a view costs nothing."""
    return coincide(op.type.shape, view_place(op, plan.place(op.operands[0])), plan.place(op.result))


def copies(graph: Graph) -> list[str]:
    """What moves for views and assemblies alone: one name for each value that is copied."""
    plan: MemoryPlan = graph.metadata["plan"]
    return [name for op in graph for name in _copies(plan, op)]


def _copies(plan: MemoryPlan, op: Op) -> list[str]:
    if isinstance(op, View):
        return [] if plan.place(op.operands[0]).buffer.kind == WEIGHT or lies_in_place(plan, op) else [op.name]
    if not isinstance(op, Assembly):
        return []
    pairs = zip(op.operands, op.boxes(), strict=True)
    place = plan.place(op.result)
    return [op.name for x, box in pairs if not coincide(x.shape, plan.place(x), box_place(place, box))]

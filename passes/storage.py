"""Give every value of a lowered graph a place.

Backwards, from outputs and assemblies to what they are made of: a producer writes straight into the caller's buffer,
into its part of a concatenation or into the inside of a padded tensor. Then forwards: views become places inside their
operand's buffer, results that may take over a dying operand's buffer do, everything else gets a buffer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import Graph, Op, TensorType, Value
from ..ir.ops import (
    Assembly,
    Attention,
    Cascade,
    Constant,
    ControlFlow,
    Conv,
    ConvInteger,
    Fused,
    Impossible,
    MatMul,
    MatMulInteger,
    PackPanels,
    PanelMatMul,
    Pool,
    Recurrent,
    Relayout,
    Routine,
    View,
)
from ..ir.types import u8
from .inplace import takes_over
from .places import ARENA, INPUT, OUTPUT, WEIGHT, Buffer, Place, box_place, operand_place, same_places, view_place
from .scratch import scratch_of
from .shared_buffers import Sharing, check_growth, deliveries, isolate, shared_places

KERNEL_OPS = (Conv, ConvInteger, Pool, MatMul, MatMulInteger, PanelMatMul)


@dataclass
class Storage:
    """The places of all values; `copies` are views and assemblies' operands whose elements must move after all."""

    places: dict[Value, Place] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    scratch: dict[Op, Buffer] = field(default_factory=dict)
    """Memory that an op needs while it runs, and nobody afterwards."""
    deliveries: list[int] = field(default_factory=list)
    """The outputs in the order in which those are copied at the end that do not lie in their buffers."""

    def arena_buffers(self) -> list[Buffer]:
        return [b for b in self.buffers if b.kind == ARENA and b.first >= 0]


def assign_storage(graph: Graph) -> Storage:
    """Places for every value, with the lifetimes of their buffers in steps (positions of ops)."""
    isolate(graph, _readable)
    return _Assignment(graph).run()


class _Assignment:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.storage = Storage()
        self.places = self.storage.places
        self.residents: dict[Buffer, list[Value]] = {}
        self.step = {op: i for i, op in enumerate(graph)}
        self.shared = shared_places(graph)

    def run(self) -> Storage:
        self.place_inputs()
        for value in self.graph.values:
            if isinstance(value.producer, Constant):
                self.put(value, self.dense(value, WEIGHT))
        self.impose_shared()
        self.impose_outputs()
        for op in reversed(self.graph.ops):
            if isinstance(op, Assembly):
                self.impose_boxes(op)
        for op in self.graph:
            self.settle(op)
        self.extend_lifetimes()
        check_growth(self.graph, self.shared, self.places)
        self.storage.deliveries = deliveries(self.graph, self.places)
        return self.storage

    def place_inputs(self) -> None:
        for alias, place in self.shared.items():
            self.storage.buffers.append(place.buffer)
            self.put(self.graph.inputs[alias.input], place)
        for index, value in enumerate(self.graph.inputs):
            if value not in self.places:
                self.put(value, self.dense(value, INPUT, index))

    def dense(self, value: Value, kind: str, index: int = 0) -> Place:
        buffer = Buffer(kind, value.type.most_bytes, value.dtype, index)
        self.storage.buffers.append(buffer)
        return Place(buffer, 0, value.type.strides)

    # --- backwards ------------------------------------------------------------------------------------------------

    def impose_shared(self) -> None:
        """Outputs in the buffers of inputs; in the arena where that would overwrite what somebody still reads."""
        sharing = Sharing(self.graph, self.step)
        for alias, place in self.shared.items():
            value = self.graph.outputs[alias.output]
            if value.producer is None or isinstance(value.producer, Constant) or value in self.places:
                continue
            if sharing.may_write(alias, place):
                self.impose(value, place)
            else:
                self.put(value, self.dense(value, ARENA))

    def impose_outputs(self) -> None:
        for index, value in enumerate(self.graph.outputs):
            if value.producer is None or isinstance(value.producer, Constant) or value in self.places:
                continue
            self.impose(value, self.dense(value, OUTPUT, index))

    def impose(self, value: Value, place: Place) -> None:
        """Let a value lie at a place, and what it views too where that is possible."""
        self.put(value, place)
        op = value.producer
        while isinstance(op, View):
            below = operand_place(op, place)
            if below is None or not self.may_lie(op.operands[0], below):
                return
            value, place = op.operands[0], below
            self.put(value, place)
            op = value.producer

    def impose_boxes(self, op: Assembly) -> None:
        if op.result not in self.places:
            self.put(op.result, self.dense(op.result, ARENA))
        place = self.places[op.result]
        for operand, box in zip(op.operands, op.boxes(), strict=True):
            target = box_place(place, box)
            if self.may_chain(operand, target):
                self.impose(operand, target)

    def may_chain(self, value: Value, place: Place) -> bool:
        """Whether imposing a place on a value reaches the op that computes it."""
        while self.may_lie(value, place):
            if not isinstance(value.producer, View) or _moves(value.producer):
                return True
            below = operand_place(value.producer, place)
            if below is None:
                return False
            value, place = value.producer.operands[0], below
        return False

    def may_lie(self, value: Value, place: Place) -> bool:
        """Whether a value, not placed yet, may lie there: its op can write so, and its readers can read so."""
        op = value.producer
        if op is None or isinstance(op, Constant) or value in self.places:
            return False
        dense = same_places(value.shape, place.strides, value.type.strides)
        if not (dense if isinstance(op, ControlFlow | Impossible | Routine) else _writable(op, place)):
            return False
        return all(_readable(user, value, place) for user in value.users)

    # --- forwards -------------------------------------------------------------------------------------------------

    def settle(self, op: Op) -> None:
        if isinstance(op, Constant):
            return
        if isinstance(op, View) and op.result not in self.places:
            at = view_place(op, self.places[op.operands[0]])
            if at is not None and all(_readable(u, op.result, at) or _copied_anyway(u) for u in op.result.users):
                self.put(op.result, at)
        for result in op.results:
            if result not in self.places:
                self.put(result, self.taken_over(op, result) or self.dense(result, ARENA))
            self.places[result].buffer.touch(self.step[op])
        for value in op.operands:
            self.places[value].buffer.touch(self.step[op])
        self.reserve(op)

    def reserve(self, op: Op) -> None:
        needed = scratch_of(_anchor(op))
        if needed is not None:
            block = self.dense(Value(TensorType(u8, (needed.bytes,))), ARENA).buffer
            block.touch(self.step[op])
            self.storage.scratch[op] = block

    def taken_over(self, op: Op, result: Value) -> Place | None:
        """The place of an operand that dies here and may be overwritten element by element."""
        for operand in takes_over(op):
            place = self.places[operand]
            fits = place.offset == 0 and place.buffer.bytes == result.type.most_bytes
            same = same_places(result.shape, place.strides, result.type.strides)
            sole = sum(self.places[v].buffer is place.buffer for v in dict.fromkeys(op.operands)) == 1
            if place.buffer.kind == ARENA and fits and same and sole and not self.read_later(place.buffer, op):
                return Place(place.buffer, 0, result.type.strides)
        return None

    def read_later(self, buffer: Buffer, op: Op) -> bool:
        """Whether anything in a buffer has a reader after an op."""
        here = self.step[op]
        return any(self.step.get(user, here + 1) > here for v in self.residents[buffer] for user in v.users)

    def put(self, value: Value, place: Place) -> None:
        self.places[value] = place
        self.residents.setdefault(place.buffer, []).append(value)

    def extend_lifetimes(self) -> None:
        end = len(self.step)
        for value in self.graph.outputs:
            self.places[value].buffer.touch(end)


def _moves(op: View) -> bool:
    """Whether a view is a copy in any case, so that the copy may as well write somewhere else."""
    return isinstance(op, Relayout) and not op.x.type.same_memory(op.order)


def _writable(op: Op, place: Place) -> bool:
    """Whether an op can write its result with these strides: kernels want channels (or columns) side by side."""
    anchor = _anchor(op.body.ops[-1] if isinstance(op, Cascade) else op)
    if isinstance(anchor, Conv | ConvInteger | Pool):
        return anchor.type.rank == 4 and (place.strides[1] == 1 or anchor.type.shape[1] == 1)
    if isinstance(anchor, Attention | MatMul | MatMulInteger | PanelMatMul):
        return place.strides[-1] == 1 or anchor.type.shape[-1] == 1
    return not isinstance(op, PackPanels | Recurrent)


def _copied_anyway(op: Op) -> bool:
    """Whether a view is a copy even of a dense operand, so that it may as well be one of strides."""
    if not isinstance(op, View):
        return False
    dense = Place(Buffer(ARENA, 0, op.result.dtype), 0, op.operands[0].type.strides)
    at = view_place(op, dense)
    return at is not None and not all(_readable(user, op.result, at) for user in op.result.users)


def _readable(user: Op, value: Value, place: Place) -> bool:
    """Whether a reader can read a value with these strides."""
    if isinstance(user, View):
        at = view_place(user, place)
        if at is None:
            return isinstance(user, Relayout)  # it moves the elements anyway, from wherever they are
        return all(_readable(u, user.result, at) for u in user.result.users)
    if isinstance(user, Fused | Cascade):
        inner = [v for v, outer in zip(user.body.inputs, user.xs, strict=True) if outer is value]
        return all(_readable(u, v, place) for v in inner for u in v.users if isinstance(u, (Fused, *KERNEL_OPS)))
    if isinstance(user, Conv | ConvInteger | Pool) and value is user.x:
        return place.strides[1] == 1 or value.shape[1] == 1
    if isinstance(user, MatMul | MatMulInteger | PanelMatMul) and value is user.operands[0]:
        return place.strides[-1] == 1 or value.shape[-1] == 1
    if isinstance(user, Attention) and value is not user.bias:
        return place.strides[-1] == 1 or value.shape[-1] == 1
    if isinstance(user, PanelMatMul | Recurrent | Routine | ControlFlow):
        return same_places(value.shape, place.strides, value.type.strides)
    return True


def _anchor(op: Op) -> Op:
    if isinstance(op, Fused):
        return next((o for o in op.body if isinstance(o, KERNEL_OPS)), op)
    return op

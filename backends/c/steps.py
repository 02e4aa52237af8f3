"""From planned ops to steps: functions over pointers, each with the buffer parts it is called on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...artifact.weights import Weights
from ...errors import EdgecError
from ...ir import Graph, Op, TensorType, Value
from ...ir.dims import bounds, is_open
from ...ir.ops import (
    ArgReduce,
    Assembly,
    Box,
    Cascade,
    Constant,
    ControlFlow,
    Conv,
    ConvInteger,
    FindSize,
    Fused,
    Impossible,
    MatMul,
    MatMulInteger,
    Reduce,
    Relayout,
    Routine,
    Sizes,
    View,
    array_of,
)
from ...ir.types import dtype_of, u8
from ...kernels.schedules import MODEL, Book, Question, Schedule
from ...passes.places import ARENA, INPUT, OUTPUT, WEIGHT, Buffer, Place, box_place, coincide, view_place
from ...passes.plan import MemoryPlan
from ...passes.rolling import rolling_of
from ...targets import Target
from . import fill, search, spelling
from .affine import ZERO, Affine
from .anchors import kernel_call
from .cascade_steps import body_plan, driver, pointers_of
from .code import (
    Assign,
    Choose,
    Convert,
    Declare,
    Element,
    Expression,
    Function,
    If,
    Infix,
    Literal,
    Name,
    Statement,
    size,
)
from .flow import SLOT, BodyPlace, Flow, Part, flow_of
from .nest import generate
from .region import Region, region_of
from .routine_calls import routine_call
from .sizes import ARRAY, declared, names_in

SIZES = "sizes"
"""The kind of a part that holds the open sizes of a run."""


@dataclass(frozen=True)
class Access:
    """A value that a step reads or writes, and where it lies."""

    value: Value
    place: Place
    reading: bool


@dataclass
class Step:
    """One call in a run of the network."""

    op: Op
    function: Function | None
    epilogue: Function | None
    parts: list[Part]
    tasks: int
    headers: set[str]
    kernel: str
    tile: str = ""
    flow: Flow | None = None
    """What an op of control flow does; such a step has no function over pointers."""
    bodies: list[list[Step]] = field(default_factory=list)
    asked: list[tuple[Question, Schedule]] = field(default_factory=list)
    """The questions whose answers its schedule is."""
    stages: list[Step] = field(default_factory=list)
    """What a cascade calls: their functions compute rows."""
    accesses: list[Access | None] = field(default_factory=list)
    """What each part holds, where that is a value."""


@dataclass
class _Draft:
    """A step being written: pointers by name, in the order in which the function takes them."""

    pointers: dict[str, Part] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)
    """How many elements behind the part a pointer leads, where that is known only at run time."""
    accesses: dict[str, Access] = field(default_factory=dict)


@dataclass
class Shared:
    """What the writers of a graph and of all bodies in it have in common."""

    graph: Graph
    weights: Weights = field(default_factory=Weights)
    slots: int = 0
    book: Book = MODEL

    def new_slots(self, count: int) -> list[Part]:
        """Base pointers of their own."""
        self.slots += count
        return [Part(SLOT, i, 0) for i in range(self.slots - count, self.slots)]


class StepWriter:
    """Writes the steps of a planned graph, or of a body, which has its inputs, outputs and arena at given places."""

    def __init__(self, graph: Graph, target: Target, within: BodyPlace | None = None, shared: Shared | None = None):
        self.graph, self.target, self.within = graph, target, within
        self.plan: MemoryPlan = graph.metadata["plan"]
        self.shared = shared or Shared(graph)
        self.weights = self.shared.weights
        self.symbols = list(self.shared.graph.symbols)

    def steps(self) -> Iterator[Step]:
        """Every step, in order."""
        for op in self.graph:
            yield from self.of(op)
        for index in self.plan.storage.deliveries:
            yield from self.deliver(index, self.graph.outputs[index])

    def of(self, op: Op) -> Iterator[Step]:
        """The steps of one op: none for constants and for views that lie in place."""
        if isinstance(op, Constant):
            return
        if isinstance(op, View):
            seen = view_place(op, self.plan.place(op.operands[0]))
            if not coincide(op.type.shape, seen, self.plan.place(op.result)):
                yield self.copy_view(op)
        elif isinstance(op, Assembly):
            yield from self.assembly(op)
        else:
            yield self.writer(op)(op)

    def writer(self, op: Op) -> Callable[[Any], Step]:
        """What writes the one step of an op."""
        kinds: list[tuple[Any, Callable[[Any], Step]]] = [
            (ArgReduce, self.arg_reduce), (ControlFlow | Impossible, self.flow), (Routine, self.routine),
            (Sizes, self.sizes), (FindSize, self.find_size), (Cascade, self.cascade),
        ]  # fmt: skip
        return next((write for kind, write in kinds if isinstance(op, kind)), self.region)

    # --- kinds of steps -------------------------------------------------------------------------------------------

    def region(self, op: Op) -> Step:
        region = region_of(op, self.plan.place)
        return self.write(op, region)

    def write(self, op: Op, region: Region, label: str = "") -> Step:
        draft = _Draft()
        pointers = self.leaf_pointers(draft, region)
        call = kernel_call(region, pointers, "step", self.target, self.shared.book)
        if call is None:
            self.point(draft, "y", region.target, region.result)
            nest = generate(region, pointers, "y", self.target.lanes)
            return self.finish(op, draft, nest.body, nest.tasks, set(), label or _loop_label(region))
        for name, array in call.constants.items():
            draft.pointers[name] = Part(WEIGHT, 0, self.weights.add(array))
            draft.types[name] = f"const {spelling.CTYPES[dtype_of(array).name]} *"
        self.point(draft, "y", region.target, region.result)
        self.point_scratch(draft, op)
        headers = {call.header}
        if call.note:
            self.shared.graph.note("kernel", call.note, op)
        step = self.finish(op, draft, call.body, call.tasks, headers, call.kernel, call.tile)
        step.epilogue, step.asked = call.epilogue, call.asked
        return step

    def cascade(self, op: Cascade) -> Step:
        """A step whose stages compute rows between rolling buffers."""
        places = {v: self.plan.place(v) for v in (*op.xs, op.result)}
        op.body.metadata["plan"] = body_plan(op, places)
        scratch = self.part(Place(self.plan.storage.scratch[op], 0), Value(TensorType(u8, ())))
        inputs, outputs = [self.part(places[x], x) for x in op.xs], [self.part(places[op.result], op.result)]
        inner = StepWriter(op.body, self.target, BodyPlace(op.body, inputs, outputs, scratch.offset), self.shared)
        rolling = rolling_of(op)
        stages = [inner.write(s.op, region_of(s.op, inner.plan.place, by_rows=True)) for s in rolling.stages]
        parts = [part for stage in stages for part in stage.parts]
        headers = {"ec_cascade.h"}.union(*(stage.headers for stage in stages))
        function = driver(rolling, [pointers_of(*pair) for pair in zip(rolling.stages, stages, strict=True)])
        tile = f"{op.rows} rows"
        return Step(op, function, None, [*parts, scratch], rolling.tasks, headers, "cascade", tile, stages=stages)

    def leaf_pointers(self, draft: _Draft, region: Region) -> dict[Value, str]:
        pointers: dict[Value, str] = {}
        packed = packed_operands(region)
        for value, place in region.leaves.items():
            if region.literal(value) is None and value not in packed:
                name = f"x{len(pointers)}"
                pointers[value] = name
                self.point(draft, name, place, region.outer.get(value, value), reading=True)
        return pointers

    def point(self, draft: _Draft, name: str, place: Place, value: Value, reading: bool = False) -> None:
        if is_open(place.offset):
            draft.shifts[name] = place.offset
            place = replace(place, offset=0)
        draft.pointers[name] = self.part(place, value)
        draft.accesses[name] = Access(value, place, reading)
        ctype = spelling.ctype_of(value.dtype)
        draft.types[name] = f"const {ctype} *" if reading else f"{ctype} *"

    def point_scratch(self, draft: _Draft, op: Op) -> None:
        buffer = self.plan.storage.scratch.get(op)
        if buffer is not None:
            draft.pointers["scratch"] = self.part(Place(buffer, 0), Value(TensorType(u8, ())))
            draft.types["scratch"] = "float *"

    def part(self, place: Place, value: Value) -> Part:
        buffer = place.buffer
        offset = place.offset * value.dtype.bytes
        if buffer.kind == WEIGHT:
            return Part(WEIGHT, 0, offset + self.constant_offset(value))
        if self.within is None:
            return Part(buffer.kind, buffer.index, offset + buffer.offset)
        if buffer.kind == ARENA:
            return Part(ARENA, 0, offset + buffer.offset + self.within.arena)
        parts = self.within.inputs if buffer.kind == INPUT else self.within.outputs
        return parts[buffer.index].shifted(offset)

    def constant_offset(self, value: Value) -> int:
        """Where a constant, or what a view shows of one, is stored."""
        while isinstance(value.producer, View):
            value = value.producer.operands[0]
        array = array_of(value)
        assert array is not None
        return self.weights.add(array.transpose(value.type.physical))

    def finish(
        self, op: Op, draft: _Draft, body: list[Statement], tasks: int, headers: set[str], kernel: str, tile: str = ""
    ) -> Step:  # fmt: skip
        names = names_in((body, tuple(draft.shifts.values())))
        if names:
            draft.pointers[ARRAY], draft.types[ARRAY] = Part(SIZES, 0, 0), "const size_t *"
        unpack: list[Statement] = []
        for i, name in enumerate(draft.pointers):
            pointer: Expression = Convert(draft.types[name].rstrip(" "), Element("p", Affine(i)))
            if name in draft.shifts:
                pointer = Infix("+", pointer, size(draft.shifts[name]))
            unpack.append(Declare(draft.types[name], name, pointer))
        # the sizes come last, and where a pointer is shifted by one, first
        if names:
            array = unpack.pop()
            unpack = [array, *declared(names, self.symbols), *unpack]
        function = Function("void", "step", ("char *const *p", "size_t begin", "size_t end"), [*unpack, *body])
        accesses = [draft.accesses.get(name) for name in draft.pointers]
        return Step(
            op, function, None, list(draft.pointers.values()), tasks, headers, kernel, tile, accesses=accesses
        )  # fmt: skip

    def deliver(self, index: int, value: Value) -> Iterator[Step]:
        """Copy an output that is not computed in its place: an input, a constant, a value that is an output twice."""
        if 0 in value.shape:
            return
        place, kind = self.plan.place(value), value.type.with_order(())
        if (place.buffer.kind, place.buffer.index) != (OUTPUT, index):
            target = Place(Buffer(OUTPUT, kind.most_bytes, kind.dtype, index), 0, kind.strides)
            yield self.copy(Relayout(value, kind.physical), value, place, target, "output")

    # --- control flow ---------------------------------------------------------------------------------------------

    def flow(self, op: Op) -> Step:
        """A step whose bodies have steps of their own."""
        block = self.plan.storage.scratch.get(op)
        scratch = None if block is None else self.part(Place(block, 0), Value(TensorType(u8, ())))
        flow = flow_of(op, lambda v: self.part(self.plan.place(v), v), scratch, self.shared.new_slots)
        step = Step(op, None, None, [], 0, set(), op.name, flow=flow)
        for place in flow.bodies():
            step.bodies.append(list(StepWriter(place.body, self.target, place, self.shared).steps()))
        return step

    # --- copies ---------------------------------------------------------------------------------------------------

    def copy(self, op: Op, source: Value, place: Place, target: Place, label: str) -> Step:
        """Copy a value from one place to another of the same shape."""
        region = Region(op, [], {source: place}, source, target, {source: source})
        return self.write(op, region, label)

    def copy_view(self, op: View) -> Step:
        """A view whose elements must move: read through the operand's strides where those can express it."""
        source = op.operands[0]
        at = view_place(op, self.plan.place(source))
        if at is not None:
            seen = Value(op.result.type)
            region = Region(op, [], {seen: at}, seen, self.plan.place(op.result), {seen: source})
            return self.write(op, region, op.name)
        if op.name == "relayout":
            return self.copy(op, source, self.plan.place(source), self.plan.place(op.result), "relayout")
        return self.copy_reshape(op)

    def copy_reshape(self, op: View) -> Step:
        """A reshape of an operand that is not contiguous: write it in the operand's shape."""
        from ...passes.places import operand_place

        source, target = op.operands[0], operand_place(op, self.plan.place(op.result))
        if target is None:
            raise EdgecError(f"{op.name} between two strided places is not supported", where=op.where)
        return self.copy(op, source, self.plan.place(source), target, op.name)

    def assembly(self, op: Assembly) -> Iterator[Step]:
        place = self.plan.place(op.result)
        for operand, box in zip(op.operands, op.boxes(), strict=True):
            target, source = box_place(place, box), self.plan.place(operand)
            if not coincide(operand.shape, source, target):
                yield self.copy(op, operand, source, target, op.name)
        if op.filling is not None:
            yield self.border(op, place)

    def border(self, op: Assembly, place: Place) -> Step:
        draft = _Draft()
        self.point(draft, "y", place, op.result)
        boxes: tuple[Box, ...] = op.boxes()
        body = fill.border(op, boxes[0], place)
        return self.finish(op, draft, body, 1, set(), "fill")

    def arg_reduce(self, op: ArgReduce) -> Step:
        draft = _Draft()
        self.point(draft, "x0", self.plan.place(op.x), op.x, reading=True)
        self.point(draft, "y", self.plan.place(op.result), op.result)
        body, tasks = search.arg_reduce(op, self.plan.place(op.x), self.plan.place(op.result))
        return self.finish(op, draft, body, tasks, set(), op.name)

    def routine(self, op: Routine) -> Step:
        draft, pointers = _Draft(), list[Expression]()
        for i, field_ in enumerate(op.operand_fields()):
            value = getattr(op, field_.name)
            pointers.append(Name("NULL" if value is None else f"x{i}"))
            if value is not None:
                self.point(draft, f"x{i}", self.plan.place(value), value, reading=True)
        for i, result in enumerate(op.results):
            pointers.append(Name(f"y{i}"))
            self.point(draft, f"y{i}", self.plan.place(result), result)
        body = routine_call(op, tuple(pointers))
        return self.finish(op, draft, body, op.tasks, {f"ec_{op.family}.h"}, op.name)

    def sizes(self, op: Sizes) -> Step:
        """Write sizes as numbers."""
        draft = _Draft()
        self.point(draft, "y", self.plan.place(op.result), op.result)
        kind = spelling.CTYPES[op.to.name]
        stores: list[Statement] = [
            Assign(Element("y", Affine(i)), Convert(kind, size(v))) for i, v in enumerate(op.values)
        ]
        return self.finish(op, draft, [If(Infix("<", Name("begin"), Name("end")), stores)], 1, set(), "sizes")

    def find_size(self, op: FindSize) -> Step:
        """Write an integer among the sizes, cut to its bounds, and say so where it is outside them."""
        draft = _Draft()
        self.point(draft, "x0", self.plan.place(op.x), op.x, reading=True)
        self.point(draft, "y", self.plan.place(op.result), op.result)
        (low, high), symbols = bounds(op.size), [self.symbols.index(s.name) for s in op.found_sizes()]
        draft.pointers["found"], draft.types["found"] = Part(SIZES, 0, 0), "size_t *"
        value = Convert("int64_t", Element("x0", ZERO))
        least, most = Literal(low, "int64_t"), Literal(high, "int64_t")
        inside = Choose(Infix(">", Name("inside"), most), most, Name("inside"))
        unfit = Element("found", Affine(len(self.symbols)))
        body: list[Statement] = [
            Declare("int64_t", "value", value),
            Declare("int64_t", "inside", Choose(Infix("<", Name("value"), least), least, Name("value"))),
            If(Infix("||", Infix("<", Name("value"), least), Infix(">", Name("value"), most)), [
                Assign(unfit, Literal(1, "int32_t")),
            ]),
            *(Assign(Element("found", Affine(i)), Convert("size_t", inside)) for i in symbols),
            Assign(Element("y", ZERO), Name("inside")),
        ]  # fmt: skip
        return self.finish(op, draft, [If(Infix("<", Name("begin"), Name("end")), body)], 1, set(), op.name)


def packed_operands(region: Region) -> set[Value]:
    """Constant operands that the region's kernel reads in packed form alone."""
    anchor = next((op for op in region.ops if isinstance(op, Conv | ConvInteger | MatMul | MatMulInteger)), None)
    if anchor is None:
        return set()
    readers = {v: sum(v in op.operands for op in region.ops) for v in anchor.operands[1:]}
    return {v for v, count in readers.items() if count == 1 and region.is_constant(v)}


def _loop_label(region: Region) -> str:
    if isinstance(region.op, Fused):
        return "row program" if any(isinstance(o, Reduce) for o in region.ops) else "loop"
    return region.op.name

"""Control flow in C: each op becomes a function that runs the steps of its bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ...artifact.native import CANNOT_RUN
from ...ir import Graph, Op, Value
from ...ir.ops import If, Impossible, Loop
from ...passes.scratch import Scratch, scratch_of
from .sizes import spelled

SLOT = "slot"
"""The kind of a part whose base pointer changes from run to run of a loop."""


@dataclass(frozen=True)
class Part:
    """A byte offset in a buffer that a step is called on: weights, arena, an input, an output or a slot."""

    kind: str
    index: int
    offset: int

    def shifted(self, more: int) -> Part:
        return Part(self.kind, self.index, self.offset + more)


Address = Callable[[Part], str]
"""The C expression for a part, given the table of base pointers."""


@dataclass(frozen=True)
class BodyPlace:
    """Where a body finds what it is given, where it puts its results, and where its arena starts."""

    body: Graph
    inputs: list[Part]
    outputs: list[Part]
    arena: int


@dataclass(frozen=True)
class Slots:
    """The base pointers that a loop changes."""

    given: list[Part]
    made: list[Part]
    scanned: list[Part]
    rows: list[Part]


@dataclass
class Flow:
    """An op of control flow with its parts: what it reads, where its results go, where its scratch is."""

    op: Op
    reads: dict[Value, Part]
    results: list[Part]
    scratch: Part
    sizes: Scratch
    slots: Slots | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """First and last step of each body, once the steps are in order."""

    def bodies(self) -> list[BodyPlace]:
        """The bodies with the places of their inputs and outputs."""
        if isinstance(self.op, If):
            inputs = [self.reads[v] for v in self.op.xs]
            return [BodyPlace(b, inputs, self.results, self.scratch.offset) for b in (self.op.then, self.op.otherwise)]
        return [self._body_of_loop(self.op)] if isinstance(self.op, Loop) else []

    def _body_of_loop(self, op: Loop) -> BodyPlace:
        assert self.slots is not None
        fixed = [self.reads[v] for v in op.captured]
        inputs = [self.scratch.shifted(self.sizes.trip), *self.slots.given, *self.slots.scanned, *fixed]
        going = [self.scratch.shifted(self.sizes.going)] if op.tested else []
        return BodyPlace(op.body, inputs, [*going, *self.slots.made, *self.slots.rows], self.scratch.offset)

    def text(self, name: str, address: Address) -> str:
        """The C function."""
        lines = _loop(self, self.op, address) if isinstance(self.op, Loop) else _choice(self, self.op, address)
        head = f"static int {name}(char **bases@TAKEN@, const model_pool *pool)"
        return "\n".join([head, "{", *(f"    {line}" for line in lines), "}", ""])


def flow_of(
    op: Op, part: Callable[[Value], Part], scratch: Part | None, new_slots: Callable[[int], list[Part]]
) -> Flow:  # fmt: skip
    """The flow of an op; `part` finds values, `new_slots` makes base pointers."""
    reads = {v: part(v) for v in op.operands}
    flow = Flow(op, reads, [part(v) for v in op.results], scratch or Part("arena", 0, 0), scratch_of(op) or Scratch(0))
    if isinstance(op, Loop):
        rows = len(op.results) - len(op.carried)
        counts = (len(op.carried), len(op.carried), len(op.scanned), rows)
        flow.slots = Slots(*(new_slots(count) for count in counts))
    return flow


def _choice(flow: Flow, op: Op, address: Address) -> Iterable[str]:
    if isinstance(op, Impossible):
        yield from ("(void)bases;", "(void)pool;", f"return {CANNOT_RUN};")
        return
    assert isinstance(op, If)
    then, otherwise = flow.ranges
    yield f"if ({_flag(flow.reads[op.condition], address)})"
    yield f"    return {_range(then)};"
    yield f"return {_range(otherwise)};"


def _flag(part: Part, address: Address) -> str:
    return f"*(const uint8_t *)({address(part)}) != 0"


def _range(steps: tuple[int, int]) -> str:
    return f"model_range({steps[0]}, {steps[1]}, bases@GIVEN@, pool)"


def _loop(flow: Flow, op: Loop, address: Address) -> Iterable[str]:
    """Carried values go back and forth between their results and spare buffers; rows are pointers that move on."""
    slots = flow.slots
    assert slots is not None
    yield f"const int64_t trips = {_trips(flow, op, address)};"
    for i, (result, spare) in enumerate(zip(flow.results, flow.sizes.carried, strict=False)):
        other = address(flow.scratch.shifted(spare))
        yield f"char *const result{i} = {address(result)}, *const spare{i} = {other};"
    yield from _beginning(flow, op, slots, address)
    yield "for (int64_t trip = 0; trip < trips; trip++) {"
    yield f"    *(int64_t *)({address(flow.scratch.shifted(flow.sizes.trip))}) = trip;"
    yield f"    const int failed = {_range(flow.ranges[0])};"
    yield "    if (failed != 0)"
    yield "        return failed;"
    for i, (given, made) in enumerate(zip(slots.given, slots.made, strict=True)):
        yield f"    {_base(given, address)} = {_base(made, address)};"
        yield f"    {_base(made, address)} = {_base(made, address)} == result{i} ? spare{i} : result{i};"
    for slot, size in _moving(op, slots):
        yield f"    {_base(slot, address)} += {spelled(size, 'sizes->')};"
    if op.tested:
        yield f"    if (!({_flag(flow.scratch.shifted(flow.sizes.going), address)}))"
        yield "        break;"
    yield "}"
    for i, (given, value) in enumerate(zip(slots.given, op.carried, strict=True)):
        yield f"if ({_base(given, address)} != result{i})"
        yield f"    memcpy(result{i}, {_base(given, address)}, {spelled(value.type.bytes, 'sizes->')});"
    yield "return 0;"


def _beginning(flow: Flow, op: Loop, slots: Slots, address: Address) -> Iterable[str]:
    odd = op.trips % 2 == 1 or not op.is_counted
    for i, (value, given, made) in enumerate(zip(op.carried, slots.given, slots.made, strict=True)):
        yield f"{_base(given, address)} = {address(flow.reads[value])};"
        yield f"{_base(made, address)} = {'result' if odd else 'spare'}{i};"
    for value, slot in zip(op.scanned, slots.scanned, strict=True):
        yield f"{_base(slot, address)} = {address(flow.reads[value])};"
    for result, slot in zip(flow.results[len(op.carried) :], slots.rows, strict=True):
        yield f"{_base(slot, address)} = {address(result)};"


def _moving(op: Loop, slots: Slots) -> Iterable[tuple[Part, int]]:
    """Slots that go on by a row with each run."""
    values: Sequence[Value] = (*op.scanned, *op.results[len(op.carried) :])
    for value, slot in zip(values, (*slots.scanned, *slots.rows), strict=True):
        yield slot, value.type.bytes // max(op.trips, 1)


def _base(slot: Part, address: Address) -> str:
    return address(slot).removesuffix(" + 0")


def _trips(flow: Flow, op: Loop, address: Address) -> str:
    """How often the body runs at most."""
    limit = "INT64_MAX" if op.trips < 0 else str(op.trips)
    if op.count is not None:
        count = f"*(const int64_t *)({address(flow.reads[op.count])})"
        limit = count if op.trips < 0 else f"{count} < {limit} ? {count} : {limit}"
    if op.condition is not None:
        limit = f"!({_flag(flow.reads[op.condition], address)}) ? 0 : {limit}"
    return limit

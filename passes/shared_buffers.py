"""Buffers of the caller's that are an input and an output at once.

An output that grows has the strides of the longest that it can get, and the input is its beginning: the concatenation
that appends to it finds it in place. An output of the input's own shape is written to the buffer where everybody has
read the input by then; else it waits in the arena until the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import UsageError
from ..escaping import escape
from ..ir import Graph, Op, Value
from ..ir.aliases import Alias, aliases_of
from ..ir.ops import Assembly, Concat, Constant, Slice, View
from .inplace import takes_over
from .places import OUTPUT, Buffer, Place, box_place, coincide, operand_place, view_place

Readable = Callable[[Op, Value, Place], bool]
Places = Mapping[Value, Place]


def shared_places(graph: Graph) -> dict[Alias, Place]:
    """Where the tensors of each alias lie, each in a buffer of its own."""
    return {a: _whole(a) for a in aliases_of(graph)}


def _whole(alias: Alias) -> Place:
    return Place(Buffer(OUTPUT, alias.type.most_bytes, alias.type.dtype, alias.output), 0, alias.type.strides)


def isolate(graph: Graph, readable: Readable) -> None:
    """Put a copy before every op that cannot read a growing tensor with the strides of its buffer."""
    for alias, place in shared_places(graph).items():
        for value in dict.fromkeys((graph.inputs[alias.input], graph.outputs[alias.output])) if alias.grows else ():
            users = [u for u in value.users if u.results and not isinstance(u, View)]
            for user in (u for u in users if not readable(u, value, place)):
                graph.add_copy(user, value, Slice(value, (0,) * value.rank, value.shape))


class Sharing:
    """Whether the output of an alias may be written to its buffer while the network runs."""

    def __init__(self, graph: Graph, step: Mapping[Op, int]) -> None:
        self.graph, self.step, self.end = graph, step, len(step)

    def may_write(self, alias: Alias, place: Place) -> bool:
        """Whether nobody reads the input any more when the first element of the output is written."""
        if alias.grows:
            return True
        source, value = self.graph.inputs[alias.input], self.graph.outputs[alias.output]
        last, first = max(self.reads(source), default=-1), self.first_write(value, place)
        return last < first or (last == first and self.in_place(source, value, place))

    def reads(self, source: Value) -> Iterator[int]:
        """The steps that read a value or what views show of it."""
        if self.graph.is_output(source) and source.producer is None:
            yield self.end
        for user in source.users:
            if user in self.step:
                yield self.step[user]
            if isinstance(user, View):
                yield from self.reads(user.result)

    def first_write(self, value: Value, place: Place) -> int:
        """The first step that may write to a place which is given to a value: what it is made of may lie there too."""
        op = value.producer
        if op is None or isinstance(op, Constant):
            return self.end
        return min([self.step[op], *(self.first_write(*part) for part in _parts(op, place))])

    def in_place(self, source: Value, value: Value, place: Place) -> bool:
        """Whether the op that computes a value reads the input only at the element that it writes."""
        op = value.producer
        while isinstance(op, View):
            below = operand_place(op, place)
            if below is None:
                return False
            place, op = below, op.operands[0].producer
        if op is None or isinstance(op, Assembly):
            return False
        whole = _whole_of(source, place.buffer)
        seen = [at for v in op.operands if (at := _seen(v, source, whole)) is not None]
        over = [_seen(v, source, whole) for v in takes_over(op)]
        return len(seen) == 1 and any(coincide(op.results[0].shape, at, place) for at in over)


def _parts(op: Op, place: Place) -> Iterator[tuple[Value, Place]]:
    """The operands that may lie inside the place of a result."""
    if isinstance(op, View):
        below = operand_place(op, place)
        if below is not None:
            yield op.operands[0], below
    if isinstance(op, Assembly):
        yield from ((x, box_place(place, box)) for x, box in zip(op.operands, op.boxes(), strict=True))


def _whole_of(source: Value, buffer: Buffer) -> Place:
    return Place(buffer, 0, source.type.strides)


def _seen(value: Value, source: Value, whole: Place) -> Place | None:
    """Where a value that views show of an input lies; None for any other."""
    if value is source:
        return whole
    op = value.producer
    at = _seen(op.operands[0], source, whole) if isinstance(op, View) else None
    return None if at is None else view_place(op, at)  # type: ignore[arg-type]


# --- what was planned ---------------------------------------------------------------------------------------------


def check_growth(graph: Graph, aliases: Iterable[Alias], places: Places) -> None:
    """UsageError unless each output that grows was placed so that its input stays where it is."""
    for alias in aliases:
        if alias.grows:
            _check_growth(graph, alias, places)


def _check_growth(graph: Graph, alias: Alias, places: Places) -> None:
    source, value = graph.inputs[alias.input], graph.outputs[alias.output]
    names = (
        f"output '{escape(graph.output_names[alias.output])}' does not grow in place of input '{escape(source.name)}'"
    )
    top = _below(value, places)
    op = top.producer
    if not isinstance(op, Concat):
        raise UsageError(f"{names}: it is no concatenation", "" if op is None else op.where, HINT)
    box = box_place(places[top], op.boxes()[0])
    if _below(op.operands[0], places) is not source or not coincide(op.operands[0].shape, places[op.operands[0]], box):
        raise UsageError(f"{names}: the concatenation does not begin with it", op.where, HINT)


HINT = "an output that is longer than its input must be Concat(input, more)"


def _below(value: Value, places: Places) -> Value:
    """What a value is a view of, as far as views lie in place."""
    op = value.producer
    while isinstance(op, View) and coincide(value.shape, view_place(op, places[op.operands[0]]), places[value]):
        value, op = op.operands[0], op.operands[0].producer
    return value


def deliveries(graph: Graph, places: Places) -> list[int]:
    """The outputs in an order in which they can be copied to their buffers at the end of a run.

    One that is an input itself is copied before another output overwrites that.
    """
    waiting, order = list(range(len(graph.outputs))), list[int]()
    if not aliases_of(graph):
        return waiting
    while waiting:
        free = [i for i in waiting if not _wanted(i, waiting, graph, places)]
        if not free:
            names = ", ".join(f"'{escape(graph.output_names[i])}'" for i in waiting)
            raise UsageError(f"the buffers of the outputs {names} hold one another", hint="let one of them share none")
        order.append(free[0])
        waiting.remove(free[0])
    return order


def _wanted(output: int, waiting: Sequence[int], graph: Graph, places: Places) -> bool:
    """Whether the buffer of an output holds what another one still has to be copied from."""
    buffers = [(i, places[graph.outputs[i]].buffer) for i in waiting if i != output]
    return any((b.kind, b.index) == (OUTPUT, output) for _, b in buffers)

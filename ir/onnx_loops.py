"""Loop and Scan: written out where that is little, else a `loop`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx

from ..errors import ModelError
from .onnx_rules import NotCovered
from .onnx_rules_shape import cast_to, inverse, reshaped, transposed
from .onnx_scope import BLOCKED, Body, Known
from .onnx_site import Site, flag, is_blocked, tensor
from .onnx_tensors import check_dims
from .ops import Concat, FindSize, Loop, Max, Reshape, Slice, Where, array_of, constant, like
from .types import TensorType, i64, normal_axis
from .value import Value

UNROLLED_AT_ONCE = 64
"""Nodes that a loop may become without asking whether it could stay one."""
UNROLLED_AT_MOST = 1 << 13
"""Nodes that a loop may become which cannot stay one."""
UNROLLED_IN_ALL = 1 << 14
"""Nodes that all loops of a model may become, with all attempts."""
UNBOUNDED = 1 << 31
"""A number of runs that means no bound."""


@dataclass
class Cycle:
    """A Loop or Scan: its graph, what it carries from run to run, and whose rows it reads."""

    site: Site
    graph: onnx.GraphProto
    carried: list[Known]
    scanned: list[Value] = field(default_factory=list)
    trips: int | None = None
    count: Value | None = None
    condition: Value | None = None
    is_loop: bool = True
    """Whether its graph takes the number of the run and a condition, and gives a condition."""

    def check(self) -> None:
        """`ModelError` where the graph does not fit what it is given."""
        given = len(self.carried) + len(self.scanned) + 2 * self.is_loop
        if len(self.graph.input) != given:
            raise ModelError(f"its body takes {len(self.graph.input)} values, is given {given}")
        read = max(len(self.site.proto.output), len(self.carried)) + self.is_loop
        if len(self.graph.output) < read:
            raise ModelError(f"its body has {len(self.graph.output)} outputs, {read} are needed")

    @property
    def has_rows(self) -> bool:
        return len(self.graph.output) > len(self.carried) + self.is_loop

    @property
    def size(self) -> float:
        """Nodes when it is written out."""
        return float("inf") if self.trips is None else self.trips * max(len(self.graph.node), 1)

    def named(self, trip: Value, state: Sequence[Known], rows: Sequence[Value]) -> dict[str, Known]:
        """The inputs of the graph by name."""
        leading = [trip, constant(np.array(True))] if self.is_loop else []
        return dict(zip((v.name for v in self.graph.input), [*leading, *state, *rows], strict=True))


def loop(site: Site) -> list[Known]:
    """Loop: at most `M` runs while a condition holds."""
    count, condition = site.value(0), site.value(1)
    cycle = Cycle(site, site.graph("body"), list(site.inputs[2:]), count=count, condition=condition)
    known = array_of(count)
    if known is not None:
        if known.dtype.kind != "i" or known.size != 1:
            raise ModelError(f"its trip count must be one integer, is {known.dtype}{list(known.shape)}")
        cycle.trips, cycle.count = max(int(known.reshape(-1)[0]), 0), None
    if flag(condition) is False:
        cycle.trips, cycle.count, cycle.condition = 0, None, None
    elif flag(condition):
        cycle.condition = None
    if cycle.trips is not None and cycle.trips >= UNBOUNDED:
        cycle.trips = None
    cycle.check()
    _count_declared(cycle)
    return _gone_round(cycle)


def _count_declared(cycle: Cycle) -> None:
    """Take an unknown number of runs to be what the declared shape of the results' rows says; the run checks it."""
    if not cycle.has_rows or cycle.count is None:
        return
    shapes = [kind.shape for kind in cycle.site.declared()[len(cycle.carried) :] if kind is not None]
    counts = {shape[0] for shape in shapes if shape}
    if len(counts) != 1 or cycle.count.type.size != 1:
        return
    number = reshaped(cast_to(cycle.count, i64), ())
    if cycle.condition is not None:
        number = Where(reshaped(cycle.condition, ()), number, like(number, 0)).result
    (cycle.trips,) = counts
    cycle.site.require(FindSize(Max(number, like(number, 0)).result, cycle.trips).result)
    cycle.site.example(cycle.count, cycle.trips)
    cycle.site.example(cycle.condition, True)
    cycle.count = cycle.condition = None


def scan(site: Site) -> list[Known]:
    """Scan: one run for each row of its scanned operands."""
    if site.frame.opsets.get("", 1) < 9:
        return _batched_scan(site)
    found = [tensor(v, f"operand {i}") for i, v in enumerate(site.inputs)]
    return _scan(site, found)


def _scan(site: Site, inputs: list[Value]) -> list[Known]:
    graph, count = site.graph("body"), site.integer("num_scan_inputs")
    states = len(inputs) - count
    made = len(graph.output) - states
    if count < 1 or states < 0 or made < 0:
        raise ModelError(f"{count} of its {len(inputs)} operands are scanned, its body has {len(graph.output)} outputs")
    axes = site.integers("scan_input_axes", count)
    backwards = site.integers(
        "scan_input_directions" if "scan_input_directions" in site.protos else "directions", count
    )
    rows = [_rows_of(x, a, b) for x, a, b in zip(inputs[states:], axes, backwards, strict=True)]
    extents = {x.shape[0] for x in rows}
    if len(extents) != 1:
        raise ModelError(f"its scanned operands have {', '.join(map(str, sorted(extents)))} rows")
    cycle = Cycle(site, graph, list(inputs[:states]), rows, extents.pop(), is_loop=False)
    cycle.check()
    results = _gone_round(cycle)
    turned = zip(
        results[states:], site.integers("scan_output_axes", made), site.integers("scan_output_directions", made),
        strict=True,
    )  # fmt: skip
    return [*results[:states], *(_stacked_as(v, a, b) for v, a, b in turned)]


def _rows_of(x: Value, axis: int, backwards: int) -> Value:
    """x with the rows of an axis first, the last one first where they are read backwards."""
    axis = normal_axis(axis, x.rank)
    first = transposed(x, [axis, *(a for a in range(x.rank) if a != axis)])
    return _reversed(first) if backwards else first


def _stacked_as(rows: Known, axis: int, backwards: int) -> Known:
    """Rows along dimension 0 along an axis instead."""
    if not isinstance(rows, Value):
        return rows
    axis = normal_axis(axis, rows.rank)
    ordered = _reversed(rows) if backwards else rows
    return transposed(ordered, inverse([axis, *(a for a in range(rows.rank) if a != axis)]))


def _reversed(x: Value) -> Value:
    if x.shape[0] < 2:
        return x
    starts, steps = [x.shape[0] - 1, *[0] * (x.rank - 1)], [-1, *[1] * (x.rank - 1)]
    return Slice(x, tuple(starts), x.shape, tuple(steps)).result


def _batched_scan(site: Site) -> list[Known]:
    """Version 8: every operand has a batch in front, whose members are scanned one by one."""
    if site.inputs[0] is not None:
        raise NotCovered("it has lengths of sequences", "sequences of equal length")
    inputs = [tensor(v, f"operand {i + 1}") for i, v in enumerate(site.inputs[1:])]
    sizes = {x.shape[:1] for x in inputs}
    if len(sizes) != 1 or not all(sizes) or sizes == {(0,)}:
        raise ModelError("its operands have batches of different sizes")
    batch = inputs[0].shape[0]
    members = [_scan(site, [_row(x, i) for x in inputs]) for i in range(batch)]
    return [_stacked(list(column)) for column in zip(*members, strict=True)]


def _row(x: Value, index: int) -> Value:
    starts, sizes = (index, *[0] * (x.rank - 1)), (1, *x.shape[1:])
    return reshaped(Slice(x, starts, sizes).result if x.shape[0] > 1 else x, x.shape[1:])


def _stacked(rows: Sequence[Known]) -> Known:
    """Values one upon another along a new dimension 0."""
    if is_blocked(rows):
        return BLOCKED
    values = [tensor(v, "a result of its body") for v in rows]
    if len({v.type for v in values}) != 1:
        raise NotCovered(f"its rows are {values[0].type} and of other types", "rows of one type")
    raised = [Reshape(v, (1, *v.shape)).result for v in values]
    return raised[0] if len(raised) == 1 else Concat(tuple(raised), 0).result


def _gone_round(cycle: Cycle) -> list[Known]:
    """A loop written out where that is little, else an op; what cannot be one is written out if the budget allows."""
    ways: list[Callable[[Cycle], list[Known]]] = [_rolled, _unrolled]
    if cycle.size <= UNROLLED_AT_ONCE:
        ways.reverse()
    if cycle.size > UNROLLED_AT_MOST:
        ways.remove(_unrolled)
    return cycle.site.builder.first_that_works([partial(way, cycle) for way in ways])


def _unrolled(cycle: Cycle) -> list[Known]:
    if cycle.condition is not None or cycle.trips is None:
        raise NotCovered("how often it runs is not known at compile time", "a constant trip count")
    state, rows = list(cycle.carried), list[list[Known]]()
    for trip in range(cycle.trips):
        _spend(cycle)
        scanned = [_row(x, trip) for x in cycle.scanned]
        outputs = cycle.site.inline(cycle.graph, cycle.named(constant(trip, i64), state, scanned))
        if is_blocked(outputs):
            return [BLOCKED] * len(cycle.site.proto.output)
        going = flag(tensor(outputs.pop(0), "its condition")) if cycle.is_loop else True
        if going is None:
            raise NotCovered("how often it runs is not known at compile time", "a constant condition")
        state = outputs[: len(state)]
        rows.append(outputs[len(state) :])
        if not going:
            break
    if cycle.has_rows and not rows:
        raise NotCovered("it does not run once, and its results have no rows", "one run or more")
    return [*state, *(_stacked(column) for column in zip(*rows, strict=True))]


def _spend(cycle: Cycle) -> None:
    """Count the nodes of a run that is written out."""
    cycle.site.builder.unrolled += len(cycle.graph.node)
    if cycle.site.builder.unrolled > UNROLLED_IN_ALL:
        what = f"it cannot stay a loop, and written out its loops give the model more than {UNROLLED_IN_ALL} nodes"
        raise NotCovered(what, "values that keep their shape from run to run")


def _rolled(cycle: Cycle) -> list[Known]:
    carried = [tensor(v, "a value that it carries") for v in cycle.carried]
    body = Body("loop", cycle.site.frame.folder)
    trip = body.graph.input(TensorType(i64, ()), "trip")
    state = [body.graph.input(v.type, v.name) for v in carried]
    rows = [body.graph.input(TensorType(v.dtype, v.shape[1:]), v.name) for v in cycle.scanned]
    found = cycle.site.nested(cycle.graph, body, cycle.named(trip, state, rows))
    if is_blocked(found):
        return [BLOCKED] * len(cycle.site.proto.output)
    outputs = [tensor(v, "a result of its body") for v in found]
    trips, tested = cycle.trips, False
    if cycle.is_loop:
        going = flag(outputs[0])
        tested, trips = going is None, min(1 if trips is None else trips, 1) if going is False else trips
        outputs = outputs if tested else outputs[1:]
    _check_carried(carried, outputs[int(tested) :])
    if cycle.has_rows and (trips is None or tested or cycle.count is not None or cycle.condition is not None):
        what = "its results have as many rows as it runs, which is not known at compile time"
        raise NotCovered(what, "a constant trip count, and no condition")
    if trips is None and not tested and cycle.count is None:
        raise ModelError("nothing ends it: it has no trip count and its condition is always true")
    for value in outputs[int(tested) + len(carried) :]:
        check_dims((trips or 0, *value.shape), "its result")
    body.finish(outputs)
    captured = body.read()
    body.graph.inputs += [body.captured[v] for v in captured]
    made = Loop(
        tuple(carried), tuple(cycle.scanned), tuple(captured), body.graph, cycle.count, cycle.condition,
        -1 if trips is None else trips, tested,
    )  # fmt: skip
    return list(made.results)


def _check_carried(before: list[Value], after: list[Value]) -> None:
    for a, b in zip(before, after, strict=False):
        if a.dtype != b.dtype:
            raise ModelError(f"it carries {a.type}, its body gives {b.type}")
        if a.shape != b.shape:
            raise NotCovered(f"it carries {a.type}, its body gives {b.type}", "values that keep their shape")

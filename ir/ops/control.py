"""Control flow: ops that hold graphs and decide at run time which of them run, and how often.

Bodies are closed: what they read of the graph around them is an operand of the op and an input of the body. So every
pass works on a body as it works on a graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from ..graph import Graph
from ..op import Array, Op, Tolerance, arg, operator
from ..types import TensorType, boolean, f32, i64
from ..value import Value

MAX_TRIPS = 1_000_000
"""How often `evaluate` goes round a loop that only its condition ends."""


class CannotRun(ModelError):
    """Inputs chose what does not fit the shapes of the network."""


class ControlFlow(Op):
    """An op with graphs that passes run on too."""

    folds = False
    moves = True  # its bodies compute, each op as it says itself
    takes_text = True
    tolerance = Tolerance(1e-5, 1e-5)


@operator("if")
class If(ControlFlow):
    """One of two graphs of the same inputs and outputs, as a bool of one element says."""

    condition: Value
    xs: tuple[Value, ...]
    then: Graph
    otherwise: Graph
    bodies = ("then", "otherwise")

    def infer(self, condition: TensorType, xs: Any) -> tuple[TensorType, ...]:
        _check_flag(condition, "its condition")
        for name in self.bodies:
            _check_inputs(getattr(self, name), list(xs), f"its graph '{name}'")
        then, otherwise = (_plain(g.outputs) for g in (self.then, self.otherwise))
        if then != otherwise:
            raise ModelError(f"its graphs give {_listed(then)} and {_listed(otherwise)}")
        return tuple(then)

    def evaluate(self, condition: Array, xs: Any) -> tuple[Array, ...]:
        body = self.then if condition.reshape(-1)[0] else self.otherwise
        return tuple(body.evaluate(list(xs)))

    def macs(self) -> int:
        return max(sum(op.macs() for op in body) for body in (self.then, self.otherwise))

    @classmethod
    def samples(cls) -> Any:
        yield cls(arg(boolean), (arg(f32, 3, 5), arg(f32, 5)), _branch("add"), _branch("mul"))
        yield cls(arg(boolean, 1), (arg(f32, 3, 5), arg(f32, 5)), _branch("mul"), _branch("sub"))


@operator("loop")
class Loop(ControlFlow):
    """A graph run again and again: `trips` times, at most `count` times, while its condition holds.

    The body's inputs are the number of the run (i64[]), the `carried` values, one row of each of `scanned` (along
    dimension 0), then `captured`, which never change. Its outputs are whether to go on (only if `tested`), the carried
    values of the next run, and rows. Results: the last carried values, then the rows of all runs one upon another.
    Rows, like scanned operands, need a number of runs that is known: `trips` alone.
    """

    carried: tuple[Value, ...]
    scanned: tuple[Value, ...]
    captured: tuple[Value, ...]
    body: Graph
    count: Value | None = None
    condition: Value | None = None
    trips: int = -1
    tested: bool = False
    bodies = ("body",)

    @property
    def is_counted(self) -> bool:
        """Whether the number of runs is known."""
        return self.trips >= 0 and self.count is None and self.condition is None and not self.tested

    def infer(
        self, carried: Any, scanned: Any, captured: Any, count: TensorType | None, condition: TensorType | None
    ) -> tuple[TensorType, ...]:
        self._check_operands(scanned, count, condition)
        rows = [TensorType(t.dtype, t.shape[1:]) for t in scanned]
        inputs = [TensorType(i64, ()), *carried, *rows, *captured]
        _check_inputs(self.body, inputs, "its body")
        outputs = _plain(self.body.outputs)
        if self.tested:
            _check_flag(outputs[0] if outputs else None, "the first result of its body")
        outputs = outputs[int(self.tested) :]
        if outputs[: len(carried)] != _plain(self.carried):
            raise ModelError(f"its body turns {_listed(_plain(self.carried))} into {_listed(outputs[: len(carried)])}")
        made = outputs[len(carried) :]
        if made and not self.is_counted:
            raise ModelError("its body makes rows, but how often it runs is not known")
        return (*outputs[: len(carried)], *(TensorType(t.dtype, (self.trips, *t.shape)) for t in made))

    def _check_operands(self, scanned: Any, count: TensorType | None, condition: TensorType | None) -> None:
        if count is not None and (count.dtype != i64 or count.size != 1):
            raise ModelError(f"its count is {count}, must be one i64")
        if condition is not None:
            _check_flag(condition, "its condition")
        if scanned and not self.is_counted:
            raise ModelError("it reads rows, but how often it runs is not known")
        for kind in scanned:
            if not kind.rank or kind.shape[0] != self.trips:
                raise ModelError(f"it runs {self.trips} times over the rows of {kind}")
        if self.trips < 0 and count is None and not self.tested:
            raise ModelError("nothing ends it")

    def evaluate(self, carried: Any, scanned: Any, captured: Any, count: Any, condition: Any) -> tuple[Array, ...]:
        state, rows, trip = list(carried), [list[Array]() for _ in self.results[len(carried) :]], 0
        going = condition is None or bool(condition.reshape(-1)[0])
        while going and trip < self._limit(count):
            slices = [np.asarray(x[trip]) for x in scanned]
            outputs = self.body.evaluate([np.array(trip, np.int64), *state, *slices, *captured])
            if self.tested:
                going = bool(outputs.pop(0).reshape(-1)[0])
            state, made = outputs[: len(state)], outputs[len(state) :]
            for column, row in zip(rows, made, strict=True):
                column.append(row)
            trip += 1
            if trip > MAX_TRIPS and not self.is_counted:
                raise ModelError(f"the loop did not end after {MAX_TRIPS} runs", where=self.where)
        kinds = self.results[len(state) :]
        stacked = [np.array(r, k.dtype.numpy).reshape(k.shape) for r, k in zip(rows, kinds, strict=True)]
        return (*state, *stacked)

    def _limit(self, count: Any) -> float:
        known = float("inf") if self.trips < 0 else self.trips
        return known if count is None else min(known, int(count.reshape(-1)[0]))

    def macs(self) -> int:
        return max(self.trips, 1) * sum(op.macs() for op in self.body)

    @classmethod
    def samples(cls) -> Any:
        x, rows, step = arg(f32, 3, 5), arg(f32, 4, 3, 5), arg(f32, 5)
        yield cls((x,), (rows,), (step,), _running(rows=True), trips=4)
        yield cls((x,), (), (step,), _running(), count=arg(i64), trips=3)
        yield cls((x,), (), (step,), _running(limit=3), condition=arg(boolean), tested=True)


def _check_flag(kind: TensorType | None, what: str) -> None:
    if kind is None or kind.dtype != boolean or kind.size != 1:
        raise ModelError(f"{what} is {kind or 'missing'}, must be one bool")


def _check_inputs(body: Graph, given: list[TensorType], what: str) -> None:
    wanted = _plain(body.inputs)
    given = [TensorType(t.dtype, t.shape) for t in given]
    if wanted != given:
        raise ModelError(f"{what} takes {_listed(wanted)}, is given {_listed(given)}")


def _plain(values: Any) -> list[TensorType]:
    """Types without physical orders."""
    return [TensorType(v.dtype, v.shape) for v in values]


def _listed(types: list[TensorType]) -> str:
    return ", ".join(map(str, types)) or "nothing"


def _branch(name: str) -> Graph:
    from ..op import REGISTRY

    body, made = Graph(name), REGISTRY[name]
    x, y = body.input(TensorType(f32, (3, 5)), "x"), body.input(TensorType(f32, (5,)), "y")
    build: Any = made
    body.set_outputs([body.add(build(x, y))], ["z"])
    return body


def _running(rows: bool = False, limit: int = 0) -> Graph:
    from .arithmetic import Add, Less
    from .constant import constant

    body = Graph("body")
    trip = body.input(TensorType(i64, ()), "trip")
    total = body.input(TensorType(f32, (3, 5)), "total")
    row = body.input(TensorType(f32, (3, 5)), "row") if rows else total
    step = body.input(TensorType(f32, (5,)), "step")
    following = body.add(Add(Add(total, row).result, step))
    going = [body.add(Less(trip, constant(limit, i64)))] if limit else []
    body.set_outputs([*going, following, *([following] if rows else [])])
    return body


@operator("impossible")
class Impossible(Op):
    """Stands for what cannot run, as a branch whose ops do not fit these shapes: it makes values by ending the run."""

    reason: str
    types: tuple[TensorType, ...]
    folds = False

    def infer(self) -> tuple[TensorType, ...]:
        return self.types

    def evaluate(self) -> tuple[Array, ...]:
        raise CannotRun(f"this cannot run: {self.reason}")

"""`if` and `loop` as nodes with graphs, which read the tensors around them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .graph import Graph
from .onnx_export_writer import Tensor, Writer
from .op import Op
from .ops import If, Impossible, Loop
from .types import TensorType, boolean
from .value import Value

Fill = Callable[[Writer, Graph], None]
"""Writes the ops of a graph."""


@dataclass(eq=False)
class Nested:
    """A graph inside a node: what it is given by the node, what it gives, and the writer that holds its nodes."""

    writer: Writer
    inputs: list[Value]
    outputs: list[tuple[Tensor, Value]]

    def reads(self) -> Iterator[Tensor]:
        """The tensors that its nodes read, those around it among them."""
        for node in self.writer.nodes:
            yield from (t for t in node.inputs if t is not None)
            for inner in node.attributes.values():
                if isinstance(inner, Nested):
                    yield from inner.reads()


def control(op: Op, writer: Writer, fill: Fill) -> tuple[Tensor, ...] | None:
    """The results of an op of control flow, None for any other."""
    if isinstance(op, If):
        return _choice(op, writer, fill)
    if isinstance(op, Impossible):
        return tuple(_ending(kind, writer) for kind in op.types)
    return _loop(op, writer, fill) if isinstance(op, Loop) else None


def _ending(kind: TensorType, writer: Writer) -> Tensor:
    """What ends the run: ONNX has nothing for it, but a gather beyond the end fails in every runtime."""
    nothing = writer.own_weights(np.zeros(1, kind.dtype.numpy))
    beyond = writer.emit("Gather", nothing, writer.own_weights(np.array(1, np.int64)), axis=0)
    return writer.emit("Expand", beyond, writer.integers(kind.shape))


def _choice(op: If, writer: Writer, fill: Fill) -> tuple[Tensor, ...]:
    graphs = {}
    for name, body in (("then_branch", op.then), ("else_branch", op.otherwise)):
        given = {inner: writer.of(outer) for inner, outer in zip(body.inputs, op.xs, strict=True)}
        graphs[name] = _nested(body, given, fill)
    return writer.emit_many("If", len(op.results), writer.of(op.condition), **graphs)


def _nested(body: Graph, given: Mapping[Value, Tensor], fill: Fill) -> Nested:
    inner = Writer()
    inner.values.update(given)
    fill(inner, body)
    return Nested(inner, [], [(inner.output(v), v) for v in body.outputs])


def _loop(op: Loop, writer: Writer, fill: Fill) -> tuple[Tensor, ...]:
    inner, trip, going = Writer(), op.body.inputs[0], Value(TensorType(boolean, ()), name="going")
    carried, rest = op.body.inputs[1 : 1 + len(op.carried)], op.body.inputs[1 + len(op.carried) :]
    for value in (trip, going, *carried):
        inner.input(value)
    outer = [writer.of(v) for v in (*op.scanned, *op.captured)]
    inner.values.update(zip(rest, outer, strict=True))
    with inner.writing(op):
        for value in rest[: len(op.scanned)]:
            inner.values[value] = inner.emit("Gather", inner.of(value), inner.of(trip), axis=0)
    fill(inner, op.body)
    given = op.body.outputs if op.tested else [going, *op.body.outputs]
    body = Nested(inner, [trip, going, *carried], [(inner.output(v), v) for v in given])
    operands = [_most_trips(op, writer), None if op.condition is None else writer.of(op.condition)]
    operands += [writer.of(v) for v in op.carried]
    return writer.emit_many("Loop", len(op.results), *operands, body=body)


def _most_trips(op: Loop, writer: Writer) -> Tensor | None:
    known = None if op.trips < 0 else writer.weights(np.array(op.trips, np.int64))
    if op.count is None:
        return known
    count = writer.of(op.count)
    return count if known is None else writer.emit("Min", count, known)

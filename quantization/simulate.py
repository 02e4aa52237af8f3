"""Quantization simulated: a QDQ graph with float operations only, which give the same numbers."""

from __future__ import annotations

import numpy as np

from ..ir import Graph, Op, Value, f32
from ..ir.ops import Add, Clip, Constant, Dequantize, Div, Mul, Quantize, Round, Sub, array_of, constant
from ..ir.ops.quantize import limits


def simulated(graph: Graph) -> Graph:
    """A copy in which quantized tensors hold their integers as floats and quantized weights are floats again."""
    made = Graph(graph.name)
    made.stage = graph.stage
    table = {v: made.input(v.type, v.name) for v in graph.inputs}
    for op in graph:
        new = _simulated_op(op, table)
        for result in new:
            if result.producer is not None and result.producer not in made:
                made.insert_before(None, result.producer)
                result.producer.origin = result.producer.origin or op.origin
        table.update(zip(op.results, new, strict=True))
    made.set_outputs([table[v] for v in graph.outputs], graph.output_names)
    return made


def _simulated_op(op: Op, table: dict[Value, Value]) -> tuple[Value, ...]:
    if isinstance(op, Quantize):
        return (_integers(op, table[op.x], table[op.scale], op.zero),)
    if isinstance(op, Dequantize):
        return (_floats(op, table),)
    return tuple(op.with_operands(table.__getitem__).results)


def _integers(op: Quantize, x: Value, scale: Value, zero: Value) -> Value:
    rounded = Round(Div(x, scale).result).result
    return Clip(Add(rounded, _as_float(zero)).result, *map(float, limits(op.to))).result


def _floats(op: Dequantize, table: dict[Value, Value]) -> Value:
    if all(isinstance(v.producer, Constant) for v in op.operands):
        return constant(op.evaluate(*(array_of(v) for v in op.operands)))  # type: ignore[arg-type]
    x = table[op.x]
    if x.dtype != f32:
        return op.with_operands(table.__getitem__).result  # type: ignore[no-any-return]
    return Mul(Sub(x, _as_float(op.zero)).result, table[op.scale]).result


def _as_float(zero: Value) -> Value:
    array = array_of(zero)
    assert array is not None
    return constant(np.asarray(array, np.float32))

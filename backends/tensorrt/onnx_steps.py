"""Quantized models layer by layer: how many steps the integers of the written model are from those of the graph.

From end to end that cannot be told: two runtimes sum floats in different orders, a sum on the edge of a step falls on
either side of it, and deep networks make much of little. So each layer gets the integers that the graph has there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...artifact.compare import Difference
from ...ir import Graph, Op
from ...ir.ops import Quantize, array_of

Array = np.ndarray
GIVEN = "/given"
ONE_STEP = 1.0


def steps_apart(graph: Graph, precision: str, inputs: Mapping[str, Array]) -> list[Difference]:
    """One row for all integers, its distance in steps; none where nothing is quantized."""
    from .support import fit

    quantized = [op for op in graph if isinstance(op, Quantize) and array_of(op.x) is None]
    if not quantized:
        return []
    fitted = fit(graph, precision)
    names, model = _cut(fitted.model, fitted.nodes, quantized)
    if not names:
        return []
    wanted = dict(zip(names, _integers(graph, [op for op in quantized if op in names.values()], inputs), strict=True))
    got = _run(model, {**inputs, **{name + GIVEN: array for name, array in wanted.items()}}, list(wanted))
    return [_worst(got, wanted)]


def _cut(model: bytes, ops: Mapping[str, Op], quantized: list[Quantize]) -> tuple[dict[str, Op], bytes]:
    """The model with each quantized tensor as a result and its readers fed from an input; the tensors' ops by name."""
    import onnx

    proto = onnx.load_from_string(model)
    made = {ops.get(node.name): node.output[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    names = {made[op]: op for op in quantized if op in made}
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = name + GIVEN if name in names else name
    del proto.graph.output[:]
    for name, op in names.items():
        proto.graph.input.append(onnx.helper.make_tensor_value_info(name + GIVEN, onnx.TensorProto.INT8, op.type.shape))
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, op.type.shape))
    return dict(names), proto.SerializeToString()


def _integers(graph: Graph, wanted: list[Quantize], inputs: Mapping[str, Array]) -> list[Array]:
    """What the graph has where it rounds."""
    made = graph.copy()
    places = {op: place for place, op in enumerate(graph)}
    ops = list(made)
    made.set_outputs([ops[places[op]].results[0] for op in wanted])
    return made.evaluate(dict(inputs))


def _run(model: bytes, inputs: Mapping[str, Array], wanted: list[str]) -> dict[str, Array]:
    from .runner import session

    return dict(zip(wanted, session(model).run(wanted, dict(inputs)), strict=True))


def _worst(got: Mapping[str, Array], wanted: Mapping[str, Array]) -> Difference:
    apart = {name: np.abs(got[name].astype(np.int64) - array) for name, array in wanted.items() if array.size}
    name = max(apart, key=lambda each: int(apart[each].max()))
    place = np.unravel_index(int(apart[name].argmax()), apart[name].shape)
    what = f"{len(wanted)} quantized tensors, in steps"
    return Difference(what, float(apart[name].max()), tuple(int(i) for i in place), ONE_STEP)

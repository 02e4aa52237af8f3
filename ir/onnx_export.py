"""ONNX from the IR: what another runtime reads, or a person who wants the cleaned-up and quantized model.

    export(graph).model     # an onnx.ModelProto
    export_bytes(graph)     # the content of a file

Every operator up to stage `canonical` has a counterpart or expands into ones that have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from ..errors import ModelError, Unsupported
from .graph import Graph
from .onnx_export_control import Nested, control
from .onnx_export_rules import spell
from .onnx_export_writer import Spelled, Tensor, Writer
from .op import Op
from .ops import Constant
from .types import i16, u16
from .unsupported import unsupported
from .value import Value

OPSET, IR_VERSION = 20, 9
FINE_OPSET, FINE_IR_VERSION = 21, 10
"""For 16-bit and blocked quantization, which came later; older files are read by more runtimes."""

TABLES, TABLES_OPSET = "ai.onnx.ml", 3
"""The operators on tables of numbers, whose names are written with this domain in front."""

MAX_BYTES = (1 << 31) - (1 << 20)
"""What fits into one protobuf message, with room for the nodes."""


@dataclass(frozen=True)
class Exported:
    """An ONNX model, and the op that each of its nodes comes from, by the name of the node."""

    model: onnx.ModelProto
    ops: Mapping[str, Op]


def export(graph: Graph, expand: Callable[[Op], bool] = lambda op: False) -> Exported:
    """The ONNX model of a graph; `Unsupported` names every op that ONNX has no words for.

    `expand` chooses ops that are spelled out in simpler ones although ONNX has a counterpart: expanded, or for
    elementwise ones by their expression.
    """
    strings = [op for op in graph if any(v.dtype.is_text for v in (*op.operands, *op.results))]
    if strings:
        raise Unsupported([unsupported(op, "strings are not written") for op in strings])
    writer = Writer()
    for value in graph.inputs:
        writer.input(value)
    refused: dict[Op, str] = {}
    for op in graph:
        _write(writer, op, op, expand, refused)
    if refused:
        raise Unsupported([unsupported(op, reason) for op, reason in refused.items()])
    outputs = [writer.output(value) for value in graph.outputs]
    _name(writer, graph, outputs)
    _check_size(graph, writer)
    return _model(writer, graph, outputs)


def export_bytes(graph: Graph) -> bytes:
    """The content of an .onnx file."""
    return serialized(export(graph).model)


def serialized(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same model."""
    return bytes(model.SerializeToString(deterministic=True))


def _write(writer: Writer, op: Op, source: Op, expand: Callable[[Op], bool], refused: dict[Op, str]) -> None:
    """Nodes for an op: its own, or those of its expansion; `source` is the op of the graph that it belongs to."""
    if isinstance(op, Constant):
        writer.values[op.result] = writer.weights(op.value)
        return

    def fill(inner: Writer, body: Graph) -> None:
        for one in body:
            _write(inner, one, one, expand, refused)

    plain = expand(op)
    expanded = op.expand() if plain else None
    with writer.writing(source):
        made = None if expanded is not None else control(op, writer, fill) or spell(op, writer, plain)
    if made is not None:
        writer.values.update(zip(op.results, made, strict=True))
        return
    expanded = op.expand() if expanded is None else expanded
    if expanded is None:
        refused[source] = f"ONNX has no counterpart of '{op.name}', and it does not expand"
        _stand_in(writer, op)
        return
    for inner in _unwritten(expanded, writer):
        _write(writer, inner, source, expand, refused)
    writer.values[op.result] = writer.of(expanded)


def _stand_in(writer: Writer, op: Op) -> None:
    """Let what reads a refused op be looked at too, so that all refusals come at once."""
    writer.values.update((result, Tensor()) for result in op.results)


def _unwritten(value: Value, writer: Writer) -> list[Op]:
    """The ops that a value depends on and that have no nodes yet, operands first."""
    order: dict[Op, None] = {}
    stack = [(value, False)]
    while stack:
        current, ready = stack.pop()
        producer = current.producer
        if producer is None or current in writer.values:
            continue
        if ready:
            order[producer] = None
        elif producer not in order:
            stack.append((current, True))
            stack.extend((v, False) for v in reversed(producer.operands))
    return list(order)


# --- names and messages -----------------------------------------------------------------------------------------------


def _name(writer: Writer, graph: Graph, outputs: list[Tensor]) -> None:
    """Inputs and outputs keep their names; all else gets the nearest one that is free."""
    taken = writer.taken
    for value in graph.inputs:
        writer.of(value).name = _free(value.name or "input", taken)
    for tensor, name in zip(outputs, graph.output_names, strict=True):
        tensor.name = _free(name or "output", taken)
    _name_the_rest(writer)


def _name_the_rest(writer: Writer) -> None:
    taken = writer.taken
    for value, tensor in writer.values.items():
        if not tensor.name and value.name:
            tensor.name = _free(value.name, taken)
    for node in writer.nodes:
        for each in (*node.inputs, *node.outputs):
            if each is not None and not each.name:
                each.name = _free(node.op_type.lower(), taken)


def _free(name: str, taken: set[str]) -> str:
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def _check_size(graph: Graph, writer: Writer) -> None:
    size = sum(array.nbytes for array in writer.arrays.values())
    if size > MAX_BYTES:
        what = f"the weights take {size} bytes, an ONNX file holds {MAX_BYTES}"
        raise ModelError(what, where=f"graph '{graph.name}'", hint="quantize the weights")


def _model(writer: Writer, graph: Graph, outputs: list[Tensor]) -> Exported:
    names: set[str] = set()
    nodes, ops = [], {}
    for node in writer.nodes:
        name = _free(_called(node.source), names)
        if node.source.results:
            ops[name] = node.source
        nodes.append(_node(node, name, writer))
    inputs = [_info(writer.of(value).name, value) for value in graph.inputs]
    results = [_info(tensor.name, value) for tensor, value in zip(outputs, graph.outputs, strict=True)]
    weights = [_weights(tensor, writer) for tensor in _read(writer)]
    content = helper.make_graph(nodes, graph.name or "graph", inputs, results, weights)
    opset, version = (FINE_OPSET, FINE_IR_VERSION) if any(map(_is_fine, _every_node(writer))) else (OPSET, IR_VERSION)
    opsets = [helper.make_opsetid("", opset)]
    if any(node.domain == TABLES for node in nodes):
        opsets.append(helper.make_opsetid(TABLES, TABLES_OPSET))
    made = helper.make_model(content, producer_name="edgec", opset_imports=opsets)
    made.ir_version = version
    return Exported(made, ops)


def _every_node(writer: Writer) -> Iterator[Spelled]:
    for node in writer.nodes:
        yield node
        for inner in node.attributes.values():
            yield from _every_node(inner.writer) if isinstance(inner, Nested) else ()


def _is_fine(node: Spelled) -> bool:
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return False
    wide = [v for v in (*node.source.operands, *node.source.results) if v.dtype in (i16, u16)]
    return bool(wide) or "block_size" in node.attributes


def _called(op: Op) -> str:
    return (op.origin.name if op.origin else "") or op.name or "copy"


def _read(writer: Writer) -> list[Tensor]:
    """The weights that some node reads."""
    read = {tensor for node in writer.nodes for tensor in node.inputs}
    for node in writer.nodes:
        for inner in node.attributes.values():
            read.update(inner.reads() if isinstance(inner, Nested) else ())
    return [tensor for tensor in writer.arrays if tensor in read]


def _node(node: Spelled, name: str, around: Writer) -> onnx.NodeProto:
    inputs = ["" if tensor is None else tensor.name for tensor in node.inputs]
    attributes = {k: _graph(v, k, around) if isinstance(v, Nested) else v for k, v in node.attributes.items()}
    domain, _, op_type = node.op_type.rpartition("::")
    return helper.make_node(op_type, inputs, [t.name for t in node.outputs], name, domain=domain, **attributes)


def _graph(nested: Nested, name: str, around: Writer) -> onnx.GraphProto:
    """A graph inside a node; no name in it is one around it."""
    writer = nested.writer
    writer.taken = around.taken
    inputs, outputs = [(writer.of(v), v) for v in nested.inputs], nested.outputs
    for tensor, value in (*inputs, *outputs):
        tensor.name = _free(value.name or name, writer.taken)
    _name_the_rest(writer)
    nodes = [_node(node, _free(_called(node.source), writer.taken), writer) for node in writer.nodes]
    given, made = ([_info(tensor.name, value) for tensor, value in pairs] for pairs in (inputs, outputs))
    return helper.make_graph(nodes, name, given, made, [_weights(tensor, writer) for tensor in _read(writer)])


def _info(name: str, value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype.numpy), value.shape)


def _weights(tensor: Tensor, writer: Writer) -> TensorProto:
    return onnx.numpy_helper.from_array(writer.arrays[tensor], tensor.name)

"""The graph as TensorRT reads it: ONNX whose types say in which precision everything is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ...errors import UsageError
from ...escaping import escape
from ...ir import Graph, Op
from ...ir.ops import ConvTranspose, Dequantize, Quantize, array_of, uniform
from ...ir.types import i8

PRECISIONS = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16"}
LARGEST_HALF, SMALLEST_HALF = 65504.0, 2.0**-24
"""Limits of half precision; the smallest keeps the scales of channels that are all zero positive."""

OPSETS = {"fp16": 20, "bf16": 22}
"""The first opsets whose operators take these types, as far as networks use them."""

IR_VERSION = 10
FLOAT_OPERANDS = {"Resize": (1, 2)}
"""Operands that ONNX wants in float32 whatever the precision: a region and scales."""


def check_precision(name: str) -> str:
    """The name of a precision, refused where there is none such."""
    if name not in PRECISIONS:
        raise UsageError(f"there is no precision '{escape(name)}'", hint=f"precisions: {', '.join(PRECISIONS)}")
    return name


def beyond(op: Op) -> bool:
    """Whether TensorRT is known to fail on an op as ONNX says it, so that it must be spelled out."""
    if isinstance(op, ConvTranspose):
        return max(op.strides) > 1 and max(op.dilations) > 1
    return _not_linear(op)


def _not_linear(op: Op) -> bool:
    """Whether a quantization is of a kind that TensorRT does not know."""
    if not isinstance(op, Quantize | Dequantize):
        return False
    kind = op.to if isinstance(op, Quantize) else op.x.dtype
    if kind != i8 or uniform(op.zero) != 0 or array_of(op.scale) is None:
        return True
    return isinstance(op, Dequantize) and not (isinstance(op.x.producer, Quantize) or array_of(op.x) is not None)


def model_of(
    graph: Graph, precision: str = "fp32", expand: Callable[[Op], bool] = beyond, kept: Collection[Op] = ()
) -> tuple[bytes, dict[str, Op]]:
    """An ONNX file in a precision, and the op that each of its nodes comes from.

    Inputs and outputs keep their types. `expand` chooses what is spelled out in simpler terms, `kept` are ops that stay
    in fp32.
    """
    from ...ir.onnx_export import export, serialized

    exported = export(graph, expand)
    names = {name for name, op in exported.ops.items() if op in kept}
    model = exported.model if precision == "fp32" else _converted(exported.model, precision, names)
    return serialized(model), dict(exported.ops)


def node_names(model: bytes) -> list[str]:
    """The names of a model's nodes, in its order."""
    import onnx

    return [node.name for node in onnx.load_model_from_string(model).graph.node]


def _converted(model: Any, precision: str, kept: Collection[str]) -> Any:
    """The model with float32 replaced by another type between its inputs and its outputs, but for some nodes."""
    import onnx
    import onnx_graphsurgeon as gs

    kind = getattr(onnx.TensorProto, PRECISIONS[precision])
    graph = gs.import_onnx(onnx.shape_inference.infer_shapes(model) if kept else model)  # which tensors are floats
    border = {id(t) for t in (*graph.inputs, *graph.outputs)}
    single = _kept_operands(graph) | _own_weights(gs, graph, kept)
    single |= {id(t) for node in graph.nodes if node.name in kept for t in node.outputs}
    for tensor in graph.tensors().values():
        if id(tensor) not in border | single and tensor.dtype == np.float32:
            _convert(tensor, precision)
    for node in graph.nodes:
        if node.name not in kept and node.op == "Cast" and node.attrs["to"] == onnx.TensorProto.FLOAT:
            node.attrs["to"] = kind if id(node.outputs[0]) not in border else node.attrs["to"]
    _leave(gs, graph, precision, kind, kept)
    _cross(gs, graph, precision, kind, kept)
    made = gs.export_onnx(graph.cleanup().toposort())
    made.ir_version = IR_VERSION
    for domain in made.opset_import:
        domain.version = max(domain.version, OPSETS[precision])
    return made


def _own_weights(gs: Any, graph: Any, kept: Collection[str]) -> set[int]:
    """Give nodes that stay in fp32 constants of their own, and return those."""
    found: set[int] = set()
    for node in (each for each in graph.nodes if each.name in kept):
        for place, tensor in enumerate(node.inputs):
            if isinstance(tensor, gs.Constant) and tensor.dtype == np.float32:
                own = gs.Constant(f"{tensor.name}/{node.name}/fp32", tensor.values)
                node.inputs[place] = own
                found.add(id(own))
    return found


def _type(precision: str) -> Any:
    """The numpy type of a precision."""
    import ml_dtypes

    return np.dtype(np.float16 if precision == "fp16" else ml_dtypes.bfloat16)


def _kept_operands(graph: Any) -> set[int]:
    """Operands that stay float32; each node has its own."""
    places = [(node, place) for node in graph.nodes for place in FLOAT_OPERANDS.get(node.op, ())]
    return {id(node.inputs[place]) for node, place in places if place < len(node.inputs)}


def _convert(tensor: Any, precision: str) -> None:
    """A tensor in another type."""
    if not hasattr(tensor, "values"):
        tensor.dtype = _type(precision)
    else:
        tensor.values = half(tensor.values) if precision == "fp16" else tensor.values.astype(_type(precision))


def half(values: np.ndarray) -> np.ndarray:
    """Numbers in half precision; what it cannot hold becomes the largest number that it can."""
    values = np.where(np.isfinite(values), np.clip(values, -LARGEST_HALF, LARGEST_HALF), values)
    return np.where(values > 0, np.maximum(values, SMALLEST_HALF), values).astype(np.float16)


def _leave(gs: Any, graph: Any, precision: str, kind: int, kept: Collection[str]) -> None:
    """Convert the outputs back."""
    import onnx

    for tensor in [t for t in graph.outputs if t.dtype == np.float32 and t.inputs]:
        (node,), readers = tensor.inputs, list(tensor.outputs)
        if node.name in kept:
            continue
        inner = gs.Variable(f"{tensor.name}/{precision}", _type(precision), tensor.shape)
        node.outputs = [inner if t is tensor else t for t in node.outputs]
        for reader in readers:
            reader.inputs = [inner if t is tensor else t for t in reader.inputs]
        to = {"to": onnx.TensorProto.FLOAT}
        graph.nodes.append(gs.Node("Cast", f"{tensor.name}/cast", to, [inner], [tensor]))
        if node.op == "Cast" and node.attrs["to"] == onnx.TensorProto.FLOAT:
            node.attrs["to"] = kind


def _cross(gs: Any, graph: Any, precision: str, kind: int, kept: Collection[str]) -> None:
    """Convert what is read in another precision than it has: inputs, and tensors from and for nodes in fp32."""
    import onnx

    plain = [t for t in graph.tensors().values() if isinstance(t, gs.Variable) and t.dtype is not None]
    for tensor in plain:
        if tensor.dtype == np.float32:
            readers = [node for node in tensor.outputs if node.name not in kept and not _ends(node, tensor)]
            _cast(gs, graph, tensor, readers, precision, _type(precision), kind)
        elif tensor.dtype == _type(precision):
            readers = [node for node in tensor.outputs if node.name in kept]
            _cast(gs, graph, tensor, readers, "fp32", np.dtype(np.float32), onnx.TensorProto.FLOAT)


def _cast(gs: Any, graph: Any, tensor: Any, readers: list[Any], name: str, dtype: Any, kind: int) -> None:
    """Let some readers of a tensor read it in another type."""
    if not readers:
        return
    inner = gs.Variable(f"{tensor.name}/{name}", dtype, tensor.shape)
    for node in readers:
        node.inputs = [inner if t is tensor else t for t in node.inputs]
    graph.nodes.append(gs.Node("Cast", f"{tensor.name}/cast/{name}", {"to": kind}, [tensor], [inner]))


def _ends(node: Any, tensor: Any) -> bool:
    """Whether a node reads a tensor of float32 whatever the precision."""
    return any(node.inputs[place] is tensor for place in FLOAT_OPERANDS.get(node.op, ()) if place < len(node.inputs))

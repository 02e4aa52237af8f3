"""Small quantized ONNX models: how tests write, import and fill them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgec.ir import Graph, verify
from edgec.ir.onnx_import import load

Array = np.ndarray
MS = "com.microsoft"
node = helper.make_node


def model(nodes: list[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], version: int = 21) -> bytes:
    """A model with one output `y`; `inputs` are arrays of the types and shapes that it takes."""
    code = helper.np_dtype_to_tensor_dtype
    described = [helper.make_tensor_value_info(n, code(a.dtype), list(a.shape)) for n, a in inputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "g", described, [onnx.ValueInfoProto(name="y")], tensors)
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def imported(nodes: list[onnx.NodeProto], inputs: dict[str, Array], weights: dict[str, Array], **options: Any) -> Graph:
    graph = load(model(nodes, inputs, weights, **options))
    verify(graph)
    assert str(Graph.parse(str(graph))) == str(graph)
    return graph


def one(op: str, inputs: dict[str, Array], weights: dict[str, Array], order: str, **attributes: Any) -> Graph:
    """A graph of one node whose operands are named in order (`_`: left out)."""
    names = ["" if name == "_" else name for name in order.split()]
    return imported([node(op, names, ["y"], **attributes)], inputs, weights)


def names_of(graph: Graph) -> list[str]:
    return [op.name for op in graph if op.name != "constant"]


def numbers(seed: int, kind: Any, *shape: int) -> Array:
    rng = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return rng.normal(size=shape).astype(kind)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max + 1, shape).astype(kind)


def f32(*values: float) -> Array:
    return np.asarray(values if len(values) != 1 else values[0], np.float32)


def packed(values: Array, bits: int) -> Array:
    """Numbers of some bits, packed along the last dimension."""
    each = 8 // bits
    short = -values.shape[-1] % each
    wide = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)]).reshape(*values.shape[:-1], -1, each)
    return np.asarray((wide << (np.arange(each) * bits)).sum(-1), np.uint8)

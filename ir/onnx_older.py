"""Models of operator sets before version 7, where operators broadcast by an attribute: ONNX converts them itself."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper, version_converter

from ..errors import Unsupported, UnsupportedNode
from ..escaping import escape
from .onnx_functions import opsets_of

OLDEST = 7
"""The oldest version that the importer has rules for."""


def modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or one of version 7 that computes the same; `Unsupported` where ONNX cannot convert it."""
    version = opsets_of(model.opset_import).get("", OLDEST)
    if not 0 < version < OLDEST or model.functions:
        return model
    try:
        spelled = onnx.ModelProto()
        spelled.CopyFrom(model)
        del spelled.graph.node[:]
        ranks = _ranks(model)
        spelled.graph.node.extend(new for node in model.graph.node for new in _aligned(node, ranks))
        return version_converter.convert_version(spelled, OLDEST)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        reason = f"version {version} of the ONNX operators, which ONNX's converter does not take"
        said = str(error).strip().splitlines()[-1:] or [""]
        node = UnsupportedNode("", "opset", reason, opset=version, nearest="7 and later")
        raise Unsupported([node], escape(said[0])) from None


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """The ranks of tensors, as far as ONNX infers them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: len(v.type.tensor_type.shape.dim) for v in known if v.type.tensor_type.HasField("shape")}


def _aligned(node: onnx.NodeProto, ranks: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """A node whose second operand starts at an axis of the first, with that operand in the rank that puts it there."""
    given = {attribute.name: attribute.i for attribute in node.attribute}
    axis = 1 if node.op_type == "PRelu" else given.get("axis")
    if axis is None or node.domain or not (node.op_type == "PRelu" or given.get("broadcast")):
        yield node
        return
    x, second = node.input
    behind = ranks.get(x, 0) - axis % max(ranks.get(x, 0), 1) - ranks.get(second, 0)
    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    del kept.attribute[:]
    kept.attribute.extend(attribute for attribute in node.attribute if attribute.name != "axis")
    if behind > 0:
        kept.input[1] = f"{node.output[0]}/aligned"
        axes = list(range(ranks[second], ranks[second] + behind))
        yield helper.make_node("Unsqueeze", [second], [kept.input[1]], axes=axes)
    yield kept

"""Models of operator sets before version 7, whose operators broadcast by an attribute: ONNX's own converter moves them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper, version_converter

from ..errors import Unsupported, UnsupportedNode
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
        spelled.graph.node.extend(new for node in model.graph.node for new in _by_channel(node, ranks))
        return version_converter.convert_version(spelled, OLDEST)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        reason = f"version {version} of the ONNX operators, which ONNX's converter does not take"
        said = str(error).strip().splitlines()[-1:] or [""]
        raise Unsupported(
            [UnsupportedNode("", "opset", reason, opset=version, nearest="7 and later")], said[0]
        ) from None


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """The ranks of tensors, as far as ONNX infers them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {v.name: len(v.type.tensor_type.shape.dim) for v in known if v.type.tensor_type.HasField("shape")}


def _by_channel(node: onnx.NodeProto, ranks: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """A PRelu with its slopes shaped to lie along axis 1, which the converter leaves to broadcast along the last."""
    if node.op_type == "PRelu" and not node.domain and ranks.get(node.input[0], 0) > 2:
        x, slope = node.input
        axes = list(range(1, ranks[x] - 1))
        yield helper.make_node("Unsqueeze", [slope], [f"{node.output[0]}/slope"], axes=axes)
        yield helper.make_node("PRelu", [x, f"{node.output[0]}/slope"], node.output, name=node.name)
    else:
        yield node

"""A model in fp32 that rounds as one in half precision does: what GPUs compute, on any machine.

CPUs have no arithmetic in half precision. Runtimes compute in fp32 there and round where they like, so that a model in
fp16 is more precise on them than on a GPU, which keeps every tensor in 16 bits.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from .onnx_model import FLOAT_OPERANDS, half

HALF, RAW = "/half", "/raw"


class Rounded:
    """A model in fp32, to be made into ones that round the results of all nodes but some, and the weights they read."""

    def __init__(self, model: bytes) -> None:
        self.model = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
        self.weights = {one.name: one for one in self.model.graph.initializer}
        typed = [*self.model.graph.value_info, *self.model.graph.input, *self.model.graph.output]
        floats = {one.name for one in typed if one.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.floats = floats | {name for name, one in self.weights.items() if one.data_type == TensorProto.FLOAT}

    @cached_property
    def halves(self) -> dict[str, Any]:
        """The weights as half precision holds them."""
        return {name: self._half(one) for name, one in self.weights.items() if name in self.floats}

    def _half(self, weight: Any) -> Any:
        values = half(numpy_helper.to_array(weight)).astype("float32")
        return numpy_helper.from_array(values, weight.name + HALF)

    def bytes(self, kept: Collection[str]) -> bytes:
        """The model that rounds; `kept` are names of nodes that stay in fp32."""
        made, made_here = onnx.ModelProto(), self.model.graph
        made.CopyFrom(onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import))
        made.graph.name = "rounded"
        made.graph.input.extend(made_here.input)
        made.graph.output.extend(made_here.output)
        rounded: set[str] = set()
        fine = {one.name for one in made_here.input}
        for node in made_here.node:
            if node.name in kept:
                made.graph.node.append(node)
                fine.update(node.output)
            else:
                self._append(made.graph, node, fine, rounded)
        read = {name for node in made.graph.node for name in node.input}
        both = [*self.weights.values(), *(self.halves.values() if rounded else ())]
        made.graph.initializer.extend(one for one in both if one.name in read)
        return bytes(made.SerializeToString())

    def _append(self, graph: Any, node: Any, fine: Collection[str], rounded: set[str]) -> None:
        """A node with rounded operands and results."""
        own = onnx.NodeProto()
        own.CopyFrom(node)
        skipped = FLOAT_OPERANDS.get(node.op_type, ())
        for place, name in enumerate(node.input):
            if name not in self.floats or place in skipped:
                continue
            if name in fine and name not in rounded:
                graph.node.extend(_rounding(name, name + HALF))
            if name in fine or name in self.weights:
                rounded.add(name)
                own.input[place] = name + HALF
        after: list[Any] = []
        for place, name in enumerate(node.output):
            if name in self.floats:
                own.output[place] = name + RAW
                after += _rounding(name + RAW, name)
        graph.node.extend([own, *after])


def _rounding(source: str, target: str) -> list[Any]:
    """To half precision and back."""
    inner = target + "/16"
    return [
        helper.make_node("Cast", [source], [inner], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [inner], [target], to=TensorProto.FLOAT),
    ]

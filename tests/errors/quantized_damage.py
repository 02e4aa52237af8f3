"""Damage done to quantized models: bytes flipped, and fields of nodes and tensors set to what they should not be."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Damage = Callable[[onnx.GraphProto, random.Random], None]
SCALES = (0.0, -0.5, float("nan"), float("inf"), 1e-40, 3e38, 1e-30)
KINDS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT4, TensorProto.FLOAT)


def damaged(data: bytes, seed: int) -> bytes:
    """A model with one to three things wrong, the same for the same seed."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return _flipped(data, draw)
    model = onnx.ModelProto.FromString(data)
    for _ in range(draw.choice([1, 1, 2, 3])):
        with contextlib.suppress(ValueError):  # what an earlier damage has left cannot always be damaged further
            draw.choice(DAMAGES)(model.graph, draw)
    return model.SerializeToString()


def _flipped(data: bytes, draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice([1, 4, 32])):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def _scale(graph: onnx.GraphProto, draw: random.Random) -> None:
    floats = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
    tensor = draw.choice(floats)
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[draw.randrange(array.size)] = draw.choice(SCALES)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _kind(graph: onnx.GraphProto, draw: random.Random) -> None:
    draw.choice(graph.initializer).data_type = draw.choice(KINDS)


def _cast(graph: onnx.GraphProto, draw: random.Random) -> None:
    tensor = draw.choice(graph.initializer)
    array = numpy_helper.to_array(tensor)
    with np.errstate(all="ignore"):
        changed = array.astype(draw.choice([np.int8, np.uint8, np.int16, np.int32, np.float16, np.float32]))
    tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


def _shape(graph: onnx.GraphProto, draw: random.Random) -> None:
    tensor = draw.choice(graph.initializer)
    array = numpy_helper.to_array(tensor)
    changed = draw.choice(
        [array.reshape(-1), array[..., None], array.reshape(-1)[:-1], array.T, np.concatenate([array.reshape(-1)] * 2)]
    )
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), tensor.name))


def _dims(graph: onnx.GraphProto, draw: random.Random) -> None:
    tensor = draw.choice(graph.initializer)
    tensor.dims.append(draw.choice([0, 1, 2, -1, 1 << 40]))


def _rewire(graph: onnx.GraphProto, draw: random.Random) -> None:
    node = draw.choice(graph.node)
    names = [t.name for t in graph.initializer] + [name for n in graph.node for name in n.output] + ["", "nowhere"]
    node.input[draw.randrange(len(node.input))] = draw.choice(names)


def _swap(graph: onnx.GraphProto, draw: random.Random) -> None:
    node = draw.choice([n for n in graph.node if len(n.input) > 1])
    i, j = draw.sample(range(len(node.input)), 2)
    node.input[i], node.input[j] = node.input[j], node.input[i]


def _drop_input(graph: onnx.GraphProto, draw: random.Random) -> None:
    node = draw.choice(graph.node)
    del node.input[draw.randrange(len(node.input)) :]


def _drop_node(graph: onnx.GraphProto, draw: random.Random) -> None:
    del graph.node[draw.randrange(len(graph.node))]


def _operator(graph: onnx.GraphProto, draw: random.Random) -> None:
    first, second = draw.choice(graph.node), draw.choice(graph.node)
    first.op_type, first.domain = second.op_type, second.domain


def _attribute(graph: onnx.GraphProto, draw: random.Random) -> None:
    name = draw.choice(["axis", "block_size", "pads", "strides", "dilations", "group", "kernel_shape", "output_dtype"])
    node = draw.choice(graph.node)
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    number = draw.choice([-1, 0, 1, 3, 7, -(2**63), 2**63 - 1])
    node.attribute.append(helper.make_attribute(name, draw.choice([number, [number] * 2, [number] * 4, 0.5, "x"])))


def _swap_attributes(graph: onnx.GraphProto, draw: random.Random) -> None:
    first, second = draw.choice(graph.node), draw.choice(graph.node)
    kept = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in second.attribute]
    del first.attribute[:]
    first.attribute.extend(kept)


def _input_shape(graph: onnx.GraphProto, draw: random.Random) -> None:
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[draw.randrange(len(dims))].dim_value = draw.choice([0, 1, 2, 5, 1 << 33])


def _computed(graph: onnx.GraphProto, draw: random.Random) -> None:
    """A tensor becomes an input of the model."""
    tensor = draw.choice(graph.initializer)
    graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    graph.initializer.remove(tensor)


DAMAGES: tuple[Damage, ...] = (
    _scale, _scale, _kind, _cast, _cast, _shape, _shape, _dims, _rewire, _rewire, _swap, _drop_input, _drop_node,
    _operator, _attribute, _attribute, _swap_attributes, _input_shape, _computed,
)  # fmt: skip

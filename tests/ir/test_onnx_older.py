"""Models of operator sets before version 7."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgec.errors import Unsupported
from edgec.ir.onnx_import import load


def model(op_type: str, operands: dict[str, tuple[int, ...]], version: int, **attributes: object) -> bytes:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in operands.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, next(iter(operands.values())))
    graph = helper.make_graph([helper.make_node(op_type, list(operands), ["y"], **attributes)], "g", inputs, [output])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=3)
    return bytes(made.SerializeToString())


def test_operands_broadcast_along_an_axis() -> None:
    graph = load(model("Add", {"a": (2, 3, 4), "b": (3,)}, 6, broadcast=1, axis=1))
    a, b = np.zeros((2, 3, 4), np.float32), np.arange(3, dtype=np.float32)
    assert np.array_equal(graph.evaluate([a, b])[0], a + b[:, None])


def test_slopes_lie_along_the_channels() -> None:
    graph = load(model("PRelu", {"x": (2, 3, 3), "s": (3,)}, 6))
    x, slopes = np.full((2, 3, 3), -1, np.float32), np.arange(3, dtype=np.float32)
    assert np.array_equal(graph.evaluate([x, slopes])[0], x * slopes[:, None])


def test_what_onnx_cannot_convert_is_refused() -> None:
    with pytest.raises(Unsupported, match="1 node cannot be compiled") as caught:
        load(model("GRUUnit", {"x": (2,)}, 3))
    assert "version 3 of the ONNX operators, which ONNX's converter does not take; works: 7 and later" in str(
        caught.value
    )

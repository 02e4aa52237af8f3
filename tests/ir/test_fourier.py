"""Fourier transforms: products and passes give what numpy gives, and passes come where they should."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgec.errors import Unsupported
from edgec.ir import Graph
from edgec.ir.onnx_export import export
from edgec.ir.onnx_import import load
from edgec.ir.ops import Fourier, MatMul
from edgec.ir.ops import fourier as module
from edgec.ir.ops.fourier_passes import factors
from edgec.ir.types import TensorType, f32
from edgec.passes.decompose import Decompose

LENGTHS = (64, 75, 98, 128, 180)
"""Whose factors are 2, 3, 4, 5 and 7, odd ones among them."""


def graph(shape: tuple[int, ...], length: int, inverse: bool = False, onesided: bool = False, axis: int = 1) -> Graph:
    made = Graph("transform")
    op = Fourier(made.input(TensorType(f32, shape), "x"), axis, length, inverse, onesided)
    made.add(op)
    made.set_outputs([op.result], ["y"])
    return made


def spelled_out(whole: Graph) -> Graph:
    return Decompose().run(whole.copy())


def has_products(whole: Graph) -> bool:
    return any(isinstance(op, MatMul) for op in whole)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("inverse", "onesided"), [(False, False), (False, True), (True, False), (True, True)])
def test_passes_give_what_numpy_gives(length: int, parts: int, inverse: bool, onesided: bool) -> None:
    whole = graph((2, length, 16, parts), length, inverse, onesided)
    plain = spelled_out(whole)
    small = length // 2 < module.SHORT and length % 2 == 0 and parts == 1 and not inverse
    assert has_products(plain) == small
    x = np.random.default_rng(length).standard_normal((2, length, 16, parts)).astype(np.float32)
    (wanted,), (got,) = whole.evaluate([x]), plain.evaluate([x])
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(("given", "length"), [(60, 128), (200, 128), (3, 5), (7, 5)])
@pytest.mark.parametrize("inverse", [False, True])
def test_elements_are_cut_or_filled_with_zeros(given: int, length: int, inverse: bool) -> None:
    whole = graph((given, 2), length, inverse, onesided=True, axis=0)
    x = np.random.default_rng(given).standard_normal((given, 2)).astype(np.float32)
    (wanted,), (got,) = whole.evaluate([x]), spelled_out(whole).evaluate([x])
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_factors_in_the_order_of_their_passes() -> None:
    assert factors(10) == (2, 5)
    assert factors(1024) == (4,) * 5
    assert factors(630) == (2, 3, 3, 5, 7)
    assert factors(22) == ()
    assert factors(1) == ()


@pytest.mark.parametrize(
    ("rows", "parts", "length", "passes"),
    [
        (32, 2, 63, False), (32, 2, 64, True), (32, 2, 65, False), (32, 1, 126, False), (32, 1, 128, True),
        (32, 1, 75, True), (32, 1, 130, False), (31, 2, 63, True), (31, 2, 10, True), (31, 2, 22, False),
    ],
)  # fmt: skip
def test_many_short_ones_and_large_factors_are_products(rows: int, parts: int, length: int, passes: bool) -> None:
    (op,) = graph((rows, length, parts), length).ops
    assert op.in_passes == passes


def test_passes_of_ten_make_the_rounding_errors_of_a_fast_transform() -> None:
    """ONNX's suite expects them, 1.9e-7 where 0 is exact."""
    x = np.stack([np.arange(100).reshape(1, 10, 10), np.zeros((1, 10, 10))], -1).astype(np.float32)
    (passes,) = spelled_out(graph(x.shape, 10, inverse=True)).evaluate([x])
    assert passes[0, 5, :, 1].tolist() == [1.9073486612342094e-07] * 10


def model(length: int) -> bytes:
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("DFT", ["x"], ["y"], onesided=1)], "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, length, 1))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, length // 2 + 1, 2))],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 20)]
    return bytes(onnx.helper.make_model(made, opset_imports=opset).SerializeToString())


def test_only_lengths_with_large_factors_are_too_long() -> None:
    assert load(model(1 << 16)).outputs[0].shape == (1, (1 << 15) + 1, 2)
    with pytest.raises(Unsupported, match="a transform of 5003 elements; works: lengths"):
        load(model(5003))


def test_onnx_that_is_written_has_a_product_where_its_matrix_is_not_too_large() -> None:
    names = [[node.op_type for node in export(graph((2, n, 1), n)).model.graph.node] for n in (128, 4096)]
    assert names[0] == ["Transpose", "Reshape", "MatMul", "Reshape", "Transpose"]
    assert "MatMul" not in names[1]


@pytest.mark.parametrize(("inverse", "onesided"), [(False, True), (True, True), (False, False)])
def test_nothing_is_written_too(inverse: bool, onesided: bool) -> None:
    whole = graph((2, 0, 1), 6, inverse, onesided)
    again = load(export(whole).model.SerializeToString())
    x = np.zeros((2, 0, 1), np.float32)
    for one, other in zip(whole.evaluate([x]), again.evaluate([x]), strict=True):
        np.testing.assert_array_equal(one, other)

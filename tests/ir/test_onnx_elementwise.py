"""Operators on single elements that ONNX's own tests do not pin down: seeds, types, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgec.errors import ModelError, Unsupported
from edgec.ir import Graph
from edgec.ir.onnx_import import load


def imported(op_type: str, arrays: dict[str, np.ndarray], outputs: int = 1, **attributes: Any) -> Graph:
    node = helper.make_node(op_type, list(arrays), [f"y{i}" for i in range(outputs)], **attributes)
    kinds = {n: helper.np_dtype_to_tensor_dtype(a.dtype) for n, a in arrays.items()}
    inputs = [helper.make_tensor_value_info(n, kinds[n], a.shape) for n, a in arrays.items()]
    sinks = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
    made = helper.make_model(helper.make_graph([node], "g", inputs, sinks), opset_imports=[helper.make_opsetid("", 22)])
    return load(bytes(made.SerializeToString()))


def run(op_type: str, arrays: dict[str, np.ndarray], **attributes: Any) -> np.ndarray:
    return imported(op_type, arrays, **attributes).evaluate(arrays)[0]


def test_a_seed_gives_the_same_numbers_and_another_others() -> None:
    first, again, other = (run("RandomNormal", {}, shape=[500], seed=s, mean=3.0, scale=2.0) for s in (1.0, 1.0, 2.0))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert abs(first.mean() - 3) < 0.3
    assert abs(first.std() - 2) < 0.3


def test_random_numbers_lie_in_their_range_and_type() -> None:
    drawn = run(
        "RandomUniformLike", {"x": np.zeros((40, 50), np.float32)}, low=-2.0, high=5.0, dtype=TensorProto.DOUBLE
    )
    assert (drawn.dtype, drawn.shape) == (np.float64, (40, 50))
    assert -2 <= drawn.min() < -1.9
    assert 4.9 < drawn.max() < 5


def test_too_many_random_numbers_are_refused() -> None:
    with pytest.raises(Unsupported, match="1 node") as caught:
        run("RandomUniform", {}, shape=[1 << 25])
    assert "it draws 33554432 numbers; works: at most 16777216" in str(caught.value)


def test_classes_are_drawn_as_often_as_they_are_likely() -> None:
    shares = np.array([[0.1, 0.6, 0.3], [0.0, 1.0, 0.0]])
    with np.errstate(divide="ignore"):
        drawn = run("Multinomial", {"x": np.log(shares).astype(np.float32)}, sample_size=4000, seed=3.0)
    assert (drawn.dtype, drawn.shape) == (np.int32, (2, 4000))
    counted = np.stack([np.bincount(row, minlength=3) for row in drawn]) / 4000
    assert np.abs(counted - shares).max() < 0.03


def test_dropout_keeps_what_its_mask_says() -> None:
    x = np.ones((30, 40), np.float32)
    arrays = {"x": x, "ratio": np.array(0.25, np.float32), "training": np.array(True)}
    y, mask = imported("Dropout", arrays, 2, seed=5).evaluate(arrays)
    assert abs(mask.mean() - 0.75) < 0.05
    assert np.allclose(y, np.where(mask, 1 / 0.75, 0))
    arrays["training"] = np.array(False)
    y, mask = imported("Dropout", arrays, 2, seed=5).evaluate(arrays)
    assert np.array_equal(y, x)
    assert mask.all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_determinants(count: int) -> None:
    x = np.random.default_rng(count).standard_normal((5, count, count)).astype(np.float32)
    assert np.allclose(run("Det", {"x": x}), np.linalg.det(x), atol=1e-5)


def test_large_determinants_are_refused() -> None:
    with pytest.raises(Unsupported) as caught:
        run("Det", {"x": np.eye(5, dtype=np.float32)})
    assert "a determinant of 5 rows; works: at most 4" in str(caught.value)


def test_a_shift_needs_integers_and_a_direction() -> None:
    bits = {"x": np.ones(3, np.uint8), "y": np.ones(3, np.uint8)}
    with pytest.raises(ModelError, match="unknown direction 'UP'"):
        run("BitShift", bits, direction="UP")
    with pytest.raises(ModelError, match="shift-left: operands must be integers, are f32"):
        run("BitShift", {name: array.astype(np.float32) for name, array in bits.items()}, direction="LEFT")


def test_bits_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match="bit-cast: f32 has 32 bits, f64 has 64"):
        imported("BitCast", {"x": np.ones(3, np.float32)}, to=TensorProto.DOUBLE)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int64, np.uint8, np.float32])
def test_integers_shrink_by_fractions(kind: type) -> None:
    x = np.array([0, 1, 2, 3, 7], kind)
    found = run("Shrink", {"x": x}, bias=0.5, lambd=1.5)
    wanted = np.where(x > 1.5, x - 0.5, 0).astype(kind)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)

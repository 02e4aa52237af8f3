"""Element types, shapes, physical orders."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import ModelError
from edgec.ir import CHANNELS_LAST, DTYPES, TensorType, f32, i64, row_major
from edgec.ir.types import boolean, broadcast, dtype_of, normal_axes, normal_axis


@pytest.mark.parametrize("name", DTYPES)
def test_element_types(name: str) -> None:
    kind = DTYPES[name]
    assert dtype_of(np.zeros(1, kind.numpy)) is kind
    assert dtype_of(kind.numpy.newbyteorder()) is kind
    assert kind.bytes == kind.numpy.itemsize
    assert repr(kind) == name
    assert [kind.is_float, kind.is_integer, kind is boolean].count(True) == 1


def test_unknown_element_types_are_named() -> None:
    with pytest.raises(ModelError, match="error: element type complex64 is not supported\n  hint: known: f32, f64"):
        dtype_of(np.zeros(1, np.complex64))


@pytest.mark.parametrize(
    "text", ["f32[]", "f32[1]", "i64[2,3]", "bool[0,4]", "f32[1,3,8,8]{0,2,3,1}", "u8[4,5]{1,0}", "f16[7]"]
)
def test_text_form(text: str) -> None:
    assert str(TensorType.parse(text)) == text
    assert TensorType.parse(f"  {text} ") == TensorType.parse(text)


def test_row_major_is_not_written_down() -> None:
    assert str(TensorType.parse("f32[2,3]{0,1}")) == "f32[2,3]"
    assert TensorType(f32, (2, 3), (0, 1)) == TensorType(f32, (2, 3))


@pytest.mark.parametrize(
    "text", ["f32", "f32[", "f32[1", "f32[-1]", "f32[1,x]", "float[1]", "f32[1]{0", "[1]", "f32[1] f32[1]"]
)
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ModelError, match="is not a tensor type\n  hint: write it like f32"):
        TensorType.parse(text)


def test_strides_follow_the_order() -> None:
    kind = TensorType(f32, (2, 3, 4, 5), CHANNELS_LAST)
    assert kind.strides == (60, 1, 15, 3)
    assert kind.with_order(()).strides == (60, 20, 5, 1)
    assert (kind.size, kind.bytes, kind.rank, kind.physical) == (120, 480, 4, CHANNELS_LAST)
    assert TensorType(i64, ()).strides == ()
    assert TensorType(i64, ()).bytes == 8


@pytest.mark.parametrize(
    ("shape", "order", "same"),
    [
        ((1, 3, 8, 8), CHANNELS_LAST, False),
        ((1, 1, 8, 8), CHANNELS_LAST, True),
        ((5, 3, 1, 1), CHANNELS_LAST, True),
        ((5, 3, 1, 2), CHANNELS_LAST, False),
        ((2, 1), (1, 0), True),
        ((2, 2), (1, 0), False),
    ],
)
def test_dimensions_of_one_do_not_move(shape: tuple[int, ...], order: tuple[int, ...], same: bool) -> None:
    assert TensorType(f32, shape).same_memory(order) is same
    stored = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(stored.transpose(order).ravel(), stored.ravel()) is same
    assert row_major(3) == (0, 1, 2)


@pytest.mark.parametrize(
    "shapes", [((), (2,)), ((3, 1), (1, 4)), ((2, 3, 5), (5,)), ((0, 3), (1, 3)), ((1,), (0,)), ((2, 1, 3), (4, 1)), ()]
)
def test_broadcasting_is_numpys(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert broadcast(*shapes) == np.broadcast_shapes(*shapes)


def test_what_does_not_broadcast_is_named() -> None:
    with pytest.raises(ModelError, match=r"shapes \[2, 3\] and \[4\] do not broadcast"):
        broadcast((2, 3), (4,))


def test_axes() -> None:
    assert normal_axis(-1, 4) == 3
    assert normal_axes((-1, 0), 4) == (0, 3)
    assert normal_axes((), 3) == (0, 1, 2)
    with pytest.raises(ModelError, match="axis 4 is outside a tensor of rank 4"):
        normal_axis(4, 4)
    with pytest.raises(ModelError, match=r"axes \[1, -1\] name a dimension twice"):
        normal_axes((1, -1), 2)

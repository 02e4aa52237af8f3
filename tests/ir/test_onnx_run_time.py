"""Operands, inputs and counts that only the run knows: computed, and checked against what was compiled."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgec import driver
from edgec.errors import Unsupported, UsageError
from edgec.ir import Graph
from edgec.ir.onnx_import import load
from edgec.ir.ops import Conv, ConvTranspose
from edgec.ir.types import TensorType, f32


def loaded(text: str, **shapes: tuple[int, ...]) -> Graph:
    head = '<ir_version: 10, opset_import: ["" : 21]>\n'
    return load(onnx.parser.parse_model(head + text).SerializeToString(), shapes=shapes)


def test_a_slice_takes_axes_and_steps_of_the_run() -> None:
    given = "float[5,4] x, int64[1] s, int64[1] e, int64[1] a, int64[1] t"
    graph, x = (
        loaded(f"g ({given}) => (float[3,4] y) {{ y = Slice (x, s, e, a, t) }}"),
        np.arange(20, dtype=np.float32).reshape(5, 4),
    )
    one = [np.array([n]) for n in (-1, -6, -2, -2)]
    assert np.array_equal(graph.evaluate([x, *one])[0], x[::-2])
    with pytest.raises(UsageError, match="a size is 5, compiled for 3"):
        graph.evaluate([x, *(np.array([n]) for n in (0, 5, 0, 1))])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads_of_the_run(mode: str) -> None:
    text = f'g (float[3,4] x, int64[4] p) => (float[4,7] y) {{ y = Pad <mode = "{mode}"> (x, p) }}'
    graph, x = loaded(text), np.arange(12, dtype=np.float32).reshape(3, 4)
    for begin, end in (((0, 1), (1, 2)), ((1, 3), (0, 0))):
        wanted = np.pad(x, list(zip(begin, end, strict=True)), mode=mode)  # type: ignore[call-overload]
        assert np.array_equal(graph.evaluate([x, np.array([*begin, *end])])[0], wanted)
    with pytest.raises(UsageError):
        graph.evaluate([x, np.array([0, 0, 0, 0])])


def test_what_is_unique_has_a_size_that_the_run_finds() -> None:
    graph = loaded("g (float[6] x) => (float[N] y, int64[N] i, int64[M] j) { y, i, j = Unique (x) }")
    for x in ([2, 1, 1, 3, 4, 3], [7, 7, 7, 7, 7, 7]):
        wanted = np.unique(np.array(x, np.float32), return_index=True, return_inverse=True)
        for got, one in zip(graph.evaluate([np.array(x, np.float32)]), wanted, strict=True):
            assert np.array_equal(got, one)


def test_an_input_is_supposed_to_be_what_the_outputs_say() -> None:
    zero, one = (f"{name} = Constant <value_float = {number}> ()" for name, number in (("zero", 0.0), ("one", 1.0)))
    made = "f = Cast <to = 1> (n) r = Range (zero, f, one) y = Mul (r, r)"
    graph = loaded(f"g (int64 n) => (float[7] y) {{ {zero} {one} {made} }}")
    assert graph.evaluate([np.array(7)])[0].shape == (7,)
    with pytest.raises(UsageError, match="a size is 8, compiled for 7"):
        graph.evaluate([np.array(8)])


def test_rows_of_a_loop_are_as_many_as_declared() -> None:
    made = "on = Identity (go) n = Add (s, d) r = Identity (s)"
    body = f"b (int64 i, bool go, float s) => (bool on, float n, float r) {{ {made} }}"
    graph = loaded(f"g (float d, int64 m, float x) => (float y, float[3] z) {{ y, z = Loop (m, , x) <body = {body}> }}")
    given = [np.float32(2), np.array(3), np.float32(1)]
    arrays = {name: np.asarray(a) for name, a in zip("dmx", given, strict=True)}
    assert [a.tolist() for a in graph.evaluate(arrays)] == [7, [1, 3, 5]]
    with pytest.raises(UsageError, match="a size is 4, compiled for 3"):
        graph.evaluate({**arrays, "m": np.array(4)})


def test_sequences_are_tensors_where_their_shapes_are_given() -> None:
    text = "g (seq(float[N]) s, float[2] t) => (seq(float[N]) y) { y = SequenceInsert (s, t) }"
    graph = loaded(text, **{"s[0]": (3,), "s[1]": (1,)})
    assert ([v.name for v in graph.inputs], graph.output_names) == (["s[0]", "s[1]", "t"], ["y[0]", "y[1]", "y[2]"])
    with pytest.raises(Unsupported, match="its type is sequence"):
        loaded(text)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_convolutions_by_weights_of_the_run(kind: type[Conv | ConvTranspose], groups: int) -> None:
    graph, rng = Graph("convolution"), np.random.default_rng(0)
    shapes = (2, 4, 5, 6), (4, 4 // groups, 3, 2), (4,)
    x, w, bias = (graph.input(TensorType(f32, shape), name) for shape, name in zip(shapes, "xwb", strict=True))
    strides, pads, dilations = (2, 1), (1, 0, 2, 1), (1, 2)
    made: Conv | ConvTranspose = Conv(x, w, bias, strides, pads, dilations, groups)
    if kind is ConvTranspose:
        made = ConvTranspose(x, w, None, (2, 3), (1, 0, 0, 1), dilations, (1, 0), groups)
    graph.set_outputs([graph.add(made)], ["y"])
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    expected = graph.evaluate(arrays)[0]
    np.testing.assert_allclose(driver.compile(graph, "c")(*arrays), expected, rtol=1e-4, atol=1e-5)


def test_windows_and_ranges_of_another_size_are_refused() -> None:
    window = loaded("g (int32 n) => (float[10] y) { y = HannWindow (n) }")
    assert window.evaluate([np.array(10, np.int32)])[0].shape == (10,)
    counted = loaded("g (float a, float b, float c) => (float[4] y) { y = Range (a, b, c) }")
    numbers = [np.array(n, np.float32) for n in (1, 8, 2)]
    assert counted.evaluate(numbers)[0].tolist() == [1, 3, 5, 7]
    for graph, wrong in ((window, [np.array(9, np.int32)]), (counted, [numbers[0], np.float32(10), numbers[2]])):
        with pytest.raises(UsageError, match="compiled for"):
            graph.evaluate(wrong)
